"""Takes back what an import has brought, chunk by chunk: its events, customers, identities and words about fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zhike.access.actor import Actor
from zhike.customers import sql
from zhike.customers.facts import HistoryChanged
from zhike.customers.past import Past
from zhike.customers.resolve import Pair
from zhike.customers.search import index
from zhike.customers.stats import rebuild_stats
from zhike.customers.traits import Cause, Draft, decode_taken
from zhike.customers.unmerge import unmerge
from zhike.errors import Conflict, NotFound, Unavailable
from zhike.events.sql import DELETE_EVENTS
from zhike.i18n import text
from zhike.orm import Connection
from zhike.plugins.personal import DECLARED
from zhike.work import Work

EVENTS = 2_000
"""Events that one call deletes at most."""
CUSTOMERS = 500
"""Customers that one call looks at, at most."""

_NEXT = """
SELECT customer_id FROM (SELECT customer_id FROM event WHERE import_id = $1 ORDER BY customer_id LIMIT $2) AS e
UNION
(SELECT customer_id FROM import_change WHERE import_id = $1 ORDER BY customer_id LIMIT $3)
ORDER BY customer_id LIMIT $3
"""
_ROOTS = """
WITH RECURSIVE chain AS (
  SELECT id AS home, id, merged_into FROM customer WHERE id = ANY($1::bigint[])
  UNION ALL
  SELECT chain.home, c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT home, id, merged_into IS NULL AS last FROM chain ORDER BY home, id
"""
_LOCK = "SELECT FROM customer WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
_EVENTS = """
SELECT batch_id, id, customer_id, home_customer_id FROM event
WHERE import_id = $1 AND customer_id = ANY($2::bigint[]) AND ($4::bigint[] IS NULL OR home_customer_id = ANY ($4))
ORDER BY customer_id LIMIT $3
"""
_NOTED = """
DELETE FROM import_change WHERE import_id = $1 AND customer_id = ANY($2::bigint[])
RETURNING customer_id, created, fields::text, identities::text
"""
_DETACH = """
DELETE FROM identity AS i USING unnest($1::text[], $2::text[], $3::bigint[]) AS n (namespace, value, home)
WHERE i.namespace = n.namespace COLLATE "C" AND i.value = n.value COLLATE "C" AND i.home_customer_id = n.home
"""
# Who has been merged, has other identities, events or a word of somebody else's, or is what a plugin's row is about.
_TOUCHED = """
SELECT id FROM customer AS c WHERE id = ANY($1::bigint[]) AND (
  merged_into IS NOT NULL OR erased_at IS NOT NULL OR provenance <> '{}' OR owner IS NOT NULL OR team IS NOT NULL
  OR EXISTS (SELECT FROM event WHERE customer_id = c.id AND name <> ALL ($4::text[]))
  OR EXISTS (SELECT FROM identity AS i WHERE customer_id = c.id AND NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[]) AS n (namespace, value)
    WHERE n.namespace COLLATE "C" = i.namespace AND n.value COLLATE "C" = i.value
  ))
  OR EXISTS (SELECT FROM customer WHERE merged_into = c.id)
  OR EXISTS (SELECT FROM customer_settling WHERE place_id = c.id OR home_id = c.id)
)
"""
_HAS_ROWS = "SELECT DISTINCT {column} FROM {relation} WHERE {column} = ANY($1::bigint[])"
_DELETE = (
    "DELETE FROM event WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM customer_stage WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM customer_event_stat WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM duplicate_candidate WHERE low_id = ANY($1::bigint[]) OR high_id = ANY($1::bigint[])",
    "DELETE FROM customer_match WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM customer_search WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM customer WHERE id = ANY($1::bigint[])",
)
# Of visitors; not those that cannot be undone as long as a later one has the winner as loser.
_MERGES = """
FROM customer_merge AS m
WHERE origin = 'import:' || $1::bigint AND origin LIKE 'import:%' AND unmerged_at IS NULL
  AND NOT EXISTS (SELECT FROM customer_merge AS l WHERE l.loser_id = m.winner_id AND l.unmerged_at IS NULL)
  AND NOT EXISTS (SELECT FROM customer AS c WHERE c.id IN (m.winner_id, m.loser_id) AND c.erased_at IS NOT NULL)
"""
_LAST_MERGE = f"SELECT merge_id {_MERGES} ORDER BY id DESC LIMIT 1"
_COUNT = f"""
SELECT
  (SELECT count(*) FROM event WHERE import_id = $1),
  count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created),
  (SELECT count(*) {_MERGES})
