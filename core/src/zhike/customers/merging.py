"""Merging customers that turned out to be one, because somebody said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from asyncpg import Record
from msgspec import Meta

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import unshown_fields
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID
from zhike.contracts import CustomersMerge
from zhike.customers import merge as sql
from zhike.customers import settled
from zhike.customers.departing import Departure, depart
from zhike.customers.facts import CustomerMerged
from zhike.customers.places import homes_of
from zhike.customers.resolve import Merge
from zhike.customers.search import index
from zhike.customers.service import Customer, not_found, winner_of, winners_of
from zhike.customers.sql import lock, update_customers
from zhike.customers.traits import OWN, Cause, Draft, Taken, Taking, Word, plain_name
from zhike.errors import BadRequest, Conflict, Forbidden, Unavailable
from zhike.events.facts import tell
from zhike.i18n import text
from zhike.orm import Connection
from zhike.plugins.rows import move_rows
from zhike.work import Work

MOST_LOSERS = 20
_DUTY = "merge_customer_data"
_ROUNDS = 5

_FOUND = "SELECT c.id, c.kind, c.owner, c.team FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND {visible}"

_IDENTITIES = "UPDATE identity SET customer_id = $1 WHERE customer_id = ANY($2::bigint[])"
_STATS = """
WITH lost AS (DELETE FROM customer_event_stat WHERE customer_id = ANY($2::bigint[]) RETURNING *)
INSERT INTO customer_event_stat AS s (customer_id, name, currency, count, sum, first_at, last_at)
SELECT $1, name, currency, sum(count), sum(sum), min(first_at), max(last_at) FROM lost GROUP BY name, currency
ON CONFLICT (customer_id, name, currency) DO UPDATE SET
  count = s.count + excluded.count, sum = s.sum + excluded.sum,
  first_at = least(s.first_at, excluded.first_at), last_at = greatest(s.last_at, excluded.last_at)
"""
# Who may be a loser may be the winner, and who is not one of them is not the winner either.
_CANDIDATES = """
WITH merged AS (
  UPDATE duplicate_candidate SET state = 'merged', decided_by = $3, decided_at = $4
  WHERE low_id = ANY($1::bigint || $2::bigint[]) AND high_id = ANY($1::bigint || $2::bigint[])
)
INSERT INTO duplicate_candidate AS d
  (low_id, high_id, reason, namespace, value, rules, score, created_at, state, decided_by, decided_at)
SELECT DISTINCT ON (1, 2) least($1, other), greatest($1, other), reason, namespace, value, rules, score, created_at,
  state, decided_by, decided_at
FROM (
  SELECT CASE WHEN low_id = ANY($2::bigint[]) THEN high_id ELSE low_id END AS other, c.*
  FROM duplicate_candidate AS c WHERE low_id = ANY($2::bigint[]) OR high_id = ANY($2::bigint[])
) AS theirs
WHERE other <> $1 AND other <> ALL($2::bigint[]) AND state <> 'merged' ORDER BY 1, 2, state, score DESC, created_at
ON CONFLICT (low_id, high_id) DO UPDATE SET
  state = 'distinct', decided_by = excluded.decided_by, decided_at = excluded.decided_at
WHERE excluded.state = 'distinct' AND d.state <> 'distinct'
"""
_LOOK_AFTER = "UPDATE customer SET owner = $2, team = $3 WHERE id = $1"

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which customers are one.

    Args:
        winner: The customer that remains.
        losers: Those that become part of it.
        fields: Of which customer a field's value is taken, where it is not to be found out: `name`, `owner`,
            `attributes.city` …
        mixed: Whether a person and a company may be merged.
    """

    winner: Id
    losers: Annotated[list[Id], Meta(min_length=1, max_length=MOST_LOSERS)]
    fields: Annotated[dict[str, Id], Meta(max_length=200)] = {}
    mixed: bool = False


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """A merge that took place.

    Args:
        merge_id: What undoes it.
        customer: The winner as it is now.
        loser_ids: Who became part of it.
        settling: Whether events of losers are still being moved, which shows nowhere but in derived figures.
    """

    merge_id: int
    customer: Customer
    loser_ids: list[int]
    settling: bool


class Plan(NamedTuple):
    """Who is to be merged.

    Args:
        winner: The customer that remains.
        losers: Those that become part of it, in the order given.
        chosen: Field to the customer whose value is taken.
        rows: Kind, owner and team of each.
    """

    winner: int
    losers: list[int]
    chosen: Mapping[str, int]
    rows: Mapping[int, Record]

    @property
    def all(self) -> list[int]:
        """Everybody."""
        return [self.winner, *self.losers]


async def plan(connection: Connection, actor: Actor, request: MergeRequest) -> Plan:
    """Find out who is meant; customers merged away stand for those they were merged into.

    Raises:
        BadRequest: If the winner is a loser, or a field is taken from somebody else.
        NotFound: If there is no such customer, or `actor` may not merge it.
        Forbidden: If it says whose value of a field is taken that is hidden from `actor`.
        Conflict: If they are one already, or a person and a company.
    """
    if request.winner in request.losers:
        raise BadRequest(text("losers: {id} is the winner", id=request.winner))
    everybody = {request.winner, *request.losers}
    found = await winners_of(connection, list(everybody))
    roots = {each: found.get(each) for each in everybody}
    visible = visible_customers(actor, "c", CUSTOMERS_MERGE)
    rows = {row["id"]: row for row in await connection.fetch(_FOUND.format(visible=visible), list(roots.values()))}
    for each in (request.winner, *request.losers):
        if roots[each] not in rows:
            if await winner_of(connection, each) != roots[each]:  # who was merged away in between
                return await plan(connection, actor, request)
            raise not_found(each)
    ids: dict[int, int] = {each: root for each, root in roots.items() if root is not None}
    winner = ids[request.winner]
    losers = list(dict.fromkeys(ids[each] for each in request.losers if ids[each] != winner))
    if not losers:
        raise Conflict(text("These customers are one already: {id}", id=winner), code="merged")
    if len({row["kind"] for row in rows.values()}) > 1 and not request.mixed:
        raise Conflict(text("A person and a company are not merged unless `mixed` is true"), code="mixed")
    if strangers := set(request.fields.values()) - ids.keys():
        raise BadRequest(text("fields: {id} is none of the customers to be merged", id=min(strangers)))
    if denied := sorted(unshown_fields(actor) & request.fields.keys()):
        raise Forbidden(text("{field} is hidden from your role", field=denied[0]), code="hidden")
    chosen = {field: ids[each] for field, each in request.fields.items()}
    return Plan(winner, losers, chosen, rows)


