"""The one place that reads the wall clock, so that tests can set it, and that knows the zones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_ODD = {"Factory", "localtime", "posixrules"}


def now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def zone(key: str) -> ZoneInfo | None:
    """Return an IANA zone that is the same on every machine, or None if there is none of that name."""
    try:
        # What begins with right/ counts leap seconds, as no other clock of ours does.
        return None if key in _ODD or key.startswith("right/") else ZoneInfo(key)
    except (LookupError, ValueError, OSError):  # a folder, or a file that is no zone
        return None
