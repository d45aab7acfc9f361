"""The last thirty days on the home page: new customers and orders, day by day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from zhike import clock
from zhike.events.daily import daily
from zhike.events.telling import label_of
from zhike.i18n import text
from zhike.ui import PageCall
from zhike.ui.rendering import url

_DAYS = 30
_NEW = "customer.created"
_NAMES = (_NEW, "order.created", "order.paid")


async def load(call: PageCall) -> dict[str, Any]:
    """Return the days, and for each figure what it is called, where more is to be seen, and its values."""
    today = clock.now().astimezone(call.zone).date()
    found = await daily(call.db, call.actor, _NAMES, today, _DAYS, call.zone)
    registry = call.host.platform.registry
    return {
        "days": [today - timedelta(days=back) for back in reversed(range(_DAYS))],
        "figures": [
            {
                "label": text("New customers") if name == _NEW else label_of(registry, name, call.locale),
                "path": "/customers?sort=-created_at" if name == _NEW else url("/events", names=name),
                "values": values,
            }
            for name, values in found.items()
        ],
    }
