"""Versions: nobody overwrites what they have not seen."""

from __future__ import annotations

from zhike.errors import Conflict
from zhike.i18n import text


def require_version(stored: int | None, said: int | None) -> None:
    """Refuse a change of another version than the one that is stored; None says nothing of it.

    Raises:
        Conflict: With code `version`.
    """
    if said not in {None, stored}:
        what = text("Somebody has changed it since; it is at version {version}", version=stored)
        raise Conflict(what, code="version")
