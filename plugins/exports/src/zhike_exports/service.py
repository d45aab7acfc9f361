"""Hands out customers and events: from one snapshot, in constant memory, masked, scoped and audited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from zhike import wire
from zhike.access import audit
from zhike.access.masking import field_of, hidden_fields
from zhike.access.roles import CUSTOMERS_EXPORT, CUSTOMERS_READ, EVENTS_READ
from zhike.access.scope import visible_customers
from zhike.conditions import service as conditions
from zhike.conditions.compiler.statement import compile_members, planning
from zhike.conditions.relations import relations_read
from zhike.customers.identities import order
from zhike.customers.service import COLUMNS, customer_of
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
PIECE = 64 * 1024
"""Bytes that are sent together."""

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_CUSTOMERS = f"""
SELECT {COLUMNS} FROM customer AS c
WHERE {{visible}} AND {{members}} AND ({{since}} IS NULL OR c.updated_at >= {{since}})
  AND ({{until}} IS NULL OR c.updated_at < {{until}})
ORDER BY c.id
"""
_EVENTS = """
SELECT e.name, e.message_id, e.occurred_at, e.amount, e.currency, e.properties::text, e.source,
  (SELECT array_agg(ARRAY[i.namespace, i.value]) FROM identity AS i WHERE i.customer_id = e.customer_id) AS identities
FROM event AS e JOIN customer AS c ON c.id = e.customer_id
WHERE e.behaviour AND {visible} AND {members} AND ({since} IS NULL OR e.occurred_at >= {since})
  AND ({until} IS NULL OR e.occurred_at < {until}) {seen}
ORDER BY e.batch_id, e.id
"""
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
    actor.require(CUSTOMERS_EXPORT)
    actor.require(EVENTS_READ if kind == "events" else CUSTOMERS_READ)
    await platform.customer_fields.renew()
    wanted = usable(kind, wanted, platform.settings.zone)
    checked = None
    if wanted.condition is not None:
        checked = conditions.check(platform, wanted.condition, actor=actor)
    details = {"kind": kind, **{k: v for k, v in msgspec.to_builtins(wanted).items() if v not in (None, [], ())}}
    await _note(platform, actor, "export.start", details)
    try:
        async with aclosing(_pieces(platform, actor, kind, wanted, checked, progress)) as pieces:
            async for piece in pieces:
                yield piece
        progress.whole = True
    finally:
        await _note(platform, actor, "export.end", {"kind": kind, "rows": progress.rows, "whole": progress.whole})


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
        sql, values = _statement(platform, actor, kind, wanted, checked)

        def members(row: Any) -> dict[str, Any]:
            if kind == "events":
                return writing.event_members(row, actor)
            return writing.customer_members(platform.customer_fields.opened(customer_of(row, actor)), names)

        write = _writer(kind, wanted, columns)
        buffer = bytearray((BOM * wanted.bom + line(columns)).encode() if wanted.format == "csv" else b"")
        if checked is not None:
            await connection.execute(planning(checked))
        async with relations_read(connection, checked) if checked is not None else nullcontext():
            async for row in connection.cursor(sql, *values, prefetch=PREFETCH):
                buffer += write(members(row))
                progress.rows += 1
                if len(buffer) >= PIECE:
                    yield bytes(buffer)
                    buffer.clear()
        yield bytes(buffer)


def _statement(
    platform: Platform, actor: Actor, kind: Kind, wanted: Wanted, checked: Checked | None
) -> tuple[str, list[Any]]:
    sql, values = "true", list[Any]()
    if checked is not None:
        inner, values = compile_members(
            checked, select="customer.id", moment=conditions.moment(platform.settings), visible="true"
        )
        sql = f"c.id IN ({inner})"
    values += [wanted.since, wanted.until]
    since, until = (f"${len(values) - back}::timestamptz" for back in (1, 0))
    visible = visible_customers(actor, "c", CUSTOMERS_EXPORT)
    if kind == "customers":
        visible += f" AND {visible_customers(actor, 'c', CUSTOMERS_READ)}"
        return _CUSTOMERS.format(visible=visible, members=sql, since=since, until=until), values
    visible += f" AND {visible_customers(actor, 'c', EVENTS_READ)}"
    rest = values[1:]
    guarded = seen(actor, platform.registry, rest)
    return _EVENTS.format(visible=visible, members=sql, since=since, until=until, seen=guarded), values[:1] + rest


async def _columns(connection: Connection, actor: Actor, kind: Kind, wanted: Wanted) -> list[str]:
    """Return the columns: those that are asked for, or all but properties one by one."""
    if wanted.fields:
        return list(wanted.fields)
    if wanted.format == "jsonl":
        return []
    hidden = hidden_fields(actor)
    namespaces = [row[0] for row in await connection.fetch(_NAMESPACES) if field_of(row[0]) not in hidden]
    identities = [f"identity:{namespace}" for namespace in sorted(namespaces, key=order)]
    if kind == "events":
        return [*identities, *EVENT, "properties"]
    shown = [field for field in CUSTOMER if field not in hidden]
    visible = visible_customers(actor, "c", CUSTOMERS_EXPORT)
    keys = [row[0] for row in await connection.fetch(_ATTRIBUTES.format(visible=visible))]
    return [ID, *identities, *shown, *(f"attribute:{key}" for key in keys if f"attributes.{key}" not in hidden)]


def _writer(kind: Kind, wanted: Wanted, columns: Sequence[str]) -> Callable[[dict[str, Any]], bytes]:
    cells = writing.event_cells if kind == "events" else writing.customer_cells
    if wanted.format == "csv":
        return lambda members: line(cells(members, columns)).encode()
    if columns:
        return lambda members: wire.encode({n: members[n] for n in columns if n in members}, "json") + b"\n"
    return lambda members: wire.encode(members, "json") + b"\n"
