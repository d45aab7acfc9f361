"""What plugins and their files say, made fit to be stored and shown."""

from __future__ import annotations

import re

# Control characters, halves of surrogate pairs, and what breaks lines or turns their direction.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(value: object, most: int = 500) -> str:
    """Return at most so many characters of what somebody else has written, those that cannot be seen as escapes."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value)[:most])
