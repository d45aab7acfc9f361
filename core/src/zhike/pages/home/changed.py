"""The newest customers that the reader sees, for the home page."""

from __future__ import annotations

from typing import Any

from zhike.customers.service import list_
from zhike.pages.customers.columns import labels
from zhike.ui import PageCall


async def load(call: PageCall) -> dict[str, Any]:
    """Return the newest customers."""
    page = await list_(call.db, call.actor, limit=6, key=call.host.cursor_key)
    opened = call.host.platform.customer_fields.opened
    stage = (await call.host.platform.customer_fields.renew()).known.get("stage")
    return {"customers": [opened(each) for each in page.items], "stages": labels(stage)}
