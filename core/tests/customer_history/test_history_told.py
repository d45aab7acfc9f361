"""Whoever loses events or gets them is told when they have moved, whatever else has happened to the merge meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from history_stand import Stand, check_sound, open_stand

from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.customers import settling
from zhike.testing.databases import Server

MANY = 5
"""Events that are moved by a job."""


@pytest.fixture
async def stand(database_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(settling, "CHUNK", 3)
    async with open_stand(database_server, tmp_path, ranked={}) as stand:
        yield stand


async def _customer(stand: Stand, who: str, events: int) -> int:
    """Make a customer with events; return its id."""
    each = {"name": "order.paid", "identities": {"external_id": who}}
    batch = [{**each, "message_id": f"{who}{number}"} for number in range(events)]
    assert (await stand("POST", "/events", {"events": batch}))[0] == 200
    [[id_]] = await stand.fetch("SELECT customer_id FROM identity WHERE value = $1", who)
    return int(id_)


async def _merge(stand: Stand, winner: int, loser: int) -> dict[str, Any]:
    status, answer = await stand("POST", "/customers/merge", {"winner": winner, "losers": [loser]})
    assert status == 200, answer
    return dict(answer)


async def _unmerge(stand: Stand, merge: dict[str, Any]) -> None:
    status, answer = await stand("POST", "/customers/unmerge", {"merge_id": merge["merge_id"]})
    assert status == 200, answer


async def _consume(stand: Stand) -> None:
    """Do what a runner would, but for jobs."""
    consumers = Consumers(stand.platform)
    while any([await Sequencer(stand.platform.db).step(), await consumers.step()]):
        pass
    await consumers.drain()


async def test_a_customer_whose_loser_is_merged_elsewhere_before_the_events_have_gone(stand: Stand) -> None:
    first, second, loser = [await _customer(stand, who, events) for who, events in [("a", 1), ("b", 1), ("l", MANY)]]
    merge = await _merge(stand, first, loser)
    await stand.settle()
    await _unmerge(stand, merge)
    assert (await _merge(stand, second, loser))["settling"]
    await stand.settle()
    assert sorted(await stand.fetch("SELECT * FROM tally_count")) == [(first, 1), (second, 1 + MANY), (loser, 0)]
    await check_sound(stand)


async def test_the_same_if_the_rest_goes_at_once_with_a_merge_after_that(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {"a": 1, "b": 1, "c": 1, "l": MANY}
    first, second, third, loser = [await _customer(stand, who, events) for who, events in ids.items()]
    merge = await _merge(stand, first, loser)
    await stand.settle()
    await _unmerge(stand, merge)
    await _merge(stand, second, loser)
    await stand.step()
    [[left]] = await stand.fetch("SELECT count(*) FROM event WHERE customer_id = $1 AND behaviour", first)
    assert 1 < left < 1 + MANY
    await _consume(stand)  # what is told while not all has gone says nothing about that
    monkeypatch.setattr(settling, "CHUNK", 100)
    assert not (await _merge(stand, third, second))["settling"]
    await stand.settle()
    counted = dict(await stand.fetch("SELECT * FROM tally_count"))
    assert counted == {first: 1, second: 0, third: 2 + MANY, loser: 0}
    await check_sound(stand)
