"""What tagging brings along besides presets: what it adds to the sample company."""
