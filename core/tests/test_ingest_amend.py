"""`amend_incoming_events`: what plugins may do to events on their way, and what is undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from zhike import hooks
from zhike.contracts import EventType, IncomingDraft
from zhike.events.amend import amend
from zhike.events.checks import KnownTypes
from zhike.events.grouping import Collector
from zhike.events.schemas import CheckedEvent
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hook is cut because this machine stood still: an amendment has 0.2 seconds otherwise."""
    monkeypatch.setitem(hooks.BUDGETS, "amend", 60.0)  # type: ignore[arg-type]  # a dict for this test


class Paid(msgspec.Struct):
    """What `probe.paid` says."""

    shop: str


class Probe:
    """A plugin that does to events what a test wants.

    Args:
        change: What.
    """

    def __init__(self, change: Callable[[list[IncomingDraft]], Any]) -> None:
        self.change = change
        self.sizes: list[int] = []

    @hookimpl
    async def amend_incoming_events(self, events: list[IncomingDraft]) -> Any:
        """Do it."""
        self.sizes.append(len(events))
        return self.change(events)


class Types:
    """A plugin with an event type that has a payload."""

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register it, and one nobody may post."""
        return [
            EventType(name="types.paid", kind="behaviour", label="Paid", payload=Paid),
            EventType(name="types.told", kind="platform", label="Told"),
        ]


def event(index: int = 0, **fields: Any) -> CheckedEvent:
    given: dict[str, Any] = {
        "name": "order.paid", "message_id": f"m{index}", "occurred_at": NOW,
        "identities": [("phone", "+8613800000000")],
        "traits": {"city": "a"}, "amount": 1230, "currency": "CNY", "properties": '{"n":1.50,"tags":["a"]}',
    }  # fmt: skip
    return CheckedEvent(index=index, **(given | fields))


async def amended(platform: Platform, *events: CheckedEvent) -> tuple[list[CheckedEvent], list[tuple[int, str, str]]]:
    kept, dropped = await amend(platform, events, now=NOW, types=KnownTypes(platform.registry.event_types))
    return list(kept), [(one.index, one.code, str(one.message)) for one in dropped]


async def test_without_plugins_events_are_not_even_looked_at(database: Database, make_platform: Any) -> None:
    events = [event()]
    kept, dropped = await amend(make_platform(database), events, now=NOW, types=KnownTypes({}))
    assert kept is events
    assert dropped == []


async def test_what_may_be_changed(database: Database, make_platform: Any) -> None:
    def change(events: list[IncomingDraft]) -> None:
        [draft] = events
        assert draft == IncomingDraft(
            message_id="m0", identities=(("phone", "+8613800000000"),), name="order.paid", occurred_at=NOW,
            traits={"city": "a"}, amount=Decimal("12.30"), currency="CNY",
            properties={"n": Decimal("1.50"), "tags": ["a"]}, source="", dropped=False,
        )  # fmt: skip
        draft.name = "order.refunded"
        draft.occurred_at -= timedelta(hours=1)
        draft.traits["city"] = "b"
        draft.amount, draft.currency = Decimal(-5), "JPY"
        draft.properties["tags"].append("b")
        draft.source = "shop"

    kept, dropped = await amended(make_platform(database, probe=Probe(change)), event())
    assert kept == [
        event(
            name="order.refunded", occurred_at=NOW - timedelta(hours=1), traits={"city": "b"}, amount=-5,
            currency="JPY", properties='{"n":1.50,"tags":["a","b"]}', source="shop",
        )
    ]  # fmt: skip
    assert dropped == []


async def test_nothing_happens_to_what_is_left_alone(database: Database, make_platform: Any) -> None:
    given = [
        event(
            0,
            amount=None,
            currency=None,
            traits=None,
            properties="{}",
            identities=[("note", "A b"), ("device_id", "d")],
        ),
        event(4),
    ]
    kept, dropped = await amended(make_platform(database, probe=Probe(lambda events: None)), *given)
    assert kept == given
    assert dropped == []


async def test_who_drops_an_event_is_told_to_the_sender(database: Database, make_platform: Any) -> None:
    def second(events: list[IncomingDraft]) -> None:
        events[1].dropped = True

    def broken(events: list[IncomingDraft]) -> None:
        events[0].dropped = True
        raise ZeroDivisionError

    def others(events: list[IncomingDraft]) -> None:
        for draft in events:
            draft.traits["dropped"] = draft.dropped
            draft.dropped = draft.message_id == "m9"

    platform = make_platform(database, alpha=Probe(second), beta=Probe(broken), gamma=Probe(others))
    kept, dropped = await amended(platform, *[event(index) for index in (3, 5, 7, 9)])
    assert [(one.index, one.message_id, one.traits) for one in kept] == [
        (3, "m3", {"city": "a", "dropped": False}),
        (7, "m7", {"city": "a", "dropped": False}),
    ]
    assert dropped == [
        (5, "dropped", "events[5]: dropped by the plugin alpha"),
        (9, "dropped", "events[9]: dropped by the plugin gamma"),
    ]


def set_field(name: str, value: Any) -> Callable[[list[IncomingDraft]], None]:
    def change(events: list[IncomingDraft]) -> None:
        events[0].traits["changed"] = True
        setattr(events[-1], name, value)

    return change


def raising(events: list[IncomingDraft]) -> None:
    events[0].traits["changed"] = True
    events[0].properties["tags"].append("changed")
    events.pop()
    raise ZeroDivisionError


BAD: dict[str, Callable[[list[IncomingDraft]], Any]] = {
    "raises": raising,
    "message_id": set_field("message_id", "other"),
    "identities": set_field("identities", (("phone", "+8613800000001"),)),
    "one less": lambda events: events.pop() and None,
    "one more": lambda events: events.append(events[0]),
    "order": lambda events: events.reverse(),
    "no list": lambda events: {"events": events},
    "name": set_field("name", ""),
    "reserved": set_field("name", "customer.merged"),
    "a plugin's": set_field("name", "types.told"),
    "payload": set_field("name", "types.paid"),
    "time": set_field("occurred_at", NOW + timedelta(days=30)),
    "no time": set_field("occurred_at", "2026-03-14"),
    "trait": set_field("traits", {"owner": 3}),
    "trait type": set_field("traits", {"city": {"name": "a"}}),
    "no traits": set_field("traits", ["a"]),
    "amount": set_field("amount", Decimal("0.001")),
    "float": set_field("amount", 0.5),
    "currency": set_field("currency", "XXX"),
    "properties": set_field("properties", {"a": "\0"}),
    "no properties": set_field("properties", ["a"]),
    "no JSON": set_field("properties", {"a": object()}),
    "source": set_field("source", "x" * 201),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_change_undoes_all_that_the_plugin_did(
    database: Database, make_platform: Any, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    def good(events: list[IncomingDraft]) -> None:
        for draft in events:
            draft.source = "good"

    platform = make_platform(database, first=Probe(good), middle=Probe(BAD[case]), types=Types())
    kept, dropped = await amended(platform, event(0), event(1))
    assert kept == [event(0, source="good"), event(1, source="good")]
    assert dropped == []
    assert "amend_incoming_events of plugin middle failed" in caplog.text
    assert "13800000001" not in caplog.text


async def test_large_requests_are_shown_in_parts(database: Database, make_platform: Any) -> None:
    probe = Probe(lambda events: setattr(events[0], "dropped", True))
    kept, dropped = await amended(make_platform(database, probe=probe), *[event(index) for index in range(2_500)])
    assert probe.sizes == [1_000, 1_000, 500]
    assert [index for index, _, _ in dropped] == [0, 1_000, 2_000]
    assert [one.index for one in kept] == [n for n in range(2_500) if n % 1_000]


async def test_the_collector_shows_them_before_it_stores_them(database: Database, make_platform: Any) -> None:
    def change(events: list[IncomingDraft]) -> None:
        for draft in events:
            draft.properties["seen"] = True
            draft.dropped = draft.message_id == "m1"

    topics: list[str] = []
    collector = Collector(make_platform(database, announce=topics.append, probe=Probe(change)))
    first, second = await asyncio.gather(
        collector.submit([event(0), event(1)], origin="token:1"), collector.submit([event(1)], origin="token:1")
    )
    assert (first.accepted, [one.code for one in first.rejected]) == (1, ["dropped"])
    assert (second.accepted, [one.code for one in second.rejected]) == (0, ["dropped"])
    assert topics == ["log"]
    again = await collector.submit([event(0)], origin="token:1")
    assert (again.accepted, again.duplicate) == (0, 1)
    assert topics == ["log"]
    assert collector.waiting == 0
    await collector.close()
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT message_id, properties->'seen' FROM event WHERE behaviour")
    assert list(map(tuple, rows)) == [("m0", "true")]
