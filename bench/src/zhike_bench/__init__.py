"""Zhike's performance bars: the product against raw SQL and raw ASGI, in interleaved pairs of one run."""