FROM import_change WHERE import_id = $1
"""


class Undone(msgspec.Struct):
    """What an undo takes back, or has.

    Args:
        events: Events, those that the import made Zhike record included.
        deleted: Customers that only the import had made; before the undo: all that it had.
        changed: Customers that stay and have lost something, once for each chunk; before the undo: those of whom the
            import has said something, without those it has made, who may stay as well.
        merges: Merges of visitors that the import has caused; before the undo: without those below others.
    """

    events: int = 0
    deleted: int = 0
    changed: int = 0
    merges: int = 0


async def count(connection: Connection, import_id: int) -> Undone:
    """Return what an undo would take back; of the customers it would delete, some may have been touched by others."""
    row = await connection.fetchrow(_COUNT, import_id)
    return Undone(*row) if row else Undone()


async def step(work: Work, import_id: int) -> Undone | None:
    """Take back a merge, the latest first, or a chunk; it can be interrupted at any instant and gone on with later.

    Args:
        work: A unit of work of the core; call this once in each. Send `REWRITTEN` after its commit.
        import_id: The import, of which nothing is stored any more.

    Returns:
        What was taken back, or None if nothing is left.
    """
    connection = work.connection
    await connection.execute("SET LOCAL enable_seqscan = off")
    if (merge_id := await connection.fetchval(_LAST_MERGE, import_id)) is not None:
        await _unmerge(work, merge_id)
        return Undone(merges=1)
    chosen = [row[0] for row in await connection.fetch(_NEXT, import_id, EVENTS, CUSTOMERS)]
    if not chosen:
        return None
    # While events are being moved, they may stand with others than those who lose them.
    expected = await connection.fetch(_EVENTS, import_id, chosen, EVENTS, None)
    roots, ways = await _locked(connection, {*chosen, *(row["home_customer_id"] for row in expected)})
    events = await connection.fetch(_EVENTS, import_id, chosen, EVENTS, list(roots))
    await connection.execute(DELETE_EVENTS, [row["batch_id"] for row in events], [row["id"] for row in events])
    # Beyond a full chunk there may be more events of the last customer and of those after it.
    done = [each for each in chosen if len(events) < EVENTS or each < events[-1]["customer_id"]]
    deleted = await _restore(work, import_id, done, ways)
    # Who is not done has lost events too, but is told of it only at the end, so that nothing else seems to touch them.
    lost = {*done, *(row["home_customer_id"] for row in events)}
    await rebuild_stats(connection, {roots[each] for each in lost if each in roots} - deleted)
    astray = {row["home_customer_id"] for row in events if roots[row["home_customer_id"]] != roots[row["customer_id"]]}
    changed = {roots[each] for each in (*done, *astray) if each in roots} - deleted
    await index.renew(connection, sorted(changed))
    for customer in sorted(changed):
        work.emit("customer.history_changed", customer, properties=HistoryChanged(reason="undo"))
    return Undone(len(events), len(deleted), len(changed))


async def _unmerge(work: Work, merge_id: int) -> None:
    try:
        await unmerge(work, Actor.system(), merge_id, said=False)
    except (Conflict, NotFound):  # somebody was quicker to undo or to erase it
        message = text("other requests keep changing the same customers; try again")
        raise Unavailable(message, retry_after=1) from None


async def _locked(connection: Connection, customers: Iterable[int]) -> tuple[Mapping[int, int], set[int]]:
    """Lock customers with those they are part of now; return who these are, and all on the way there."""
    while True:
        chain = await connection.fetch(_ROOTS, list(customers))
        ways = {row["id"] for row in chain}
        await connection.execute(_LOCK, sorted({*customers, *ways}))
        if chain == await connection.fetch(_ROOTS, list(customers)):
            return {row["home"]: row["id"] for row in chain if row["last"]}, ways


async def _restore(work: Work, import_id: int, customers: list[int], ways: Iterable[int]) -> set[int]:
    """Give customers, and those they were merged into, back what they were; return those that are deleted."""
    connection = work.connection
    noted = {row["customer_id"]: row for row in await connection.fetch(_NOTED, import_id, customers)}
    drafts = {row["id"]: Draft(row["id"], row) for row in await sql.lock(connection, ways) if not row["erased_at"]}
    past = await Past.load(connection, drafts, Cause(work.origin, live=False))
    for customer in sorted(noted.keys() & drafts):
        past.take_back(customer, decode_taken(noted[customer]["fields"]))
    await past.save(connection, work.now)
    given: dict[int, list[Pair]] = {id_: msgspec.json.decode(row["identities"]) for id_, row in noted.items()}
    created = {id_ for id_, row in noted.items() if row["created"]}
    touched = await _touched(work, created, given)
    # Others have found the created ones that stay by these.
    gone = [(*pair, id_) for id_ in given.keys() - touched for pair in given[id_]]
    if gone:
        await connection.execute(_DETACH, *map(list, zip(*gone, strict=True)))
    deleted = created - touched
    derived = [f'DELETE FROM "{table}" WHERE "{column}" = ANY($1::bigint[])' for table, column in _derived(work)]
    for statement in (*derived, *_DELETE) if deleted else ():
        await connection.execute(statement, list(deleted))
    return deleted


def _derived(work: Work) -> Mapping[tuple[str, str], str]:
    """Return tables that hold derived rows, by their column of customers, with the column that tells which these are.

    Of a plugin that is off nothing is known, so that all its rows keep customers.
    """
    rows = (each for _, each in work.platform.registry.customer_rows)
    return {(each.table, each.column): each.derived for each in rows if each.derived}


async def _touched(work: Work, created: set[int], given: Mapping[int, list[Pair]]) -> set[int]:
    """Return those of the customers that an import has made which are somebody else's business too."""
    if not created:
        return set()
    connection, derived = work.connection, _derived(work)
    own = [(namespace, value) for id_ in created for namespace, value in given[id_]]
    names = [name for name, type_ in work.platform.registry.event_types.items() if type_.derived]
    asked = (list(created), *map(list, zip(*own, strict=True)), names)
    touched = {row[0] for row in await connection.fetch(_TOUCHED, *asked)}
    for row in await connection.fetch(DECLARED):
        if row["table_name"] == "customer_stage":
            continue  # written with the customer
        statement = _HAS_ROWS.format_map(row)
        if column := derived.get((row["table_name"], row["column_name"])):
            statement += f' AND "{column}" IS NOT TRUE'
        touched |= {each[0] for each in await connection.fetch(statement, list(created))}
    return touched
