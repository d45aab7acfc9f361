"""Batches have the effect of their events one after the other: ingest against a model kept in memory."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zhike.customers.identities import order
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
STRONG = ("external_id", "phone", "email", "member_no")
FIELDS = ("kind", "name", "phone", "email", "company", "stage")


class Model:
    """What is known after events that come one by one; customers are numbered as they are created."""

    def __init__(self) -> None:
        self.owner: dict[tuple[str, str], int] = {}
        self.home: dict[tuple[str, str], int] = {}
        self.fields: list[dict[str, Any]] = []
        self.provenance: list[dict[str, int]] = []
        self.merged: dict[int, int] = {}
        self.candidates: set[tuple[int, int]] = set()
        self.events: dict[str, tuple[CheckedEvent, int]] = {}

    def root(self, customer: int) -> int:
        return self.root(self.merged[customer]) if customer in self.merged else customer

    def take(self, event: CheckedEvent) -> bool:
        if event.message_id in self.events:
            return False
        known = [self.owner[pair] for pair in event.identities if pair in self.owner]
        if known:
            customer = known[0]
        else:
            customer = len(self.fields)
            self.fields.append({"kind": "person"})
            self.provenance.append({})
        for pair in event.identities:
            if pair not in self.owner:
                self._attach(customer, pair)
            elif self.owner[pair] != customer:
                self._meet(customer, self.owner[pair], pair)
        for field, value in (event.traits or {}).items():
            instant = int(event.occurred_at.timestamp() * 1000)
            if self.provenance[customer].get(field, 0) <= instant:
                self.fields[customer][field] = value
                self.provenance[customer][field] = instant
        self.events[event.message_id] = (event, customer)
        return True

    def _strong(self, customer: int) -> set[str]:
        return {ns for (ns, _), owner in self.owner.items() if owner == customer and ns in STRONG}

    def _attach(self, customer: int, pair: tuple[str, str]) -> None:
        namespace, value = pair
        if namespace in self._strong(customer):
            return
        self.owner[pair] = self.home[pair] = customer
        if namespace in {"phone", "email"} and namespace not in self.provenance[customer]:
            self.fields[customer].setdefault(namespace, value)

    def _meet(self, customer: int, other: int, pair: tuple[str, str]) -> None:
        if pair[0] in STRONG or self._strong(other):
            self.candidates.add((min(customer, other), max(customer, other)))
            return
        self.merged[other] = customer
        for known in [known for known, owner in self.owner.items() if owner == other]:
            self.owner[known] = customer
        mine, his = self.provenance[customer], self.provenance[other]
        for field, value in self.fields[other].items():
            if value is not None and self.fields[customer].get(field) is None and mine.get(field, 0) <= his[field]:
                self.fields[customer][field] = value
                mine[field] = his[field]

    def stats(self) -> dict[tuple[int, str, str], tuple[int, int, datetime, datetime]]:
        groups = defaultdict(list)
        for event, home in self.events.values():
            for name in (event.name, "*"):
                groups[self.root(home), name, event.currency or ""].append(event)
        return {
            key: (
                len(events),
                sum(event.amount or 0 for event in events),
                min(event.occurred_at for event in events),
                max(event.occurred_at for event in events),
            )
            for key, events in groups.items()
        }


def _pairs(chosen: dict[str, str]) -> list[tuple[str, str]]:
    return [(namespace, chosen[namespace]) for namespace in sorted(chosen, key=order)]


IDENTITIES = st.dictionaries(
    st.sampled_from([*STRONG, "device_id", "anonymous_id"]),
    st.sampled_from(["a", "b", "c"]),
    min_size=1,
    max_size=3,
).map(_pairs)
TRAITS = st.none() | st.dictionaries(
    st.sampled_from(["name", "phone", "city", "age"]), st.sampled_from([None, "x", "y"]), max_size=2
)
EVENTS = st.builds(
    CheckedEvent,
    index=st.just(0),
    name=st.sampled_from(["order.paid", "page.view"]),
    message_id=st.integers(0, 60).map(str),
    occurred_at=st.integers(0, 5).map(lambda hours: NOW - timedelta(hours=hours * 7)),
    identities=IDENTITIES,
    traits=TRAITS,
    source=st.sampled_from(["", "web"]),
)
MONEY = st.sampled_from([(None, None), (None, None), (1200, "CNY"), (-5, "CNY"), (7, "USD")])
BATCHES = st.lists(
    st.lists(
        st.tuples(EVENTS, MONEY).map(
            lambda drawn: msgspec.structs.replace(drawn[0], amount=drawn[1][0], currency=drawn[1][1])
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=6,
)


def event(message_id: str, traits: dict[str, Any] | None = None, **identities: str) -> CheckedEvent:
    return CheckedEvent(0, "page.view", message_id, NOW, _pairs(identities), traits)


@given(BATCHES)
@example([[event("1", device_id="d")], [event("2", device_id="d", anonymous_id="a"), event("3", phone="p")]])
@example([[event("1", device_id="d")], [event("2", phone="p")], [event("3", phone="p", device_id="d")]])
@example(
    [
        [event("1", external_id="e", device_id="d"), event("2", phone="p")],
        [event("3", {"city": "x"}, external_id="e"), event("4", phone="p", device_id="d")],
    ]
)
@example(
    [[event("1", anonymous_id="a"), event("2", device_id="a"), event("3", phone="a", anonymous_id="a", device_id="a")]]
)
@example(
    [
        [event("1", {"phone": "x"}, device_id="d"), event("2", external_id="e")],
        [event("3", external_id="e", phone="a"), event("4", external_id="e", device_id="d")],
    ]
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_batches_equal_events_one_by_one(database: Database, batches: list[list[CheckedEvent]]) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "TRUNCATE customer, identity, duplicate_candidate, customer_merge, log_batch, event,"
            " customer_event_stat, event_type RESTART IDENTITY"
        )
    model = Model()
    for batch in batches:
        taken = [model.take(event) for event in batch]
        async with database.transaction() as connection:
            got = await store(connection, batch, origin="token:1", live=True, now=NOW)
        assert (got.accepted, got.duplicate, got.rejected) == (sum(taken), len(taken) - sum(taken), [])
    await check(database, model)


async def check(database: Database, model: Model) -> None:
    async with database.connection() as connection:
        customers = await connection.fetch("SELECT * FROM customer ORDER BY id")
        # Ids are drawn in the order of creation.
        number = {row["id"]: place for place, row in enumerate(customers)}
        identities = await connection.fetch("SELECT * FROM identity")
        candidates = await connection.fetch("SELECT * FROM duplicate_candidate")
        stats = await connection.fetch("SELECT * FROM customer_event_stat")
        events = await connection.fetch("SELECT * FROM event WHERE behaviour")
        merges = await connection.fetch("SELECT * FROM customer_merge")
        batches = await connection.fetch("SELECT names, shards, size FROM log_batch ORDER BY batch_id")
        logged = await connection.fetch(
            "SELECT array_agg(DISTINCT name ORDER BY name) AS names, bit_or(1::bigint << shard) AS shards,"
            " count(*)::int AS size FROM event GROUP BY batch_id ORDER BY batch_id"
        )
    assert len(customers) == len(model.fields)
    assert {number[row["id"]]: number[row["merged_into"]] for row in customers if row["merged_into"]} == model.merged
    for row, fields in zip(customers, model.fields, strict=True):
        stored = {field: row[field] for field in FIELDS} | msgspec.json.decode(row["attributes"])
        assert {k: v for k, v in stored.items() if v is not None} == {k: v for k, v in fields.items() if v is not None}
    assert {(row["namespace"], row["value"]): number[row["customer_id"]] for row in identities} == model.owner
    assert {(row["namespace"], row["value"]): number[row["home_customer_id"]] for row in identities} == model.home
    assert {(number[row["low_id"]], number[row["high_id"]]) for row in candidates} == model.candidates
    assert {(number[row["loser_id"]], number[row["winner_id"]]) for row in merges} == set(model.merged.items())
    assert {
        row["message_id"]: (number[row["customer_id"]], number[row["home_customer_id"]], row["shard"]) for row in events
    } == {
        message_id: (model.root(home), home, customers[home]["id"] % 64)
        for message_id, (_, home) in model.events.items()
    }
    assert {
        (number[row["customer_id"]], row["name"], row["currency"]): tuple(row)[3:] for row in stats
    } == model.stats()
    assert list(map(tuple, batches)) == list(map(tuple, logged))
