"""The door by which plugins bring events from outside in: as `POST /events`, without HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from zhike import clock, hooks
from zhike.contracts import EventType, IncomingDraft
from zhike.errors import TooLarge
from zhike.events.ingest import Ingested
from zhike.events.schemas import MAX_EVENTS
from zhike.events.service import record
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.work import begin

ORIGIN = "connector:shop"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hook is cut because this machine stood still: an amendment has 0.2 seconds otherwise."""
    monkeypatch.setitem(hooks.BUDGETS, "amend", 60.0)  # type: ignore[arg-type]  # a dict for this test


class Probe:
    @hookimpl
    def register_event_types(self) -> list[EventType]:
        return [EventType(name="probe.ours", kind="platform", label="Ours")]

    @hookimpl
    async def amend_incoming_events(self, events: list[IncomingDraft]) -> None:
        for event in events:
            event.source = "amended"
            event.dropped = event.properties.get("test") is True


def paid(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"name": "order.paid", "identities": {"phone": "13800138000"}, "message_id": message_id, **fields}


async def stored(db: Database) -> list[Any]:
    async with db.connection() as connection:
        return await connection.fetch("SELECT * FROM event WHERE behaviour ORDER BY id")


async def test_events_pass_the_checks_and_hooks_of_http(database: Database, make_platform: Any) -> None:
    told: list[str] = []
    platform = make_platform(database, announce=told.append, probe=Probe())
    at = datetime(2026, 3, 14, 8, 30, tzinfo=timezone(timedelta(hours=8)))
    got = await record(
        platform,
        [
            paid("1", occurred_at=at, amount=Decimal("12.30"), properties={"sku": "a", "price": Decimal("0.1")}),
            paid("2", name="probe.ours"),
            paid("3", properties={"test": True}),
            paid("4", amount=Decimal("0.001")),
            paid("5", properties={"what": object()}),
            paid("6", traits={"city": "\ud800"}),
            paid("1"),
            paid("7", identities={}),
        ],
        origin=ORIGIN,
    )
    codes = [(each.index, each.code) for each in got.rejected]
    assert (got.accepted, got.duplicate) == (1, 1)
    assert codes == [
        (1, "reserved_name"),
        (2, "dropped"),
        (3, "amount"),
        (4, "malformed"),
        (5, "malformed"),
        (7, "no_identity"),
    ]
    [row] = await stored(database)
    assert (row["amount"], row["currency"], row["occurred_at"]) == (1230, "CNY", at.astimezone(UTC))
    assert (row["origin"], row["source"]) == (ORIGIN, "amended")
    assert row["properties"] == '{"sku": "a", "price": 0.1}'
    assert told == ["log"]
    again = await record(platform, [paid("1")], origin=ORIGIN)
    assert (again.accepted, again.duplicate, told) == (0, 1, ["log"])


async def test_what_was_before_a_connector_starts_nothing(database: Database, make_platform: Any) -> None:
    platform = make_platform(database)
    await record(platform, [paid("new")], origin=ORIGIN)
    await record(platform, [paid("old")], origin=ORIGIN, live=False)
    await record(platform, [paid("late", occurred_at=clock.now() - timedelta(days=2))], origin=ORIGIN)
    assert [row["live"] for row in await stored(database)] == [True, False, False]


async def test_it_is_no_part_of_a_unit_of_work(database: Database, make_platform: Any) -> None:
    platform = make_platform(database)
    async with begin(platform, origin="system"):
        with pytest.raises(RuntimeError, match="transactions of their own"):
            await record(platform, [paid("1")], origin=ORIGIN)
    with pytest.raises(TooLarge):
        await record(platform, (paid(str(n)) for n in range(MAX_EVENTS + 1)), origin=ORIGIN)
    assert await record(platform, [], origin=ORIGIN) == Ingested(0, 0, [])
    assert await stored(database) == []
