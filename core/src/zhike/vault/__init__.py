"""Envelope encryption: values are sealed with data keys, which lie in the database wrapped by the deployment's ring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zhike.orm import Connection
from zhike.vault.keys import Keys, key_id
from zhike.vault.sealing import Vault
from zhike.vault.store import FRESH, RIPE
from zhike.vault.wrapping import unwrap, wrap

__all__ = ["FRESH", "RIPE", "Keys", "Reseal", "Vault", "key_id", "unwrap", "wrap"]

Reseal = Callable[["Connection", "Keys", int, int], Awaitable[int | None]]
"""Seals values of one place with the newest data key, within a transaction: given the connection, the keys, the id
after which to go on and how many rows to look at, it returns the last row's id, or None behind the last one."""
