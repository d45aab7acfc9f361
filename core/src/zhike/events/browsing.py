"""What a customer has looked at lately: pages, products and screens."""

from __future__ import annotations

from zhike.access.actor import Actor
from zhike.events.filtering import EventsWanted
from zhike.events.service import TimelineEvent, timeline
from zhike.platform import Platform

# The table has a row for each type, and types are few.
_NAMES = r"""
SELECT name FROM event_type
WHERE behaviour AND name ~ '(^|[._])(view|viewed|browse|browsed|visited)$|^(page|screen)[._]' ORDER BY name LIMIT 50
"""


async def browsed(platform: Platform, actor: Actor, customer_id: int, limit: int = 8) -> list[TimelineEvent]:
    """Return the latest views of pages and products, the latest first; which types these are is told by their names.

    Args:
        platform: The process's platform.
        actor: Who reads.
        customer_id: Whose.
        limit: Most of them.

    Raises:
        NotFound: If there is no such customer, or `actor` may not read their events.
    """
    names = [row["name"] for row in await platform.db.fetch(_NAMES)]
    if not names:
        return []
    wanted, registry = EventsWanted(names=",".join(names)), platform.registry
    page = await timeline(platform.db, actor, customer_id, limit=limit, registry=registry, wanted=wanted)
    return page.items
