"""The `zhike` command."""
