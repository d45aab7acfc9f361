"""A dry run: every row is read and checked, the stored events are only looked at."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Generator, Sequence
from zoneinfo import ZoneInfo

from zhike.customers.identities import mask
from zhike.events.schemas import CheckedEvent
from zhike.money import to_major
from zhike.platform import Platform
from zhike_imports.run import people
from zhike_imports.run.batches import read
from zhike_imports.schemas import Batch, Plan, Preview, Run
from zhike_imports.service import checked_types, store

SHOWN_ROWS = 10
SHOWN_REJECTED = 5
_CELL = 32

# What is stored under the same id, and what is another row's event of the same customer with the same name,
# time and amount: probably the same file in another shape.
_COMPARE = """
SELECT count(*) FILTER (WHERE stored), count(*) FILTER (WHERE alike AND NOT stored)
FROM (
  SELECT
    EXISTS (SELECT FROM event WHERE event.message_id = given.message_id) AS stored,
    EXISTS (
      SELECT FROM identity JOIN event USING (customer_id)
      WHERE identity.namespace = given.namespace AND identity.value = given.value
        AND event.occurred_at = given.occurred_at AND event.name = given.name
        AND event.amount IS NOT DISTINCT FROM given.amount) AS alike
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
    AS given (message_id, namespace, value, name, occurred_at, amount)) AS compared
"""

_CHANGES = """
SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created AND (identities <> '[]' OR EXISTS (
  SELECT FROM event AS e WHERE e.import_id = c.import_id AND e.customer_id = c.customer_id
)))
FROM import_change AS c WHERE import_id = $1
"""


async def preview(
    platform: Platform,
    plan: Plan,
    *,
    on_progress: Callable[[int, Preview], Awaitable[None]] | None = None,
    batches: int | None = None,
) -> Preview:
    """Read a file as an import would, and write nothing.

    Args:
        platform: The process's platform.
        plan: The import.
        on_progress: Called after each batch with the bytes read and what was found so far.
        batches: How many batches of up to 2,000 rows are read; the whole file when absent.
    """
    result = Preview()
    types, whom = await checked_types(platform, plan), await people.load(platform)
    compare = _count_events if plan.options.kind == "events" else _count_customers
    reader = read(plan, platform.settings, types=types, people=whom)
    try:
        while batches is None or (batches := batches - 1) >= 0:
            if (batch := await asyncio.to_thread(_next, reader)) is None:
                break
            result.rows += len(batch.rows)
            await compare(platform, batch, result)
            _show(result, batch, platform.settings.zone)
            result.rejected += len(batch.rejected)
            if on_progress is not None:
                await on_progress(batch.position, result)
    finally:
        reader.close()
    return result


def _next(reader: Generator[Batch, None, None]) -> Batch | None:
    return next(reader, None)


def drawn(table: Sequence[Sequence[str]]) -> str:
    """Return rows as lines of aligned columns; a Chinese character is two wide."""
    cut = [[_cut(cell) for cell in row] for row in table]
    widths = [max(map(_width, column)) for column in zip(*cut, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cut
    )


async def _count_events(platform: Platform, batch: Batch, result: Preview) -> None:
    events = batch.events
    async with platform.db.connection() as connection:
        found = await connection.fetchrow(
            _COMPARE,
            [event.message_id for event in events],
            [event.identities[0][0] for event in events],
            [event.identities[0][1] for event in events],
            [event.name for event in events],
            [event.occurred_at for event in events],
            [event.amount for event in events],
        )
    assert found is not None  # noqa: S101  # an aggregate always gives a row
    result.stored += found[0]
    result.alike += found[1]
    result.fresh += len(events) - found[0]


async def _count_customers(platform: Platform, batch: Batch, result: Preview) -> None:
    """Store a batch and take it back at once: what comes of it is known exactly, but for rows of different batches."""
    passing = Run(-1 - secrets.randbits(40), 0, 0, 0, 0)
    with contextlib.suppress(_NothingIsWritten):
        async with platform.db.transaction() as connection:
            stored = await store(platform, connection, passing, batch)
            created, changed = await connection.fetchrow(_CHANGES, passing.id) or (0, 0)
            raise _NothingIsWritten
    batch.rejected += stored.rejected
    result.created += created
    result.changed += changed
    result.stored += stored.duplicate
    result.fresh += stored.accepted


class _NothingIsWritten(Exception):
    """Raised to roll a trial back."""


def _show(result: Preview, batch: Batch, zone: ZoneInfo) -> None:
    if not result.table:
        result.table.append(["row", "name", "occurred_at", "identities", "amount", "traits", "properties"])
    for event in batch.events[: SHOWN_ROWS + 1 - len(result.table)]:
        result.table.append([str(batch.rows[event.index].number), *_cells(event, zone)])
    for rejection in batch.rejected:
        row = batch.rows[rejection.index]
        rows, first, why = result.groups.get(rejection.code, (0, row, rejection))
        result.groups[rejection.code] = (rows + 1, first, why)
    for rejection in batch.rejected[: SHOWN_REJECTED - len(result.reasons)]:
        result.reasons.append((batch.rows[rejection.index], rejection))


def _cells(event: CheckedEvent, zone: ZoneInfo) -> list[str]:
    amount = ""
    if event.amount is not None and event.currency is not None:
        amount = f"{to_major(event.amount, event.currency)} {event.currency}"
    return [
        event.name,
        event.occurred_at.astimezone(zone).isoformat(" ", "seconds"),
        ", ".join(f"{namespace}:{_masked(namespace, value)}" for namespace, value in event.identities),
        amount,
        ", ".join(f"{key}={_masked(key, str(value))}" for key, value in (event.traits or {}).items()),
        event.properties,
    ]


def _masked(name: str, value: str) -> str:
    return mask(value) if name in {"phone", "email"} else value


def _width(cell: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in cell)


def _cut(cell: str) -> str:
    # Control characters of a value must not reach the terminal.
    shown = "".join(character if character.isprintable() else "·" for character in cell[:_CELL])
    return shown if len(cell) <= _CELL else shown[:-1] + "…"
