"""One import: from its plan over batches of checked events to its record and its rejected rows."""
