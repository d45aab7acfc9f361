"""A dry run: every row is read and checked, the stored events are only looked at."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from zhike.customers.identities import mask
from zhike.events.schemas import CheckedEvent, Rejection
from zhike.imports import batches
from zhike.imports.batches import Batch
from zhike.imports.plan import Plan
from zhike.imports.readers import Row
from zhike.money import to_major
from zhike.orm import Connection, Database
from zhike.settings import Settings

SHOWN_ROWS = 10
SHOWN_REJECTED = 5
ALIKE_SHARE = 0.05
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


class Preview(msgspec.Struct):
    """What an import would do.

    Args:
        rows: Data rows of the file.
        fresh: Rows that would be stored.
        stored: Rows whose id is stored already.
        alike: Further rows that equal a stored event in customer, name, time and amount.
        rejected: Rows that would be set aside.
        table: The first rows as they would be read, under a header.
        reasons: The first rejected rows with their reasons.
    """

    rows: int = 0
    fresh: int = 0
    stored: int = 0
    alike: int = 0
    rejected: int = 0
    table: list[list[str]] = []
    reasons: list[tuple[Row, Rejection]] = []

    @property
    def looks_known(self) -> bool:
        """Whether so many rows equal stored events that the file was probably imported before."""
        return self.alike > self.rows * ALIKE_SHARE


async def preview(
    db: Database,
    plan: Plan,
    settings: Settings,
    *,
    on_progress: Callable[[int], None] = lambda position: None,
) -> Preview:
    """Read a whole file as an import would, and write nothing.

    Args:
        db: The database.
        plan: The import.
        settings: The deployment's settings.
        on_progress: Called with the bytes read so far after each batch.
    """
    result = Preview()
    for batch in batches.read(plan, settings):
        result.rows += len(batch.rows)
        result.rejected += len(batch.rejected)
        _show(result, batch, settings.zone)
        async with db.connection() as connection:
            stored, alike = await _compare(connection, batch.events)
        result.stored += stored
        result.alike += alike
        result.fresh += len(batch.events) - stored
        on_progress(batch.position)
    return result


def drawn(table: Sequence[Sequence[str]]) -> str:
    """Return rows as lines of aligned columns; a Chinese character is two wide."""
    cut = [[_cut(cell) for cell in row] for row in table]
    widths = [max(map(_width, column)) for column in zip(*cut, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cut
    )


async def _compare(connection: Connection, events: Sequence[CheckedEvent]) -> tuple[int, int]:
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
    return found[0], found[1]


def _show(result: Preview, batch: Batch, zone: ZoneInfo) -> None:
    if not result.table:
        result.table.append(["row", "name", "occurred_at", "identities", "amount", "traits", "properties"])
    for event in batch.events[: SHOWN_ROWS + 1 - len(result.table)]:
        result.table.append([str(batch.rows[event.index].number), *_cells(event, zone)])
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
