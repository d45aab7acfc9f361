"""Hands out customers and events: from one snapshot, in constant memory, masked, scoped and audited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Sequence
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from zhike import wire
from zhike.access import audit
from zhike.access.masking import field_of, hidden_fields
from zhike.access.roles import CUSTOMERS_EXPORT, CUSTOMERS_READ, EVENTS_READ
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID
from zhike.conditions import service as conditions
from zhike.conditions.catalog import attributes_in_use
from zhike.conditions.compiler.statement import compile_members, planning
from zhike.conditions.relations import relations_read
from zhike.customers.identities import order
from zhike.customers.service import COLUMNS, customer_of, found_ids
from zhike.events.sight import seen
from zhike_exports.schemas import Exported, Kind, Wanted
from zhike_exports.writing import rows as writing
from zhike_exports.writing.cells import BOM, line
from zhike_exports.writing.columns import CUSTOMER, EVENT, ID, usable

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.conditions.checked import Checked
    from zhike.orm import Connection
    from zhike.platform import Platform

PREFETCH = 500
_PAGE = 10_000
"""Customers that a search looks up at a time."""
PIECE = 64 * 1024
"""Bytes that are sent together."""

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_SOME_CUSTOMERS = """
FROM customer AS c
WHERE {visible} AND {members} AND ({since} IS NULL OR c.updated_at >= {since})
  AND ({until} IS NULL OR c.updated_at < {until})
"""
_CUSTOMERS = f"SELECT {COLUMNS} {{some}} ORDER BY c.id"
_SOME_EVENTS = """
FROM event AS e JOIN customer AS c ON c.id = e.customer_id
WHERE e.behaviour AND {visible} AND {members} AND ({since} IS NULL OR e.occurred_at >= {since})
  AND ({until} IS NULL OR e.occurred_at < {until}) {seen}
