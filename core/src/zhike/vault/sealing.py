"""What the platform seals, opens and hashes with."""

from __future__ import annotations

import time
from functools import cached_property

from zhike._ring import RingKey, ring
from zhike.orm import Database
from zhike.settings import Settings
from zhike.vault import store
from zhike.vault.keys import Keys, key_id


class Vault:
    """Seals, opens and hashes; its methods wait for the database only when this process lacks a key.

    Inside a transaction they use its connection. A data key that has to be made is committed on its own, since what
    is sealed with it may outlive a transaction that is rolled back.

    Args:
        db: Where the data keys are.
        settings: Where the ring is.
    """

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._keys = Keys({}, 0, None, {})
        self._until = 0.0

    @cached_property
    def ring(self) -> tuple[RingKey, ...]:
        """The deployment's ring, read when it is first needed."""
        return ring(self._settings)

    async def seal(self, value: str, context: str) -> str:
        """Encrypt with the newest data key (AES-256-GCM).

        Args:
            value: What to hide.
            context: Where it will stand, such as `secret:mall.token`; it opens nowhere else.

        Returns:
            ASCII text: version, id of the data key, then nonce and ciphertext.

        Raises:
            Unavailable: If the ring lacks the key that is needed, or the database cannot be asked.
        """
        return (await self.keys()).seal(value, context)

    async def open(self, sealed: str, context: str) -> str:
        """Return what was sealed for the same context.

        Raises:
            Unavailable: As for `seal`, or if it was changed or moved.
        """
        keys = await self.keys()
        if (id_ := key_id(sealed)) not in keys.data and id_ not in keys.lacking:
            keys = await self.keys(fresh=True)
        return keys.open(sealed, context)

    async def hash(self, value: str | bytes, context: str) -> bytes:
        """Return 32 bytes that are the same for the same value and context, ever (HMAC-SHA256).

        Args:
            value: What to hash.
            context: What it is; hashes of the same value in two contexts have nothing in common.

        Raises:
            Unavailable: As for `seal`.
        """
        return (await self.keys()).hash(value, context)

    async def keys(self, *, fresh: bool = False) -> Keys:
        """Return the data keys, for many values at once; good for some seconds.

        Args:
            fresh: Whether to look for new ones at once.

        Raises:
            Unavailable: If the database cannot be asked.
        """
        if fresh or self._until < time.monotonic():
            until = time.monotonic() + store.FRESH
            self._keys, self._until = await store.renew(self._db, self.ring, self._keys), until
        return self._keys

    async def make(self, *, another: bool = False) -> None:
        """As `zhike.vault.store.make`."""
        await store.make(self._db, self.ring[0], another=another)
