"""Lists the customers for whom a condition holds, page by page, in an order of the reader's choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from zhike import wire
from zhike.access.actor import Actor
from zhike.access.scope import visible_customers
from zhike.api import Page
from zhike.conditions.catalog import CUSTOMER
from zhike.conditions.checked import Attribute, Checked, Column, FieldTest, leaves
from zhike.conditions.compiler.statement import PLANNING, compile_members
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Condition
from zhike.conditions.service import check, moment
from zhike.conditions.turns import turn
from zhike.customers.service import Customer, many
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.platform import Platform

MAX_SORT = 3
"""How many fields customers are ordered by at most."""
COMPARED = 100
"""Characters of a text that count for the order, so that a cursor stays short."""

_ID = "customer.id"
_IN_ORDER = " SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0"
"""Settings for what is asked of customers alone, in an order that an index has.

PostgreSQL takes comparisons of attributes for rarer than they are, and would read all customers and sort those it
finds; read in their order, the page is full soon. If next to nobody is found, this reads all of them too.
"""
_INDEXED = frozenset({"id", "name", "created_at"})
_PAGE = "SELECT {keys} FROM ({members}) AS customer WHERE {after} ORDER BY {order} LIMIT {limit}"


class _Key(msgspec.Struct, frozen=True):
    """One SQL expression that customers are ordered by; those without a value come last in either direction.

    Args:
        sql: The expression over `customer`.
        type: Its SQL type.
        descending: Whether the greatest comes first.
        required: Whether every customer has a value; an index can then be read in either direction.
    """

    sql: str
    type: str
    descending: bool = False
    required: bool = False

    @property
    def order(self) -> str:
        return f"{self.sql} {'DESC' if self.descending else 'ASC'}{'' if self.required else ' NULLS LAST'}"


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """What a cursor holds: the instant that counts as now on all pages, and the values of a page's last customer."""

    now: datetime
    values: list[str | None]


async def search(
    platform: Platform,
    actor: Actor,
    condition: Condition,
    *,
    sort: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
    at: datetime | None = None,
    key: bytes = b"",
) -> Page[Customer]:
    """Return a page of the customers that `actor` sees and a condition holds for.

    Args:
        platform: The process's platform.
        actor: Who asks.
        condition: A decoded condition.
        sort: Up to three fields of customers in the order of their weight, those that begin with `-` descending:
            `name`, `-updated_at`, `attributes.city`. Texts are ordered by the code points of their first 100
            characters; of attributes, numbers come before texts. Customers without a value come last; those that are
            alike are ordered by id.
        limit: Customers on the page.
        cursor: `next` of the page before. What counts as now is then what counted there.
        at: The instant that counts as now, in the deployment's zone when naive; None for the present one.
        key: The deployment's secret that signs cursors.

    Raises:
        BadCondition: If condition or sort cannot be used, or it takes longer than a statement may.
        BadRequest: If `cursor` was not made for this search (code `cursor`), or `at` cannot be used (code `at`).
        TooMany: If too many questions about conditions are being answered already.
    """
    checked = check(platform, condition, actor=actor)
    asked = moment(platform.settings, at)
    fields = _fields(platform, actor, sort)
    scope = f"search:{sha256(wire.encode([condition, sort, at], 'json')).hexdigest()}"
    after = None if cursor is None else decode_cursor(cursor, key, _Place, scope=scope)
    if after is not None:
        asked = msgspec.structs.replace(asked, now=after.now)
    visible = visible_customers(actor)
    members, values = compile_members(checked, select="customer.*", moment=asked, visible=visible)
    keys = list(_keys(fields, values))
    # One more than asked for tells whether there is a next page.
    sql = _PAGE.format(
        keys=", ".join(f"({each.sql})::text" for each in keys),
        members=members,
        after=_after(keys, after.values, values) if after else "true",
        order=", ".join(each.order for each in keys),
        limit=limit + 1,
    )
    async with turn(platform.db, checked) as connection:
        await connection.execute(f"{PLANNING};{_IN_ORDER if _alone(checked, fields) else ''}")
        rows = await connection.fetch(sql, *values)
        shown = [int(row[-1]) for row in rows[:limit]]
        found = await many(connection, actor, shown)
    items = [platform.customer_fields.opened(found[each]) for each in shown if each in found]
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, encode_cursor(_Place(asked.now, list(rows[limit - 1])), key, scope=scope))


def _alone(checked: Checked, sort: Sequence[tuple[Column | Attribute, bool]]) -> bool:
    """Tell whether a condition asks for customers' own fields only, and an index has the first of those sorted by."""
    tests = leaves(checked)
    indexed = not sort or (isinstance(sort[0][0], Column) and sort[0][0].name in _INDEXED)
    return indexed and all(isinstance(each, FieldTest) and isinstance(each.field, Column | Attribute) for each in tests)


def _fields(platform: Platform, actor: Actor, sort: Sequence[str]) -> list[tuple[Column | Attribute, bool]]:
    """Return the fields to sort by, and whether each descends."""
    fields = []
    for index, named in enumerate(sort):
        path, name = f"sort[{index}]", named.removeprefix("-").removeprefix(CUSTOMER)
        try:
            field = platform.fields.find(CUSTOMER + name, path)
        except BadCondition:  # it names the fields of plugins too, by which nobody can sort
            field = None
        if not isinstance(field, Column | Attribute) or "\x00" in name:
            raise BadCondition(
                text("{path} is {key!r}; expected such as name, -updated_at or attributes.city", path=path, key=named)
            )
        platform.fields.require_readable(CUSTOMER + name, path, actor)
        fields.append((field, named.startswith("-")))
    return fields


def _keys(fields: Sequence[tuple[Column | Attribute, bool]], values: list[Any]) -> Iterator[_Key]:
    """Yield what rows are ordered by; the id, by which no two are alike, comes last."""
    for field, descending in fields:
        if isinstance(field, Attribute):
            values.append(field.key)
            value, read = (
                f"(customer.attributes -> ${len(values)}::text)",
                f"(customer.attributes ->> ${len(values)}::text)",
            )
            kind = f"jsonb_typeof({value})"
            yield _Key(f"(CASE WHEN {kind} = 'number' THEN {value}::numeric END)", "numeric", descending)
            yield _Key(
                f"left(CASE WHEN {kind} IN ('string', 'boolean') THEN {read} END, {COMPARED}) COLLATE \"C\"",
                "text",
                descending,
            )
        elif field.name == "id":
            yield _Key(_ID, "bigint", descending, required=True)
            return
        elif field.kind == "text":
            yield _Key(f'left(customer.{field.name}, {COMPARED}) COLLATE "C"', "text", descending)
        elif field.kind == "instant":
            yield _Key(f"customer.{field.name}", "timestamptz", descending, required=True)
        else:
            yield _Key(f"customer.{field.name}", "bigint", descending)
    yield _Key(_ID, "bigint", required=True)


def _after(keys: Sequence[_Key], last: Sequence[str | None], values: list[Any]) -> str:
    """Return the predicate that a row comes after the one whose keys are `last`."""
    alike, either = "", []
    for key, value in zip(keys, last, strict=True):
        if value is None:  # nothing comes after no value
            alike += f"{key.sql} IS NULL AND "
            continue
        values.append(value)
        place = f"${len(values)}::text::{key.type}"
        later = f"{key.sql} {'<' if key.descending else '>'} {place}"
        if not key.required:
            later = f"({later} OR {key.sql} IS NULL)"
        either.append(f"({alike}{later})")
        alike += f"{key.sql} = {place} AND "
    return f"({' OR '.join(either)})"
