"""Events as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zhike.events.explorer import LoggedEvent
from zhike.events.telling import told
from zhike.i18n import text
from zhike.ui.rendering import url
from zhike.ui.tables import TableColumn

if TYPE_CHECKING:
    from zhike.ui import PageCall

COLUMNS = (
    TableColumn(key="event", label=text("Event"), kind="custom"),
    TableColumn(key="summary", label=text("What it says")),
    TableColumn(key="customer", label=text("Customer"), kind="custom"),
    TableColumn(key="source", label=text("Source")),
    TableColumn(key="at", label=text("Happened"), kind="instant"),
)


def rows(call: PageCall, events: Sequence[LoggedEvent]) -> list[dict[str, Any]]:
    """Return a row for each event, with the address of its details.

    Args:
        call: Who reads.
        events: What they see of the log.
    """
    items = told(call.host.platform.registry, [each.event for each in events], call.locale)
    return [
        {
            "id": item.event.id,
            "path": (address := url("/events/event", id=item.event.message_id)),
            "details": address,
            "name": item.event.name,
            "label": item.label,
            "platform": item.event.kind == "platform",
            "summary": item.summary,
            "customer": logged.customer_name or text("Customer {id}", id=logged.customer_id),
            "customer_id": logged.customer_id,
            "source": item.event.source,
            "at": item.event.occurred_at,
        }
        for item, logged in zip(items, events, strict=True)
    ]
