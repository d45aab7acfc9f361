"""What ingest must not take again: identities and messages of erased customers, of which only keyed hashes are left."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from typing import NamedTuple

import msgspec

from zhike.customers.identities import is_strong
from zhike.customers.resolve import Pair
from zhike.events.schemas import CheckedEvent
from zhike.orm import Connection
from zhike.vault import Keys, Vault

_IDENTITIES = "SELECT hash FROM erased_identity WHERE hash = ANY($1::bytea[])"
_MESSAGES = "SELECT hash FROM erased_message WHERE hash = ANY($1::bytea[])"


class Erased(NamedTuple):
    """What of a batch has to do with erased customers.

    Args:
        refused: Places of events that are not taken.
        repeated: Places of events that were stored once and have been erased.
        events: The batch without the weak identities of erased customers.
    """

    refused: set[int]
    repeated: set[int]
    events: list[CheckedEvent]


def identity_hashes(keys: Keys, pairs: Iterable[Pair]) -> dict[bytes, Pair]:
    """Return identities by their hash."""
    return {keys.hash(f"{namespace}:{value}", "erased_identity"): (namespace, value) for namespace, value in pairs}


def message_hashes(keys: Keys, ids: Iterable[str]) -> list[bytes]:
    """Return the hashes of message ids, in their order."""
    return [keys.hash(message_id, "erased_message") for message_id in ids]


async def erased_identities(connection: Connection, vault: Vault, pairs: Iterable[Pair]) -> set[Pair]:
    """Return those identities that belonged to customers who were erased, and are not readmitted."""
    hashes = identity_hashes(await vault.keys(), pairs)
    rows = await connection.fetch(_IDENTITIES, list(hashes)) if hashes else []
    return {hashes[row[0]] for row in rows}


async def sift(
    connection: Connection, vault: Vault, events: list[CheckedEvent], known: Container[Pair], skip: Collection[int]
) -> Erased:
    """Find out what of a batch must not be stored.

    An event is refused if a strong identity of it is an erased customer's, or if all of its identities are. A weak one
    may be shared: it is left out where another identity says whose the event is.

    Args:
        connection: Where the batch's identities and message ids have been looked up.
        vault: The deployment's.
        events: The batch.
        known: Identities that belong to somebody, who has not been erased then.
        skip: Places of events that are not stored anyway.
    """
    places = [place for place in range(len(events)) if place not in skip]
    pairs = {pair for place in places for pair in events[place].identities if pair not in known}
    gone = await erased_identities(connection, vault, pairs)
    found = Erased(set(), set(), list(events))
    for place in places if gone else ():
        identities = events[place].identities
        kept = [pair for pair in identities if pair not in gone]
        if not kept or any(is_strong(namespace) for namespace, _ in gone.intersection(identities)):
            found.refused.add(place)
        elif len(kept) < len(identities):
            found.events[place] = msgspec.structs.replace(events[place], identities=kept)
    left = [place for place in places if place not in found.refused and events[place].name]
    hashes = message_hashes(await vault.keys(), (events[place].message_id for place in left))
    stored = {row[0] for row in await connection.fetch(_MESSAGES, hashes)} if hashes else set()
    found.repeated.update(place for place, hashed in zip(left, hashes, strict=True) if hashed in stored)
    return found
