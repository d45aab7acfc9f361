"""Gives committed rows of the audit trail their places in its chain: ascending, without gaps, each exactly once."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from zhike import clock
from zhike.access.chain import START, Head, link
from zhike.errors import Unavailable
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike.vault import Keys, Vault

TICK = 0.5
"""Seconds between two looks."""
MOST = 5_000
"""Rows that are sealed in one transaction."""
_log = logging.getLogger("zhike.access")

_WAITING = "SELECT EXISTS (SELECT FROM audit WHERE sequence IS NULL)"
_LOCK = "SELECT pg_try_advisory_xact_lock(8460391659)"
HEAD = """
SELECT sequence, chain, CASE WHEN at BETWEEN '1970-01-01' AND '9999-01-01' THEN at END AS at, mac FROM audit_head
"""
# A statement of its own after the lock, so that it sees what whoever held the lock before has sealed.
_ROWS = """
SELECT id, timestamptz_send(at) AS at, actor, action, object, digest FROM audit
WHERE sequence IS NULL ORDER BY id LIMIT $1
"""
_LAST = "SELECT max(sequence) FROM audit WHERE sequence IS NOT NULL"
_SEAL = """
UPDATE audit SET sequence = n.sequence, chain = n.chain
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS n (id, sequence, chain) WHERE audit.id = n.id
"""
_MOVE = """
INSERT INTO audit_head (sequence, chain, at, mac) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET
  sequence = excluded.sequence, chain = excluded.chain, at = excluded.at, mac = excluded.mac
"""


class Sealer:
    """Seals rows as they are committed; of several processes one does it at a time.

    A head that was not made here stops it, or one that is older than what it has sealed itself: were it to go on, the
    new head would hide that.

    Args:
        db: Where the trail is.
        vault: Holds the key of the chain.
    """

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._told = False
        self._sealed = 0

    async def run(self) -> None:
        """Seal rows until cancelled, also through outages of the database."""
        while True:
            try:
                while await self.step():
                    pass
                self._told = False
            except Unavailable as error:
                if not self._told:
                    _log.error("the audit trail cannot be sealed: %s", error.message.render("en"))
                self._told = True
            await asyncio.sleep(TICK)

    async def step(self) -> bool:
        """Seal what is committed, up to `MOST` rows; return whether there was anything.

        Raises:
            Unavailable: If the database or the keys cannot be used, or the head was replaced.
        """
        async with self._db.connection() as connection:
            if not await connection.fetchval(_WAITING):
                return False
        keys = await self._vault.keys()
        async with self._db.transaction() as connection:
            if not await connection.fetchval(_LOCK):
                return False
            sequence, chain = await _reached(connection, keys, self._sealed)
            sealed: list[tuple[int, int, bytes]] = []
            for row in await connection.fetch(_ROWS, MOST):
                sequence += 1
                chain = link(keys, chain, sequence, row)
                sealed.append((row["id"], sequence, chain))
            if sealed:
                await connection.execute(_SEAL, *map(list, zip(*sealed, strict=True)))
                head = Head.make(keys, sequence, chain, clock.now())
                await connection.execute(_MOVE, *msgspec.structs.astuple(head))
        self._sealed = sequence
        return bool(sealed)

    async def drain(self) -> None:
        """Do nothing: nothing it does outlasts one short transaction."""


async def _reached(connection: Connection, keys: Keys, sealed: int) -> tuple[int, bytes]:
    """Return the sequence and chain value to go on from, which lie behind neither the rows nor what was sealed here."""
    row = await connection.fetchrow(HEAD)
    head = Head(**row) if row else Head(sequence=0, chain=START, at=None)
    last = await connection.fetchval(_LAST) or 0
    if head.sequence < max(last, sealed) or (row and not head.genuine(keys)):
        replaced = text("The head of the audit trail was replaced or removed; `zhike audit verify` tells more")
        raise Unavailable(replaced, code="audit_head")
    return head.sequence, head.chain
