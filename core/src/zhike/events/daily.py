"""How many events of a few types there were on each of the last days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from zhike.access.actor import Actor
from zhike.access.roles import EVENTS_READ
from zhike.errors import Forbidden
from zhike.i18n import text
from zhike.orm import Database

# Read from the index by type and time alone: neither the events nor their customers are opened.
_DAILY = """
SELECT name, (occurred_at AT TIME ZONE $3)::date AS day, count(*) AS count FROM event
WHERE name = ANY($1::text[]) AND occurred_at >= $2 AND occurred_at < $4 GROUP BY 1, 2
"""


async def daily(
    db: Database, actor: Actor, names: Sequence[str], today: date, days: int, zone: ZoneInfo
) -> Mapping[str, list[int]]:
    """Return, for each type of which there are any, how many there were on each day.

    Args:
        db: The database.
        actor: Who asks; they must see the events of all customers.
        names: The types.
        today: The last day.
        days: How many days, today's among them.
        zone: Where the days begin.

    Raises:
        Forbidden: If the actor does not see all events.
    """
    if actor.scope(EVENTS_READ) != "all":
        raise Forbidden(text("Only those who see all customers see figures about all of them"))
    first = today - timedelta(days=days - 1)
    start, end = (datetime.combine(day, time.min, zone) for day in (first, today + timedelta(days=1)))
    rows = await db.fetch(_DAILY, list(names), start, zone.key, end)
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["name"], [0] * days)[(row["day"] - first).days] = row["count"]
    return {name: found[name] for name in names if name in found}
