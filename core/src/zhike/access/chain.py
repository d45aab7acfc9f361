"""What makes the audit trail one chain: each row's value follows from the row and the value before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from zhike.vault import Keys

START = bytes(32)
"""The value before the first row."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Head(Struct, frozen=True, kw_only=True):
    """How far the chain reached at one time; what is written to the file of heads.

    Args:
        sequence: The number of its last row.
        chain: That row's value.
        at: When that was so; None for an instant that never was.
        mac: What only a holder of the keys can make of these three.
    """

    sequence: int
    chain: bytes
    at: datetime | None
    mac: bytes = b""

    @classmethod
    def make(cls, keys: Keys, sequence: int, chain: bytes, at: datetime) -> Head:
        """Return a head with its MAC."""
        bare = cls(sequence=sequence, chain=chain, at=at)
        return msgspec.structs.replace(bare, mac=bare._mac(keys))

    def genuine(self, keys: Keys) -> bool:
        """Tell whether it was made here."""
        return self.mac == self._mac(keys)

    def _mac(self, keys: Keys) -> bytes:
        told = (self.sequence, self.chain, self.at and (self.at - _EPOCH) // timedelta(microseconds=1))
        return keys.hash(msgspec.msgpack.encode(told), "audit head")


def link(keys: Keys, before: bytes, sequence: int, row: Any) -> bytes:
    """Return the chain's value at a row (HMAC-SHA256 over everything but the details and their salt).

    Args:
        keys: The vault's.
        before: The value at the row before it, or `START`.
        sequence: The row's place in the chain, from 1.
        row: Has `id`, `at`, `actor`, `action`, `object` and `digest`; `at` as PostgreSQL sends it, which is exact for
            instants that Python does not know.
    """
    # In msgpack each value carries its type and length, so that no two rows are encoded alike.
    told = (before, sequence, *(row[name] for name in ("id", "at", "actor", "action", "object", "digest")))
    return keys.hash(msgspec.msgpack.encode(told), "audit")
