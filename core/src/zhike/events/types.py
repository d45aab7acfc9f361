"""The types of events: how many were seen, when last, who registers them, and what their properties are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import HIDDEN, rules_of
from zhike.access.roles import EVENTS_READ
from zhike.access.scope import visible_customers
from zhike.api import Page, PageQuery
from zhike.errors import NotFound
from zhike.events.facts import veiled
from zhike.events.schemas import PLATFORM_EVENTS
from zhike.events.sight import seen
from zhike.events.telling import label_of
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.platform import Platform

COUNTED = 1_000
"""Up to where events of a type are counted; of more the planner's statistics tell how many they are about."""
SAMPLE = 200
"""The latest events of a type from which its properties are told."""
_LONGEST = 60
_SCOPE = "event figures"

# In their order by time they are read from the index; else a type that is rare would take a pass over all events.
_FIGURES = f"""
SELECT t.name, CASE WHEN t.behaviour THEN 'behaviour' ELSE 'platform' END, t.first_seen_at,
  (SELECT e.occurred_at FROM event AS e WHERE e.name = t.name ORDER BY e.occurred_at DESC LIMIT 1),
  (SELECT count(*) FROM (SELECT FROM event AS e WHERE e.name = t.name ORDER BY e.occurred_at LIMIT {COUNTED} + 1) AS e),
  about.count
FROM event_type AS t LEFT JOIN (
  SELECT s.name, (s.part * c.reltuples)::bigint AS count
  FROM pg_class AS c
  JOIN pg_stats AS p ON p.schemaname = current_schema() AND p.tablename = c.relname AND p.attname = 'name'
  CROSS JOIN LATERAL unnest(p.most_common_vals::text::text[], p.most_common_freqs) AS s (name, part)
  WHERE c.oid = 'event'::regclass
) AS about ON about.name = t.name
WHERE t.name > $1 COLLATE "C" ORDER BY t.name LIMIT $2
"""
_SAMPLE = f"""
SELECT CASE WHEN e.behaviour THEN 'behaviour' ELSE 'platform' END, e.properties::text
FROM (SELECT * FROM event AS e WHERE e.name = $1 ORDER BY e.occurred_at DESC LIMIT {SAMPLE}) AS e
WHERE EXISTS (SELECT FROM customer AS c WHERE c.id = e.customer_id AND {{visible}}) {{seen}}
"""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class TypeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A type of events that were seen.

    Args:
        name: Such as `order.paid`.
        label: What it is called in the reader's language.
        kind: `behaviour` or `platform`.
        registered_by: The plugin that registers it, or null.
        first_seen_at: When the first one was stored.
        last_at: When the latest one happened; null where the caller does not see all customers.
        count: How many there are; null where the caller does not see all customers.
        about: Whether that is an estimate.
    """

    name: str
    label: str
    kind: Literal["behaviour", "platform"]
    registered_by: str | None
    first_seen_at: datetime
    last_at: datetime | None
    count: int | None
    about: bool


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A property of the events of a type.

    Args:
        name: Its name.
        types: What its values are: `text`, `number`, `boolean`, `list`, `object` or `null`.
        share: In how many of the events it stands, from 0 to 1.
        example: A value; masked for those who do not see all fields of customers.
    """

    name: str
    types: list[str]
    share: float
    example: str


class TypeProperties(msgspec.Struct, frozen=True, kw_only=True):
    """What the latest events of a type say.

    Args:
        name: The type.
        label: What it is called in the reader's language.
        registered_by: The plugin that registers it, or null.
        sample: From how many events this is told.
        properties: Those that stand in most events first.
    """

    name: str
    label: str
    registered_by: str | None
    sample: int
    properties: list[Property]


async def figures(platform: Platform, actor: Actor, query: PageQuery, *, locale: str, key: bytes) -> Page[TypeFigures]:
    """Return a page of the types that were seen, by name; one statement that reads no table whole.

    Args:
        platform: The process's platform.
        actor: Who asks; how many events there are is told to those who see all customers and this type.
        query: The page.
        locale: The reader's language.
        key: The deployment's secret that signs cursors.
    """
    after = "" if query.cursor is None else decode_cursor(query.cursor, key, str, scope=_SCOPE)
    rows = await platform.db.fetch(_FIGURES, after, query.size + 1)
    types, owner = platform.registry.event_types, platform.registry.owner
    items = []
    for name, kind, first, last, counted, about in rows[: query.size]:
        known = types.get(name)
        needed = {EVENTS_READ} | ({known.permission} if known and known.permission else set())
        told = all(actor.scope(each) == "all" for each in needed)
        many = counted > COUNTED
        items.append(
            TypeFigures(
                name=name,
                label=label_of(platform.registry, name, locale),
                kind=kind,
                registered_by=owner("event_types", name),
                first_seen_at=first,
                last_at=last if told else None,
                count=None if not told else max(about or 0, COUNTED) if many else counted,
                about=many,
            )
        )
    return Page(items, encode_cursor(items[-1].name, key, scope=_SCOPE) if len(rows) > query.size else None)


async def properties(platform: Platform, actor: Actor, name: str, *, locale: str) -> TypeProperties:
    """Return what the latest events of a type say that `actor` sees, by one statement.

    Raises:
        NotFound: If the actor sees none.
    """
    values: list[Any] = []
    guard = seen(actor, platform.registry, values)
    sql = _SAMPLE.format(visible=visible_customers(actor, "c", EVENTS_READ), seen=guard)
    rows = await platform.db.fetch(sql, name, *values)
    if not rows:
        raise NotFound(text("There are no events {name!r}", name=name))
    rules = rules_of(actor)
    quoting = bool(rules) and name in PLATFORM_EVENTS
    told = [_decode(veiled(text_, rules) if quoting and kind == "platform" else text_) for kind, text_ in rows]
    return TypeProperties(
        name=name,
        label=label_of(platform.registry, name, locale),
        registered_by=platform.registry.owner("event_types", name),
        sample=len(told),
        properties=_told(told, whole=not rules),
    )


def _told(events: Iterable[dict[str, Any]], *, whole: bool) -> list[Property]:
    values: dict[str, list[Any]] = {}
    number = 0
    for each in events:
        number += 1
        for name, value in each.items():
            values.setdefault(name, []).append(value)
    found = [
        Property(
            name=name,
            types=sorted({_type(value) for value in held}),
            share=len(held) / number,
            example=_example(next((value for value in held if value is not None), None), whole=whole),
        )
        for name, held in values.items()
    ]
    return sorted(found, key=lambda each: (-each.share, each.name))


def _type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object" if isinstance(value, dict) else "number"


def _example(value: Any, *, whole: bool) -> str:
    if not whole and isinstance(value, str | list | dict):
        return HIDDEN
    shown = value if isinstance(value, str) else _encode(value).decode()
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
