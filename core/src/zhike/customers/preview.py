"""What a merge would do, side by side, before anybody does it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields, unshown_fields
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.customers.identities import is_strong
from zhike.customers.merging import MergeRequest, Plan, plan, takings
from zhike.customers.service import Customer, many
from zhike.customers.traits import OWN, Cause, Draft, Taken, plain_name, public_name
from zhike.i18n import text
from zhike.platform import Platform
from zhike.plugins.moved_rows import TableRows, count_rows

_ROWS = """
SELECT id, kind, name, phone, email, company, stage, attributes::text, provenance::text FROM customer
WHERE id = ANY($1::bigint[])
"""
_EVENTS = """
SELECT customer_id, sum(count)::bigint FROM customer_event_stat
WHERE customer_id = ANY($1::bigint[]) AND name = '*' GROUP BY 1
"""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the customers.

    Args:
        customer: As it is, its identities included.
        provenance: Field to the source and the instant (epoch milliseconds) of the event that set it.
        events: How many behaviours are stored of it.
    """

    customer: Customer
    provenance: dict[str, tuple[str, int]]
    events: int


class FieldChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whose value the winner would have in a field in which the customers differ.

    Args:
        field: The field.
        taken_from: The customer's id.
        why: `chosen`, `winner` (its value stays) or `gap` (the winner has none, or an older word cleared it).
    """

    field: str
    taken_from: int
    why: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge would do.

    Args:
        winner: Who remains.
        suggested_winner: Who might better remain: the one with strong identities, the most events, the lowest id.
        sides: The customers, the winner first.
        fields: Whose value is taken, of each field in which they differ.
        rows: What plugins keep about them.
        obstacles: What stands against it, in words; nothing if it can be done.
    """

    winner: int
    suggested_winner: int
    sides: list[Side]
    fields: list[FieldChoice]
    rows: list[TableRows]
    obstacles: list[str]


async def preview(platform: Platform, actor: Actor, request: MergeRequest, *, locale: str) -> Preview:
    """Return what `merge` would do; nothing is written.

    Args:
        platform: The process's platform.
        actor: Who asks, and sees masked what they may not see.
        request: As for `merge`.
        locale: The reader's language.

    Raises:
        BadRequest, NotFound, Conflict: As `merge`.
    """
    duties = platform.hooks.implementers("merge_customer_data")
    async with platform.db.connection() as connection:
        found = await plan(connection, actor, request)
        drafts = {row["id"]: Draft(row["id"], row) for row in await connection.fetch(_ROWS, found.all)}
        shown = await many(connection, actor, found.all, permission=CUSTOMERS_MERGE)
        events = dict(map(tuple, await connection.fetch(_EVENTS, found.all)))
        rows = await count_rows(connection, found.all)
    before = {each: (draft.fields(), dict(draft.provenance)) for each, draft in drafts.items()}
    taken = takings(found, drafts, Cause(actor.origin, live=True))
    opened = platform.customer_fields.opened
    customers = {each: opened(customer) for each, customer in shown.items()}
    hidden = unshown_fields(actor)
    sides = [
        Side(customer=customers[each], provenance=_provenance(before[each][1], hidden), events=events.get(each, 0))
        for each in found.all
    ]
    obstacles = [
        text("Rows in {table} can be merged only while the plugin {plugin} runs", table=each.table, plugin=each.plugin)
        for each in rows
        if each.on_merge == "hook" and each.plugin not in duties and each.rows.keys() & set(found.losers)
    ]
    return Preview(
        winner=found.winner,
        suggested_winner=min(found.all, key=lambda each: _weakness(customers[each], events.get(each, 0))),
        sides=sides,
        fields=[
            choice
            for choice in _choices(
                found, {each: fields for each, (fields, _) in before.items()}, taken, masked_fields(actor)
            )
            if choice.field not in hidden
        ],
        rows=rows,
        obstacles=[each.render(locale) for each in obstacles],
    )


def _provenance(provenance: Mapping[str, tuple[str, int]], hidden: Collection[str]) -> dict[str, tuple[str, int]]:
    return {name: word for field, word in provenance.items() if (name := public_name(field)) not in hidden}


def _weakness(customer: Customer, events: int) -> tuple[int, int, int]:
    strong = sum(len(values) for namespace, values in customer.identities.items() if is_strong(namespace))
    return (-strong, -events, customer.id)


def _choices(
    found: Plan, fields: Mapping[int, Mapping[str, Any]], taken: Mapping[int, Taken], masked: Collection[str]
) -> list[FieldChoice]:
    values: dict[str, list[Any]] = {column: [found.rows[each][column] for each in found.all] for column in OWN}
    for name in sorted({public_name(field) for each in fields.values() for field in each}):
        values[name] = [fields[each].get(plain_name(name)) for each in found.all]
    choices = []
    for name, theirs in values.items():
        # Of values that are masked nobody is told whether they are the same: one of them may be a guess.
        if all(value is None if name in masked else value == theirs[0] for value in theirs):
            continue
        # Of several who could fill a gap, and of several choices, the last one counts.
        source = next((loser for loser in reversed(found.losers) if name in taken[loser]), found.winner)
        why = "chosen" if name in found.chosen else "winner" if source == found.winner else "gap"
        choices.append(FieldChoice(field=name, taken_from=source, why=why))
    return choices
