"""What the events of a customer come to: how many there are, since when, and the money in them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from zhike.access.actor import Actor
from zhike.access.roles import EVENTS_READ
from zhike.access.scope import visible_customers
from zhike.events.sight import unseen
from zhike.money import to_major
from zhike.platform import Platform

_FIGURES = """
WITH seen AS (
  SELECT s.* FROM customer_event_stat AS s
  WHERE s.customer_id = $1 AND s.name <> '*' AND s.name <> ALL ($2::text[])
    AND EXISTS (SELECT FROM customer AS c WHERE c.id = s.customer_id AND {visible})
)
(SELECT '' AS name, '' AS currency, coalesce(sum(count), 0)::bigint AS count, 0 AS sum, min(first_at) AS first_at,
  max(last_at) AS last_at FROM seen)
UNION ALL
(SELECT name, currency, count, sum, first_at, last_at FROM seen WHERE sum <> 0 ORDER BY last_at DESC, name LIMIT $3)
"""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer's events of one type with money come to.

    Args:
        name: The event type, such as `order.paid`.
        count: How many there are.
        amount: The sum of their amounts, in major units.
        currency: ISO 4217 code.
        last_at: When the last one happened.
    """

    name: str
    count: int
    amount: Decimal
    currency: str
    last_at: datetime


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer has done.

    Args:
        count: Events of behaviour.
        first_at: When the first one happened; None if there is none.
        last_at: When the last one happened.
        money: Those with money, by type and currency, the latest first.
    """

    count: int
    first_at: datetime | None
    last_at: datetime | None
    money: list[Figure]


async def figures(platform: Platform, actor: Actor, customer_id: int, most: int = 10) -> Figures:
    """Return what a customer's events come to, without those that `actor` does not see.

    Args:
        platform: The process's platform.
        actor: Who asks; nothing is told of customers whose events they may not read.
        customer_id: A customer who is not merged away.
        most: Entries of `money`.
    """
    visible = visible_customers(actor, "c", EVENTS_READ)
    hidden = [*unseen(actor, platform.registry)]
    rows = await platform.db.fetch(_FIGURES.format(visible=visible), customer_id, hidden, most)
    [whole] = [row for row in rows if not row["name"]]
    same = ("name", "count", "currency", "last_at")
    money = [
        Figure(**{key: row[key] for key in same}, amount=to_major(row["sum"], row["currency"]))
        for row in rows
        if row["name"]
    ]
    return Figures(count=whole["count"], first_at=whole["first_at"], last_at=whole["last_at"], money=money)
