"""The fields of customers: columns of the core and an installation's own, as every process knows them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from zhike.access.roles import RULES
from zhike.customers.field_rows import field_of
from zhike.customers.field_values import FieldValues
from zhike.orm import Database
from zhike.vault import Vault

FRESH = 5.0
"""Seconds after which a process looks for what another one has changed."""
PROTECTED = frozenset(field for rules in RULES.values() for field in rules)
"""The fields that a shipped role sees masked."""
_ROWS = "SELECT * FROM customer_field ORDER BY position, key"
_RULED = "SELECT DISTINCT field FROM field_rule"


class CustomerFields(FieldValues):
    """The fields of an installation as a process knows them: as they were at most `FRESH` seconds ago.

    Args:
        db: Where they are.
        vault: Seals the values of encrypted ones.

    Attributes:
        ranked: Those of the fields that rank sources.
        protected: Of these fields `customer.created` and `customer.updated` tell no values: they are encrypted, or
            masked or hidden for some role.
    """

    def __init__(self, db: Database, vault: Vault) -> None:
        super().__init__(vault)
        self._db = db
        self._until = 0.0
        self.ranked: Mapping[str, Mapping[str, int]] = {}
        self.protected: frozenset[str] = PROTECTED

    async def renew(self, *, now: bool = False) -> CustomerFields:
        """Look at the database again if that was not done lately; return the same object.

        Args:
            now: Whether to look in any case.

        Raises:
            Unavailable: If the database, or a key for an encrypted field, cannot be used.
        """
        if now or self._until < time.monotonic():
            until = time.monotonic() + FRESH
            async with self._db.connection() as connection:
                rows = await connection.fetch(_ROWS)
                ruled = {row[0] for row in await connection.fetch(_RULED)}
            known = {field.key: field for field in map(field_of, rows)}
            encrypted = {key for key, field in known.items() if field.encrypted}
            if encrypted:
                self._keys = await self._vault.keys()
            self.known = known
            self.checked = {key: field for key, field in known.items() if field.checked}
            self.ranked = {key: field.ranks for key, field in known.items() if field.sources}
            self.protected = PROTECTED | encrypted | {field.removeprefix("attributes.") for field in ruled}
            self._until = until
        return self
