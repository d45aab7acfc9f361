"""Walks the audit trail from its first row to its head and tells what is not as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from zhike.access.chain import Head
from zhike.access.sealer import HEAD
from zhike.access.walk import Verified, Walk, removed
from zhike.i18n import Text, text
from zhike.orm import Connection, Database
from zhike.vault import Keys

CHUNK = 2_000
"""Rows that are in memory at one time."""
_ROWS = """
SELECT id, timestamptz_send(at) AS at, actor, action, object, details::text, salt, digest, sequence, chain
FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2
"""
_COUNTS = """
SELECT count(sequence), count(*) - count(sequence), coalesce(max(id) - min(id) + 1 - count(*), 0) FROM audit
"""


async def verify(db: Database, keys: Keys, heads: Sequence[Head], found: Verified) -> AsyncIterator[Text]:
    """Yield what is wrong with the trail, in constant memory.

    Args:
        db: Where it is.
        keys: The vault's.
        heads: Those that were exported, in any order.
        found: Counts.

    Raises:
        Unavailable: If the database or the keys cannot be used.
    """
    expected: dict[int, set[bytes]] = {}  # of two heads that contradict each other, both must hold
    forged = 0
    for head in heads:
        if head.genuine(keys):
            expected.setdefault(head.sequence, set()).add(head.chain)
        else:
            forged += 1
    if forged:
        found.problems += 1
        yield text("{count} exported heads were not made by this installation, or were changed", count=forged)
    async with db.transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        walk, after = Walk(keys, expected, found), -(2**63)
        while rows := await connection.fetch(_ROWS, after, CHUNK):
            after = rows[-1]["sequence"]
            for row in rows:
                for problem in walk.step(row):
                    found.problems += 1
                    yield problem
        numbered, found.waiting, found.skipped = await connection.fetchrow(_COUNTS)  # type: ignore[misc]  # one row
        for problem in [*walk.missed(numbered), *await _end(connection, keys, walk)]:
            found.problems += 1
            yield problem


async def _end(connection: Connection, keys: Keys, walk: Walk) -> list[Text]:
    """Compare the end of the chain with the stored head."""
    row = await connection.fetchrow(HEAD)
    if row is None:
        return [text("The head was removed")] if walk.sequence else []
    head = Head(**row)
    if not head.genuine(keys):
        return [text("The head was replaced")]
    if head.sequence > walk.sequence:
        return [removed(walk.sequence + 1, head.sequence - walk.sequence)]
    return [] if walk.ends_with(head) else [text("The head is not that of the last row")]
