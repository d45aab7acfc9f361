"""Storing jobs: unique keys, replacing, what has begun, and payloads that are too large."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from zhike import clock
from zhike.contracts import Job
from zhike.errors import TooLarge, ZhikeError
from zhike.jobs.sql import MAX_PAYLOAD


async def test_of_jobs_with_one_key_the_first_is_kept(stand: Any) -> None:
    await stand.add("probe.tell", [{"n": 1}, {"n": 2}], key="k")
    await stand.add("probe.tell", [{"n": 3}], key="k")
    await stand.add("probe.other", [{"n": 4}], key="k")
    await stand.add("probe.tell", [{"n": 5}, {"n": 6}])
    assert await stand.rows("(payload->>'n')::int") == [1, 4, 5, 6]


async def test_replacing_moves_a_waiting_job(stand: Any) -> None:
    later = clock.now() + timedelta(days=400)
    await stand.add("probe.tell", [{"n": 1}], key="k", priority=2)
    await stand.execute("UPDATE job SET attempts = 3, last_error = 'before'")
    await stand.add("probe.tell", [{"n": 2}, {"n": 3}], key="k", priority=0, due_at=later, depth=4, replace=True)
    assert [tuple(row) for row in await stand.rows("payload, priority, due_at, attempts, last_error, depth")] == [
        ('{"n": 3}', 0, later, 0, None, 4)
    ]


async def test_replacing_what_is_not_there_stores_it(stand: Any) -> None:
    await stand.add("probe.tell", [{"n": 1}], key="k", replace=True)
    await stand.add("probe.tell", [{"n": 2}], replace=True)
    assert await stand.rows("key") == ["k", None]


async def test_what_has_begun_is_not_replaced_but_followed(stand: Any) -> None:
    """Whatever the second job was enqueued for, a run that begins afterwards sees it."""
    told: list[int] = []
    go = asyncio.Event()

    async def run(items: Sequence[Any], work: Any) -> None:
        await go.wait()
        told.extend(item.payload["n"] for item in items)

    worker = stand.worker(Job(name="probe.slow", run=run))
    await stand.add("probe.slow", [{"n": 1}], key="k")
    stand.run(worker)
    await stand.until(lambda: _leased(stand))
    await stand.add("probe.slow", [{"n": 2}], key="k")  # counts as stored
    await stand.add("probe.slow", [{"n": 3}], key="k", due_at=clock.now() + timedelta(days=1), replace=True)
    await stand.add("probe.slow", [{"n": 4}], key="k", replace=True)
    assert [tuple(row) for row in await stand.rows("payload->>'n', key")] == [("1", None), ("4", "k")]
    go.set()
    await stand.until(stand.empty)
    assert told == [1, 4]


async def test_concurrent_enqueuing_of_one_key_stores_one(stand: Any) -> None:
    await asyncio.gather(
        *(stand.add("probe.tell", [{"n": n}], key=f"k{k}", replace=n % 2 == 0) for n in range(20) for k in range(3))
    )
    assert sorted(await stand.rows("key")) == ["k0", "k1", "k2"]


async def test_a_job_may_enqueue_itself_under_its_own_key(stand: Any) -> None:
    async def run(items: Sequence[Any], work: Any) -> None:
        if items[0].payload["left"]:
            work.enqueue("probe.again", {"left": items[0].payload["left"] - 1}, key=items[0].key, cause=items[0])

    worker = stand.worker(Job(name="probe.again", run=run))
    await stand.add("probe.again", [{"left": 3}], key="k")
    steps = 0
    while await worker.step():
        steps += 1
    assert steps == 4
    assert not await stand.rows()


async def test_a_failed_job_holds_its_key_no_longer(stand: Any) -> None:
    await stand.add("probe.tell", [{"n": 1}], key="k")
    await stand.execute("UPDATE job SET state = 'failed'")
    await stand.add("probe.tell", [{"n": 2}], key="k")
    assert await stand.rows("state") == ["failed", "ready"]


async def test_a_payload_above_the_limit_is_refused(stand: Any) -> None:
    fits = "x" * (MAX_PAYLOAD - 2)
    await stand.add("probe.tell", [fits])
    with pytest.raises(TooLarge, match=r"probe\.tell has 1048577 bytes; expected at most 1048576"):
        await stand.add("probe.tell", [fits + "x"])
    with pytest.raises(TooLarge):  # few characters, many bytes
        await stand.add("probe.tell", ["客" * (MAX_PAYLOAD // 3 + 1)])
    assert len(await stand.rows()) == 1


async def test_a_huge_payload_is_refused_when_it_is_enqueued(stand: Any, make: Any) -> None:
    platform = stand.platform(make.tell([]))
    with pytest.raises(ZhikeError):
        await stand.enqueue(platform, "probe.tell", {"text": "x" * 20_000_000})
    assert not await stand.rows()


async def _leased(stand: Any) -> bool:
    return bool(await stand.rows("id", "lease_token IS NOT NULL"))
