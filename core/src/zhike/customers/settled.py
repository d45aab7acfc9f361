"""Says of merges that they have nothing more to move, and of customers whether they are settling."""

from __future__ import annotations

from collections.abc import Collection

from zhike.customers.facts import HistoryChanged
from zhike.customers.places import PLACES, TREE
from zhike.orm import Connection
from zhike.work import Work

_CLOSE = """
UPDATE customer_merge AS m SET settled_at = $1
WHERE settled_at IS NULL AND NOT EXISTS (SELECT FROM customer_settling AS s WHERE s.customer_merge_id = m.id)
RETURNING winner_id, loser_id, unmerged_at IS NOT NULL AS undone
"""
_MARK = f"""
{PLACES}
UPDATE customer AS c SET settling = NOT c.settling
FROM (SELECT customer_id, bool_or(homes IS NOT NULL OR others <> '{{}}') AS unsettled FROM place GROUP BY 1) AS n
WHERE c.id = n.customer_id AND c.settling <> (n.unsettled AND c.merged_into IS NULL)
"""
# Who was merged away is told by the merge.
_STANDING = "SELECT id FROM customer WHERE id = ANY($1::bigint[]) AND merged_into IS NULL ORDER BY id"
_SOME = "SELECT EXISTS (SELECT FROM customer_settling)"
_COME_HOME = f"""
{TREE} DELETE FROM customer_settling AS s USING tree WHERE s.home_id = tree.home_id AND s.place_id = tree.customer_id
"""


async def close(work: Work, customers: Collection[int], left: Collection[int]) -> None:
    """Tell of merges that have nothing more to move, and say of customers whether they are settling.

    Args:
        work: The unit of work.
        customers: Those that may have begun or ended to settle; they are locked.
        left: Those with whom events stood that have gone now.
    """
    told = set()
    for winner, loser, undone in await work.connection.fetch(_CLOSE, work.now):
        changed = HistoryChanged(reason="unmerge" if undone else "merge", loser_id=loser)
        for customer in (winner, loser) if undone else (winner,):
            work.emit("customer.history_changed", customer, properties=changed)
            told.add(customer)
    # If those who were parted were merged with others meanwhile, it is these others' merge that ends here; the one that
    # was undone had nothing more to wait for, and has told of it too early.
    if untold := [each for each in left if each not in told]:
        for (customer,) in await work.connection.fetch(_STANDING, untold):
            work.emit("customer.history_changed", customer, properties=HistoryChanged(reason="unmerge"))
    await work.connection.execute(_MARK, list(customers))


async def regard(connection: Connection, customers: Collection[int], visitors: Collection[int]) -> None:
    """Have customers whom ingest has merged visitors into settle as these did; all are locked."""
    if await connection.fetchval(_SOME):
        await connection.execute(_COME_HOME, list(customers))
        await connection.execute(_MARK, [*customers, *visitors])