"""
_EVENTS = """
SELECT e.name, e.message_id, e.occurred_at, e.amount, e.currency, e.properties::text, e.source,
  (SELECT array_agg(ARRAY[i.namespace, i.value]) FROM identity AS i WHERE i.customer_id = e.customer_id) AS identities
{some} ORDER BY e.batch_id, e.id
"""
_COUNT = "SELECT count(*) FROM (SELECT {some} LIMIT {most}) AS found"
_COUNTED = 100_000
"""Rows that are counted at most before an export."""
_PATIENCE = 5
"""Seconds that counting may take."""
_NAMESPACES = """
WITH RECURSIVE found AS (
  SELECT min(namespace) AS namespace FROM identity
  UNION ALL
  SELECT (SELECT min(namespace) FROM identity WHERE namespace > f.namespace)
  FROM found AS f WHERE f.namespace IS NOT NULL
) SELECT namespace FROM found WHERE namespace IS NOT NULL
"""
_ATTRIBUTES = (
    "SELECT DISTINCT key FROM customer AS c, jsonb_object_keys(c.attributes) AS key WHERE {visible} ORDER BY key"
)
_OWNERS = "SELECT id, login FROM app_user"
_TEAMS = "SELECT id, name FROM team"


async def export(
    platform: Platform, actor: Actor, kind: Kind, wanted: Wanted, progress: Exported
) -> AsyncGenerator[bytes, None]:
    """Hand out customers or events; what was handed out when the generator is closed before its end is not whole.

    Args:
        platform: The process's platform.
        actor: Who asks, sees fields masked or not at all as everywhere, and exports only whom they may.
        kind: What.
        wanted: Which, and how they are written.
        progress: Kept up to date.

    Yields:
        The file, piece by piece.

    Raises:
        Forbidden: If the actor may not export, or not read events.
        BadRequest: If there is no such column, or an instant is no use.
        BadCondition: If the condition cannot be used.
    """
    wanted, checked = await _checked(platform, actor, kind, wanted)
    details = {"kind": kind, **{k: v for k, v in msgspec.to_builtins(wanted).items() if v not in (None, "", [], ())}}
    await _note(platform, actor, "export.start", details)
    try:
        async with aclosing(_pieces(platform, actor, kind, wanted, checked, progress)) as pieces:
            async for piece in pieces:
                yield piece
        progress.whole = True
    finally:
        await _note(platform, actor, "export.end", {"kind": kind, "rows": progress.rows, "whole": progress.whole})


async def count(platform: Platform, actor: Actor, kind: Kind, wanted: Wanted) -> tuple[int, bool] | None:
    """Return how many rows an export would have, and whether these are only the first that were counted.

    Args:
        platform: The process's platform.
        actor: Who asks.
        kind: What.
        wanted: Which.

    Returns:
        None if that takes too long to be told.

    Raises:
        Forbidden: As `export`, and so on.
    """
    wanted, checked = await _checked(platform, actor, kind, wanted)
    try:
        async with platform.db.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{_PATIENCE}s'")
            if checked is not None:
                await connection.execute(planning(checked))
            async with relations_read(connection, checked) if checked is not None else nullcontext():
                found = await _found(connection, actor, wanted)
                some, values = _some(platform, actor, kind, wanted, checked, found)
                rows: int = await connection.fetchval(_COUNT.format(some=some, most=_COUNTED + 1), *values)
    except asyncpg.QueryCanceledError:
        return None
    return min(rows, _COUNTED), rows > _COUNTED


async def offered(platform: Platform, actor: Actor, kind: Kind) -> list[str]:
    """Return columns to choose from: of attributes that have no field, those used lately."""
    hidden = hidden_fields(actor)
    async with platform.db.connection() as connection:
        fixed = await _fixed(connection, hidden, kind)
        if kind == "events":
            return fixed
        used = await attributes_in_use(connection, actor)
    known = [key for key, field in platform.customer_fields.known.items() if not (field.built_in or field.archived)]
    keys = dict.fromkeys([*known, *(each.field.removeprefix("customer.attributes.") for each in used)])
    return [*fixed, *(f"attribute:{key}" for key in keys if f"attributes.{key}" not in hidden)]


async def _checked(platform: Platform, actor: Actor, kind: Kind, wanted: Wanted) -> tuple[Wanted, Checked | None]:
    actor.require(CUSTOMERS_EXPORT)
    actor.require(EVENTS_READ if kind == "events" else CUSTOMERS_READ)
    await platform.customer_fields.renew()
    wanted = usable(kind, wanted, platform.settings.zone)
    if wanted.condition is None:
        return wanted, None
    return wanted, conditions.check(platform, wanted.condition, actor=actor)


async def _found(connection: Connection, actor: Actor, wanted: Wanted) -> list[int] | None:
    """Return whom the search finds; None without one."""
    if not wanted.q.strip():
        return None
    found: list[int] = []
    page = await found_ids(connection, actor, wanted.q, MAX_ID, _PAGE)
    while page:
        found += page
        page = await found_ids(connection, actor, wanted.q, page[-1], _PAGE) if len(page) == _PAGE else []
    return found


async def _note(platform: Platform, actor: Actor, action: str, details: dict[str, Any]) -> None:
    async with platform.db.transaction() as connection:
        await audit.record(connection, actor, action, "export", details)


async def _pieces(
    platform: Platform, actor: Actor, kind: Kind, wanted: Wanted, checked: Checked | None, progress: Exported
) -> AsyncGenerator[bytes, None]:
    async with platform.db.transaction() as connection:
        await connection.execute(_SNAPSHOT)
        names = writing.Names(
            dict(map(tuple, await connection.fetch(_OWNERS))), dict(map(tuple, await connection.fetch(_TEAMS)))
        )
        columns = await _columns(connection, actor, kind, wanted)
        found = await _found(connection, actor, wanted)
        some, values = _some(platform, actor, kind, wanted, checked, found)
        sql = (_CUSTOMERS if kind == "customers" else _EVENTS).format(some=some)

        def members(row: Any) -> dict[str, Any]:
            if kind == "events":
                return writing.event_members(row, actor)
            return writing.customer_members(platform.customer_fields.opened(customer_of(row, actor)), names)

        if checked is not None:
            await connection.execute(planning(checked))
        async with relations_read(connection, checked) if checked is not None else nullcontext():

            async def rows() -> AsyncGenerator[dict[str, Any], None]:
                async for row in connection.cursor(sql, *values, prefetch=PREFETCH):
                    progress.rows += 1
                    yield members(row)

            write = _workbook if wanted.format == "xlsx" else _text
            async with aclosing(rows()) as given, aclosing(write(kind, wanted, columns, given)) as pieces:
                async for piece in pieces:
                    yield piece


async def _text(
    kind: Kind, wanted: Wanted, columns: Sequence[str], rows: AsyncIterable[dict[str, Any]]
) -> AsyncGenerator[bytes, None]:
    write = _writer(kind, wanted, columns)
    buffer = bytearray((BOM * wanted.bom + line(columns)).encode() if wanted.format == "csv" else b"")
    async for members in rows:
        buffer += write(members)
        if len(buffer) >= PIECE:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


async def _workbook(
    kind: Kind, wanted: Wanted, columns: Sequence[str], rows: AsyncIterable[dict[str, Any]]
) -> AsyncGenerator[bytes, None]:
    from zhike_exports.writing.sheet import Sheet  # takes a moment to import

    cells, waiting = _cells(kind), list[list[Any]]()
    sheet = Sheet(kind, columns)
    try:
        async for members in rows:
            waiting.append(cells(members, columns))
            if len(waiting) >= PREFETCH:
                await asyncio.to_thread(sheet.append, waiting)
                waiting = []
        await asyncio.to_thread(sheet.append, waiting)
        pieces = sheet.pieces()
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        await asyncio.to_thread(sheet.close)


def _some(
    platform: Platform, actor: Actor, kind: Kind, wanted: Wanted, checked: Checked | None, found: list[int] | None
) -> tuple[str, list[Any]]:
    """Return what follows after `SELECT …`, and its values."""
    sql, values = "true", list[Any]()
    if checked is not None:
        inner, values = compile_members(
            checked, select="customer.id", moment=conditions.moment(platform.settings), visible="true"
        )
        sql = f"c.id IN ({inner})"
    if found is not None:
        values.append(found)
        sql += f" AND c.id = ANY(${len(values)}::bigint[])"
    values += [wanted.since, wanted.until]
    since, until = (f"${len(values) - back}::timestamptz" for back in (1, 0))
    visible = visible_customers(actor, "c", CUSTOMERS_EXPORT)
    if kind == "customers":
        visible += f" AND {visible_customers(actor, 'c', CUSTOMERS_READ)}"
        return _SOME_CUSTOMERS.format(visible=visible, members=sql, since=since, until=until), values
    visible += f" AND {visible_customers(actor, 'c', EVENTS_READ)}"
    rest = values[1:]
    guarded = seen(actor, platform.registry, rest)
    return _SOME_EVENTS.format(visible=visible, members=sql, since=since, until=until, seen=guarded), values[:1] + rest


async def _columns(connection: Connection, actor: Actor, kind: Kind, wanted: Wanted) -> list[str]:
    """Return the columns: those that are asked for, or all but properties one by one."""
    if wanted.fields:
        return list(wanted.fields)
    if wanted.format == "jsonl":
        return []
    hidden = hidden_fields(actor)
    fixed = await _fixed(connection, hidden, kind)
    if kind == "events":
        return fixed
    visible = visible_customers(actor, "c", CUSTOMERS_EXPORT)
    keys = [row[0] for row in await connection.fetch(_ATTRIBUTES.format(visible=visible))]
    return [*fixed, *(f"attribute:{key}" for key in keys if f"attributes.{key}" not in hidden)]


async def _fixed(connection: Connection, hidden: Collection[str], kind: Kind) -> list[str]:
    """Return the columns that do not depend on which attributes customers have."""
    namespaces = [row[0] for row in await connection.fetch(_NAMESPACES) if field_of(row[0]) not in hidden]
    identities = [f"identity:{namespace}" for namespace in sorted(namespaces, key=order)]
    if kind == "events":
        return [*identities, *EVENT, "properties"]
    return [ID, *identities, *(field for field in CUSTOMER if field not in hidden)]


def _writer(kind: Kind, wanted: Wanted, columns: Sequence[str]) -> Callable[[dict[str, Any]], bytes]:
    cells = _cells(kind)
    if wanted.format == "csv":
        return lambda members: line(cells(members, columns)).encode()
    if columns:
        return lambda members: wire.encode({n: members[n] for n in columns if n in members}, "json") + b"\n"
    return lambda members: wire.encode(members, "json") + b"\n"


def _cells(kind: Kind) -> Callable[[dict[str, Any], Sequence[str]], list[Any]]:
    return writing.event_cells if kind == "events" else writing.customer_cells
