"""Jobs: deferred work that is stored with its cause and done once, whatever happens to the process that does it."""