async def merge(work: Work, actor: Actor, request: MergeRequest) -> tuple[int, Plan]:
    """Merge customers inside a unit of work, which `Unavailable` lets begin again.

    Returns:
        The id of the merge, and who was merged.

    Raises:
        BadRequest, NotFound, Conflict: As `plan`; also if a plugin whose rows only itself can merge is off.
        Rejected: If a plugin stops it.
    """
    connection = work.connection
    done, drafts = await _locked(work, actor, request)
    planned = CustomersMerge(winner_id=done.winner, loser_ids=tuple(done.losers), fields=done.chosen)
    await work.platform.hooks.veto("before_customers_merge", actor=actor, merge=planned)
    await sql.lose(connection, done.all)
    winner, cause = drafts[done.winner], Cause(work.origin, live=True)
    taken = takings(done, drafts, cause)
    merges = [Merge(done.winner, loser, cause, taken[loser]) for loser in done.losers]
    recorded = await sql.record(connection, merges, work.now, chosen=True)
    merge_id = min(recorded.values())
    homes = await homes_of(connection, done.losers)
    for loser in done.losers:
        drafts[loser].merge_into(done.winner, cause)
    await update_customers(connection, list(drafts.values()), work.now)
    if winner.moved:
        own = [winner.moved.get(name, {"new": done.rows[done.winner][name]})["new"] for name in OWN]
        await connection.execute(_LOOK_AFTER, done.winner, *own)
    await connection.execute(_IDENTITIES, done.winner, done.losers)
    await connection.execute(_STATS, done.winner, done.losers)
    await connection.execute(_CANDIDATES, done.winner, done.losers, work.origin, work.now)
    departures = [Departure(loser, home, done.winner, recorded[loser]) for home, loser in homes.items()]
    left = await depart(work, departures)
    await index.renew(connection, done.all)
    await _hand_over(work, done, recorded)
    for loser in done.losers:
        work.emit(
            "customer.merged",
            done.winner,
            properties=CustomerMerged(loser_id=loser, reason="chosen", merge_id=merge_id),
        )
    tell(work, winner)
    await settled.close(work, done.all, left)
    details = {"merge_id": merge_id, "losers": done.losers, "fields": done.chosen}
    await audit.record(connection, actor, "customer.merge", f"customer:{done.winner}", details)
    return merge_id, done


def takings(done: Plan, drafts: Mapping[int, Draft], cause: Cause) -> dict[int, Taken]:
    """Have the winner take over fields, and return what it took from each loser.

    Raises:
        BadRequest: If a field is to be taken from a customer who has no value of it.
    """
    winner = drafts[done.winner]
    for field, each in done.chosen.items():
        value = done.rows[each][field] if field in OWN else drafts[each].get(plain_name(field))
        if value is None and each != done.winner:
            raise BadRequest(text("fields: {id} has no {field}", id=each, field=field))
    taken = {}
    after = {column: done.rows[done.winner][column] for column in OWN}
    for loser in done.losers:
        taken[loser] = winner.absorb(drafts[loser], cause, done.chosen)
        for column, value in after.items():
            theirs = done.rows[loser][column]
            chosen = done.chosen.get(column)
            if theirs is not None and (chosen == loser if chosen else value is None):
                taken[loser][column] = Taking(Word(value, None), Word(theirs, None))
                after[column] = theirs
                winner.moved = {**winner.moved, column: {"old": done.rows[done.winner][column], "new": theirs}}
    return taken


async def lock_all(connection: Connection, customers: Sequence[int]) -> dict[int, Draft]:
    """Lock customers and return them; those who are merged away by now as well."""
    return {row["id"]: Draft(row["id"], row) for row in await lock(connection, customers)}


async def _locked(work: Work, actor: Actor, request: MergeRequest) -> tuple[Plan, dict[int, Draft]]:
    """Return the plan of customers that are locked, so that it holds."""
    for _ in range(_ROUNDS):
        expected = await plan(work.connection, actor, request)
        await work.connection.execute("SAVEPOINT merging")
        drafts = await lock_all(work.connection, expected.all)
        found = await plan(work.connection, actor, request)
        if found.all == expected.all:
            return found, drafts
        # Others were quicker. Locks are taken in one order, for which these have to go.
        await work.connection.execute("ROLLBACK TO SAVEPOINT merging")
    raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)


async def _hand_over(work: Work, done: Plan, recorded: Mapping[int, int]) -> None:
    """Have plugins' rows moved, and the plugins do their duty."""
    duties = work.platform.hooks.implementers(_DUTY)
    pairs = [(loser, done.winner) for loser in done.losers]
    merges = {loser: [merge] for loser, merge in recorded.items()}
    await move_rows(work.connection, pairs, merges, duties=duties)
    if duties:
        await work.platform.hooks.duty(_DUTY, winner_id=done.winner, loser_ids=done.losers, work=work)
