"""Finding, trying and loading plugins, so that none can keep the others from running."""
