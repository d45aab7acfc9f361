"""The performance bars of Zhike as one command."""
