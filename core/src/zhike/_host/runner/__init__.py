"""The runner: the process that gives the log to its consumers and does the jobs."""
