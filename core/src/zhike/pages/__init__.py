"""The pages of the core's web UI, by area; each has its templates in a folder of its name."""
