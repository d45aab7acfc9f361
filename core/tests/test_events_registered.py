"""Incoming events of registered types: payloads are checked, platform events refused, everything else taken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from zhike.contracts import EventType
from zhike.events.checks import KnownTypes
from zhike.events.decode import decode_events
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))


class Line(msgspec.Struct):
    """A line of an order."""

    sku: str
    count: Annotated[int, Meta(ge=1)] = 1


class Paid(msgspec.Struct):
    """What `shop.paid` says."""

    lines: list[Line]
    note: str | None = None


TYPES = KnownTypes(
    {
        known.name: known
        for known in (
            EventType(name="shop.paid", kind="behaviour", label="Paid", payload=Paid),
            EventType(name="shop.seen", kind="behaviour", label="Seen"),
            EventType(name="shop.closed", kind="platform", label="Closed", payload=Paid),
        )
    }
)
GOOD = {"lines": [{"sku": "a"}], "more": {"anything": 1}}


def decoded(media_type: Any, *events: dict[str, Any]) -> tuple[list[str], list[tuple[int, str, str]]]:
    given = {"events": [{"identities": {"phone": "13800000000"}, **event} for event in events]}
    body = msgspec.json.encode(given) if media_type == "json" else msgspec.msgpack.encode(given)
    accepted, rejected = decode_events(body, media_type, now=NOW, settings=SETTINGS, types=TYPES)
    return [one.name for one in accepted], [(one.index, one.code, str(one.message)) for one in rejected]


BAD = {
    "missing": ({}, "events[1].properties: the field `lines` is missing"),
    "none": (None, "events[1].properties: the field `lines` is missing"),
    "type": ({"lines": "a"}, "events[1].properties.lines: expected array, got str"),
    "inside": ({"lines": [{"sku": "a"}, {"sku": 5}]}, "events[1].properties.lines[1].sku: expected str, got int"),
    "bound": ({"lines": [{"sku": "a", "count": 0}]}, "events[1].properties.lines[0].count: expected int >= 1"),
}


@pytest.mark.parametrize("media_type", ["json", "msgpack"])
@pytest.mark.parametrize("case", BAD)
def test_a_property_that_does_not_fit_is_named(media_type: str, case: str) -> None:
    properties, message = BAD[case]
    events = [{"name": "shop.paid", "properties": each} for each in (GOOD, properties, GOOD)]
    names, rejected = decoded(media_type, *events)
    assert names == ["shop.paid", "shop.paid"]
    assert rejected == [(1, "properties", message)]


def test_an_event_without_properties_lacks_those_it_must_have() -> None:
    assert decoded("json", {"name": "shop.paid"}) == (
        [], [(0, "properties", "events[0].properties: the field `lines` is missing")],
    )  # fmt: skip


def test_other_types_are_taken_as_they_are() -> None:
    names, rejected = decoded(
        "json", *[{"name": name, "properties": {"lines": 1}} for name in ("shop.seen", "shop.new")]
    )
    assert (names, rejected) == (["shop.seen", "shop.new"], [])


@pytest.mark.parametrize("name", ["shop.closed", "customer.merged", "customer.history_changed"])
def test_what_the_platform_records_is_not_taken_from_outside(name: str) -> None:
    for _ in range(2):
        names, [(index, code, message)] = decoded("json", {"name": name, "properties": GOOD})
        assert (names, index, code) == ([], 0, "reserved_name")
        assert name in message


def test_a_name_that_is_good_here_may_be_reserved_elsewhere() -> None:
    body = b'{"events":[{"name":"shop.closed","identities":{"phone":"13800000000"}}]}'
    accepted, _ = decode_events(body, "json", now=NOW, settings=SETTINGS)
    assert [one.name for one in accepted] == ["shop.closed"]
    assert decode_events(body, "json", now=NOW, settings=SETTINGS, types=TYPES)[0] == []
