"""Whose event it is: every rule of identity resolution, as events that come one after the other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from zhike.customers.identities import order
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)

# Each case: the identities of events in order; the customer each event ends with (numbered as created); who was merged
# into whom; pairs of candidates; identities that nobody has in the end.
CASES: dict[str, tuple[list[dict[str, str]], list[int], dict[int, int], set[tuple[int, int]], set[str]]] = {
    "nobody known: a customer is created": ([{"phone": "1"}, {"phone": "2"}], [0, 1], {}, set(), set()),
    "known again": ([{"phone": "1"}, {"phone": "1"}], [0, 0], {}, set(), set()),
    "a value belongs to its namespace": ([{"phone": "1"}, {"email": "1"}], [0, 1], {}, set(), set()),
    "unknown ones are attached": (
        [{"phone": "1"}, {"phone": "1", "email": "e", "device_id": "d"}, {"email": "e"}, {"device_id": "d"}],
        [0, 0, 0, 0],
        {},
        set(),
        set(),
    ),
    "the highest-ranked known one decides": (
        [{"external_id": "x"}, {"phone": "1"}, {"email": "e"}, {"email": "e", "phone": "1", "external_id": "x"}],
        [0, 1, 2, 0],
        {},
        {(0, 1), (0, 2)},
        set(),
    ),
    "unknown namespaces are strong and rank after the known ones": (
        [{"member_no": "m"}, {"phone": "1"}, {"member_no": "m", "phone": "1"}],
        [0, 1, 1],
        {},
        {(0, 1)},
        set(),
    ),
    "another strong value of the namespace is not attached": (
        [{"external_id": "x", "phone": "1"}, {"external_id": "x", "phone": "2"}],
        [0, 0],
        {},
        set(),
        {"2"},
    ),
    "and it is a candidate once it is known elsewhere": (
        [
            {"external_id": "x", "phone": "1"},
            {"external_id": "x", "phone": "2"},
            {"phone": "2"},
            {"external_id": "x", "phone": "2"},
        ],
        [0, 0, 1, 0],
        {},
        {(0, 1)},
        set(),
    ),
    "a customer has several weak values": (
        [{"phone": "1", "device_id": "a"}, {"phone": "1", "device_id": "b"}, {"device_id": "b"}],
        [0, 0, 0],
        {},
        set(),
        set(),
    ),
    "a visitor who names himself stays the same customer": (
        [{"anonymous_id": "a"}, {"anonymous_id": "a", "phone": "1"}, {"phone": "1"}],
        [0, 0, 0],
        {},
        set(),
        set(),
    ),
    "a visitor who is known already is merged": (
        [{"phone": "1"}, {"anonymous_id": "a"}, {"phone": "1", "anonymous_id": "a"}, {"anonymous_id": "a"}],
        [0, 0, 0, 0],
        {1: 0},
        set(),
        set(),
    ),
    "a known device decides when nothing stronger is known": (
        [{"phone": "1", "device_id": "d"}, {"phone": "2", "device_id": "d"}],
        [0, 0],
        {},
        set(),
        {"2"},
    ),
    "a device of somebody known is a candidate": (
        [{"phone": "1", "device_id": "d"}, {"phone": "2"}, {"phone": "2", "device_id": "d"}, {"device_id": "d"}],
        [0, 1, 1, 0],
        {},
        {(0, 1)},
        set(),
    ),
    "two visitors: the stronger namespace wins": (
        [{"anonymous_id": "a"}, {"device_id": "d"}, {"device_id": "d", "anonymous_id": "a"}],
        [1, 1, 1],
        {0: 1},
        set(),
        set(),
    ),
    "merges follow each other": (
        [
            {"anonymous_id": "a"},
            {"device_id": "d"},
            {"device_id": "d", "anonymous_id": "a"},
            {"phone": "1"},
            {"phone": "1", "device_id": "d"},
            {"anonymous_id": "a"},
        ],
        [2, 2, 2, 2, 2, 2],
        {0: 1, 1: 2},
        set(),
        set(),
    ),
    "a visitor becomes somebody before he meets another": (
        [{"device_id": "d"}, {"device_id": "d", "phone": "1"}, {"phone": "2"}, {"phone": "2", "device_id": "d"}],
        [0, 0, 1, 1],
        {},
        {(0, 1)},
        set(),
    ),
}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_rules(database: Database, together: bool) -> None:
    for case in CASES:
        # Values of their own keep the cases apart in one database.
        await check(database, case, together)


async def check(database: Database, case: str, together: bool) -> None:
    identities, ends, merged, candidates, unowned = CASES[case]
    events = [
        CheckedEvent(
            index=place,
            name="page.view",
            message_id=f"{case} {place}",
            occurred_at=NOW,
            identities=[(namespace, f"{case} {given[namespace]}") for namespace in sorted(given, key=order)],
        )
        for place, given in enumerate(identities)
    ]
    async with database.connection() as connection:
        first = await connection.fetchval("SELECT coalesce(max(id), 0) FROM customer")
    for batch in [events] if together else [[event] for event in events]:
        async with database.transaction() as connection:
            await store(connection, batch, origin="token:1", live=True, now=NOW)
    async with database.connection() as connection:
        customers = await connection.fetch("SELECT id, merged_into FROM customer WHERE id > $1 ORDER BY id", first)
        number = {row["id"]: place for place, row in enumerate(customers)}
        owned = await connection.fetch(
            "SELECT customer_id, message_id FROM event WHERE behaviour AND customer_id > $1", first
        )
        pairs = await connection.fetch("SELECT low_id, high_id FROM duplicate_candidate WHERE low_id > $1", first)
        values = await connection.fetch("SELECT value, customer_id FROM identity WHERE customer_id > $1", first)
    ended = {row["message_id"]: number[row["customer_id"]] for row in owned}
    assert [ended[event.message_id] for event in events] == ends, case
    got = {number[row["id"]]: number[row["merged_into"]] for row in customers if row["merged_into"]}
    assert got == merged, case
    assert {(number[row["low_id"]], number[row["high_id"]]) for row in pairs} == candidates, case
    given_values = {value for event in events for _, value in event.identities}
    assert given_values - {row["value"] for row in values} == {f"{case} {value}" for value in unowned}, case
    assert not {number[row["customer_id"]] for row in values} & merged.keys(), case
