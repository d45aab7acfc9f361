"""Instants that people say something happened at."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from zhike.api import check_instant
from zhike.errors import BadRequest
from zhike.i18n import text


def past(name: str, at: datetime | None, zone: tzinfo, now: datetime) -> datetime:
    """Return when something was, in UTC.

    Args:
        name: The field it came in.
        at: What was said; None for the present instant, and in the deployment's zone when naive.
        zone: That zone.
        now: The present instant.

    Raises:
        BadRequest: If it is still to come, or before 1970.
    """
    if at is None:
        return now
    check_instant(name, at)
    found = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    if found > now:
        raise BadRequest(text("{name}: this lies in the future", name=name))
    return found
