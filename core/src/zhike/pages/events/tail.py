"""The live tail: what has come in since the last look, as rows for the explorer's table."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.events import explorer
from zhike.pages.events.rows import COLUMNS, rows
from zhike.pages.events.wanted import Narrowing
from zhike.ui import Html, PageCall
from zhike.ui.tables import Table


class TailQuery(Narrowing, frozen=True, kw_only=True):
    """The tail's address.

    Args:
        position: Where the last look ended.
    """

    position: Annotated[int, Meta(ge=0, le=2**62)] | None = None


async def show(call: PageCall, query: TailQuery) -> Html:
    """Show what has come in since the last look."""
    wanted = msgspec.convert(query.asked(call.zone) | {"position": query.position}, explorer.TailWanted)
    found = await explorer.tail(call.host.platform, call.actor, wanted, locale=call.locale)
    table = Table(id="events", path="/events", columns=COLUMNS, rows=rows(call, found.items), unfolds=True)
    return await call.render("events/tail.html", fragment="list", table=table, position=found.position)
