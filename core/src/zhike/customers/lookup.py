"""Who has a phone number, and what they did last: for whoever picks up the phone."""

from __future__ import annotations

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import rules_of
from zhike.access.roles import EVENTS_READ
from zhike.api import MAX_ID
from zhike.customers.figures import Figure, figures
from zhike.customers.identities import normalise
from zhike.customers.search.finding import find
from zhike.customers.service import COLUMNS, Customer, customer_of, trace
from zhike.errors import Forbidden, NotFound
from zhike.events.filtering import EventsWanted
from zhike.events.service import TimelineEvent, timeline
from zhike.i18n import text
from zhike.platform import Platform

MOST = 10
"""Customers with one number that are shown, and kinds of money that their events have."""
LATEST = 20
"""Events that are shown of the one customer."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a number belongs to.

    Args:
        phone: The number in E.164.
        customers: Who has it and is seen, the newest first, at most 10.
        recent: If that is one, what they did last, the latest first; empty for who may not read events.
        figures: If that is one, what their events with money come to, the latest first.
    """

    phone: str
    customers: list[Customer]
    recent: list[TimelineEvent]
    figures: list[Figure]


async def lookup(platform: Platform, actor: Actor, phone: str) -> Known:
    """Return whom a whole phone number belongs to; it is audited where numbers are masked.

    Args:
        platform: The process's platform.
        actor: Who asks; others than they see are not found.
        phone: The number in any form.

    Raises:
        BadIdentity: If it is no phone number.
        Forbidden: If phone numbers are hidden from the actor's role.
    """
    if rules_of(actor).get("phone") == "hide":
        raise Forbidden(text("{field} is hidden from your role", field="phone"), code="hidden")
    number = normalise("phone", phone)
    async with platform.db.connection() as connection:
        rows = await find(connection, actor, number, phone=number, columns=COLUMNS, before=MAX_ID, limit=MOST)
        await trace(connection, actor, [row["id"] for row in rows])
    customers = [platform.customer_fields.opened(customer_of(row, actor)) for row in rows]
    if len(customers) != 1 or actor.scope(EVENTS_READ) is None:
        return Known(phone=number, customers=customers, recent=[], figures=[])
    customer = customers[0].id
    try:
        wanted = EventsWanted(kind="behaviour")
        page = await timeline(platform.db, actor, customer, limit=LATEST, registry=platform.registry, wanted=wanted)
    except NotFound:  # their events are out of the actor's scope
        return Known(phone=number, customers=customers, recent=[], figures=[])
    found = await figures(platform, actor, customer, MOST)
    return Known(phone=number, customers=customers, recent=page.items, figures=found.money)
