"""Batches have the effect of their events one after the other: ingest against a model kept in memory."""

from __future__ import annotations

from typing import Any

from customer_model import BATCHES, EMPTY, NOW, Model, check, pairs_of
from hypothesis import HealthCheck, example, given, settings

from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database


def event(message_id: str, traits: dict[str, Any] | None = None, **identities: str) -> CheckedEvent:
    return CheckedEvent(0, "page.view", message_id, NOW, pairs_of(identities), traits)


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
        await connection.execute(EMPTY)
    model = Model()
    for batch in batches:
        taken = [model.take(event) for event in batch]
        async with database.transaction() as connection:
            got = await store(connection, batch, origin="token:1", live=True, now=NOW)
        assert (got.accepted, got.duplicate, got.rejected) == (sum(taken), len(taken) - sum(taken), [])
        model.commit()
    await check(database, model)
    async with database.connection() as connection:
        found = await connection.fetch("SELECT low_id, high_id FROM duplicate_candidate")
        ids = [row[0] for row in await connection.fetch("SELECT id FROM customer ORDER BY id")]
    assert {(ids.index(low), ids.index(high)) for low, high in found} == model.candidates
