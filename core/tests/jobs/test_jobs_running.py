"""Running jobs: their transaction, failures, who is to blame, time limits, and what waits for what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from zhike import clock
from zhike.contracts import EventType, Job, JobItem
from zhike.errors import Conflict
from zhike.hooks import hookimpl
from zhike.i18n import Text
from zhike.jobs import calls
from zhike.jobs.worker import JobWorker
from zhike.orm import SERVER_SETTINGS, Database
from zhike.work import in_transaction


class Letter(msgspec.Struct):
    """A payload with a shape."""

    to: str
    copies: int = 1


async def test_effects_and_the_end_of_the_job_are_one(stand: Any, make: Any) -> None:
    worker = stand.worker(make.effect(batch=10))
    await stand.add("probe.effect", [{"n": n} for n in range(25)])
    assert await worker.step()
    assert not await worker.step()
    assert await _effects(stand) == list(range(25))
    assert not await stand.rows()


async def test_items_say_what_was_enqueued(stand: Any) -> None:
    seen: list[JobItem] = []

    async def run(items: Sequence[JobItem], work: Any) -> None:
        seen.extend(items)
        assert work.depth == 3
        assert work.plugin == "probe"
        assert work.origin == "plugin:probe"

    worker = stand.worker(Job(name="probe.letter", run=run, payload=Letter))
    due_at = clock.now() - timedelta(seconds=5)
    columns: dict[str, Any] = {
        "customer_id": 7,
        "causation_id": 99,
        "depth": 3,
        "origin": "user:7",
        "live": False,
        "due_at": due_at,
    }
    await stand.add("probe.letter", [Letter("Li")], key="k", **columns)
    [job_id] = await stand.rows("id")
    await worker.step()
    [item] = seen
    assert item == JobItem(
        id=job_id,
        key="k",
        payload=Letter("Li", 1),
        attempt=1,
        idempotency_key=item.idempotency_key,
        **columns,
    )


async def test_a_batch_that_fails_spoils_only_the_guilty(stand: Any, make: Any, frozen_now: Any) -> None:
    worker = stand.worker(make.effect(batch=100, attempts=2))
    await stand.add("probe.effect", [{"n": n, "poison": n in {3, 50}} for n in range(100)])
    await worker.step()
    assert await _effects(stand) == [n for n in range(100) if n not in {3, 50}]
    rows = await stand.rows("state, attempts, last_error, due_at, lease_token")
    assert [tuple(row)[:2] for row in rows] == [("ready", 1)] * 2
    assert all("ValueError at conftest.py" in row[2] and "phone" not in row[2] for row in rows)
    # By a clock that stands still: on a busy machine the second that they wait may be over by now.
    assert [(row[3] > frozen_now.instant, row[4]) for row in rows] == [(True, None)] * 2
    await stand.execute("UPDATE job SET due_at = $1", frozen_now.instant)
    await worker.step()
    assert await stand.rows("state") == ["failed"] * 2
    assert not await worker.step()


async def test_each_failure_doubles_the_wait_more_or_less(stand: Any, make: Any, frozen_now: Any) -> None:
    worker = stand.worker(make.effect(attempts=40))
    await stand.add("probe.effect", [{"n": n, "poison": True} for n in range(10)])

    async def waits(change: str) -> list[float]:
        await stand.execute(f"UPDATE job SET {change}", frozen_now.instant)
        while await worker.step():
            pass
        return [(due_at - frozen_now.instant).total_seconds() for due_at in await stand.rows("due_at")]

    for attempt in range(1, 6):
        each = await waits("due_at = $1")
        assert all(0.5 * 2**attempt <= wait <= 2**attempt for wait in each), (attempt, each)
    assert len({round(wait, 3) for wait in each}) > 5, "no jitter"
    assert all(1800 <= wait <= 3600 for wait in await waits("due_at = $1, attempts = 35"))


async def test_our_own_errors_are_kept_masked(stand: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "zhike.jobs")  # pytest-xdist cannot carry a lone surrogate in what was logged
    from zhike.i18n import text

    async def run(items: Sequence[Any], work: Any) -> None:
        raise Conflict(text("{phone} and {mail}\0 are taken\ud800", phone="13812345678", mail="li@example.com"))

    worker = stand.worker(Job(name="probe.rude", run=run))
    await stand.add("probe.rude")
    await worker.step()
    assert await stand.rows("last_error") == ["Conflict: *******5678 and …@… are taken?"]


@pytest.mark.parametrize("stored", ['{"to": 5}', '{"copies": 1}', "[]", "null"])
async def test_a_payload_of_another_shape_fails_at_once_and_alone(stand: Any, stored: str) -> None:
    seen: list[Any] = []

    async def run(items: Sequence[Any], work: Any) -> None:
        seen.extend(item.payload for item in items)

    worker = stand.worker(Job(name="probe.letter", run=run, payload=Letter, batch=10))
    await stand.add("probe.letter", [Letter("Li"), Letter("Wang")])
    await stand.execute("INSERT INTO job (name, payload, due_at) VALUES ('probe.letter', $1, now())", stored)
    await worker.step()
    assert seen == [Letter("Li"), Letter("Wang")]
    [row] = await stand.rows("state, last_error, attempts")
    assert row[0] == "failed"
    assert row[1].startswith("payload: ")


async def test_jobs_of_a_plugin_that_is_gone_wait_for_it(stand: Any, make: Any) -> None:
    told: list[Any] = []
    worker = stand.worker(make.tell(told))
    await stand.add("gone.job", [{}] * 3)
    await stand.add("probe.tell")
    await worker.step()
    assert not await worker.step()
    assert await stand.rows("name, attempts") == [("gone.job", 0)] * 3
    back = stand.worker(make.tell(told, name="probe.tell"), make.tell(told, name="probe.other"))
    await stand.execute("UPDATE job SET name = 'probe.other'")
    await back.step()
    assert len(told) == 4


async def test_external_jobs_run_outside_a_transaction_and_their_results_inside(stand: Any) -> None:
    keys: list[str] = []

    async def run(items: Sequence[JobItem], platform: Any) -> dict[int, str]:
        assert not in_transaction()
        assert platform.db is stand.db
        assert stand.db.engine.current() is None
        keys.extend(item.idempotency_key for item in items)
        if len(keys) == 1:
            raise ConnectionError
        return {item.id: f"sent {item.payload['n']}" for item in items}

    async def done(items: Sequence[JobItem], result: dict[int, str], work: Any) -> None:
        assert list(result.values()) == ["sent 1"]
        await work.connection.execute("INSERT INTO effect VALUES ($1)", items[0].payload["n"])

    worker = stand.worker(Job(name="probe.send", run=run, done=done, external=True))
    await stand.add("probe.send", [{"n": 1}])
    await worker.step()
    await stand.execute("UPDATE job SET due_at = now()")
    await worker.step()
    assert not await stand.rows()
    assert await _effects(stand) == [1]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_who_registered_a_job_is_told_when_it_is_given_up(stand: Any) -> None:
    told: list[tuple[int, str, int]] = []

    async def run(items: Sequence[JobItem], work: Any) -> None:
        raise ValueError

    async def failed(items: Sequence[JobItem], reason: Text, work: Any) -> None:
        [item] = items
        await work.connection.execute("INSERT INTO effect VALUES ($1)", item.payload["n"])
        told.append((item.payload["n"], reason.render("en"), work.depth))
        if item.payload["n"] == 2:
            raise ValueError  # which keeps no job

    worker = stand.worker(Job(name="probe.lost", run=run, failed=failed, batch=2, attempts=2))
    await stand.add("probe.lost", [{"n": n} for n in (1, 2)], depth=3)
    await worker.step()
    assert told == []
    await stand.execute("UPDATE job SET due_at = now()")
    await worker.step()
    assert sorted(told) == [(n, "It failed 2 times", 3) for n in (1, 2)]
    assert await stand.rows("state") == ["failed"] * 2
    assert await _effects(stand) == [1]
    # One whose process has died each time that it ran alone.
    await stand.execute("DELETE FROM job")
    await stand.add("probe.lost", [{"n": 3}])
    await stand.execute("UPDATE job SET lease_token = 1, lease_size = 1, leased_until = now(), attempts = 2")
    await worker.step()
    assert await stand.rows("state") == ["failed"]
    assert await _effects(stand) == [1, 3]


async def test_a_job_is_given_up_also_when_telling_so_does_not_end(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TELLING", 0.2)

    async def run(items: Sequence[JobItem], work: Any) -> None:
        raise ValueError

    async def failed(items: Sequence[JobItem], reason: Text, work: Any) -> None:
        await asyncio.sleep(3600)

    worker = stand.worker(Job(name="probe.lost", run=run, failed=failed, attempts=1))
    await stand.add("probe.lost", [{}])
    async with asyncio.timeout(60):
        await worker.step()
    assert await stand.rows("state") == ["failed"]


async def test_contention_after_an_external_effect_does_not_repeat_it(stand: Any) -> None:
    sent: list[int] = []
    fails = iter([asyncpg.DeadlockDetectedError(), asyncpg.SerializationError()])

    async def run(items: Sequence[JobItem], _: Any) -> None:
        sent.append(items[0].payload["n"])

    async def done(items: Sequence[JobItem], result: None, work: Any) -> None:
        for error in fails:
            raise error

    worker = stand.worker(Job(name="probe.send", run=run, done=done, external=True))
    await stand.add("probe.send", [{"n": 1}])
    await worker.step()
    assert sent == [1]
    assert not await stand.rows()


async def test_who_has_lost_the_lease_cannot_finish(stand: Any) -> None:
    """Only the second of two workers has an effect; the rest of the first one's batch is done all the same."""
    went_on = asyncio.Event()

    async def run(items: Sequence[Any], work: Any) -> None:
        await work.connection.execute("INSERT INTO effect SELECT unnest($1::bigint[])", [i.payload["n"] for i in items])
        if not went_on.is_set() and items[0].payload["n"] == 0 and len(items) == 3:
            await went_on.wait()

    job = Job(name="probe.slow", run=run, batch=3)
    slow, quick = stand.worker(job), stand.worker(job)
    await stand.add("probe.slow", [{"n": n} for n in range(3)])
    stepping = asyncio.create_task(slow.step())
    await stand.until(lambda: _some(stand, "lease_token IS NOT NULL"))
    await stand.execute("UPDATE job SET leased_until = now() - interval '1 s' WHERE payload->>'n' = '1'")
    assert await quick.step()
    went_on.set()
    await stepping
    assert await _effects(stand) == [0, 1, 2]
    assert not await stand.rows()


class Quick(timedelta):
    """A lease that the worker takes for one of a second; the database knows better, so that no stall can end it."""

    def total_seconds(self) -> float:
        """Tell how often to extend it."""
        return 1.0


async def test_leases_of_long_jobs_are_kept_alive(stand: Any) -> None:
    calls = 0
    go = asyncio.Event()

    async def run(items: Sequence[Any], work: Any) -> None:
        nonlocal calls
        calls += 1
        await go.wait()

    job = Job(name="probe.long", run=run)
    await stand.add("probe.long")
    for worker in (stand.worker(job, lease=Quick(seconds=120), tick=0.02) for _ in range(2)):
        stand.run(worker)
    await stand.until(lambda: calls > 0)
    for _ in range(3):  # the first lease would have ended, and another one after it
        await stand.shift(seconds=90)
        await stand.until(lambda: _some(stand, "leased_until > now() + interval '100 s'"))
    assert calls == 1
    go.set()
    await stand.until(stand.empty)
    assert calls == 1


async def test_a_lease_that_ends_in_the_far_future_is_shortened(stand: Any, make: Any) -> None:
    """The database's clock was set back, and the process that claimed the job has died."""
    told: list[Any] = []
    await stand.add("probe.tell", [{"n": 1}])
    await stand.execute(
        "UPDATE job SET lease_token = 1, lease_size = 2, leased_until = now() + interval '1 hour', attempts = 1"
    )
    stand.run(stand.worker(make.tell(told), lease=timedelta(seconds=0.5), tick=0.02))
    await stand.until(lambda: bool(told))


async def _swallow(items: Sequence[Any], work: Any) -> None:
    for _ in range(15):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue


async def _sleep(items: Sequence[Any], work: Any) -> None:
    await asyncio.sleep(3600)


async def _query(items: Sequence[Any], work: Any) -> None:
    await work.connection.execute("SELECT pg_sleep(3600)")


async def _leave(items: Sequence[Any], work: Any) -> None:
    raise SystemExit


async def _cancel(items: Sequence[Any], work: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (_sleep, "HookTimeout"),
        (_swallow, "HookTimeout"),
        (_query, "HookTimeout"),
        (_leave, "SystemExit"),
        (_cancel, "CancelledError"),
    ],
)
async def test_what_does_not_end_properly_is_a_failure_of_its_own(stand: Any, make: Any, run: Any, told: str) -> None:
    done: list[Any] = []
    timeout = 0.1 if told == "HookTimeout" else 3600
    worker = stand.worker(Job(name="probe.bad", run=run, timeout=timeout), make.tell(done))
    await stand.add("probe.bad")
    await stand.add("probe.tell")
    await asyncio.wait_for(worker.step(), 60)
    [row] = await stand.rows("name, attempts, lease_token, last_error")
    assert tuple(row)[:3] == ("probe.bad", 1, None)
    assert told in row[3]
    assert done == [{}]
    async with asyncio.timeout(30):  # its connection is whole, or has been thrown away
        for _ in range(10):
            assert await stand.rows("id")


async def test_high_before_normal_before_low(stand: Any) -> None:
    seen: list[int] = []

    async def run(items: Sequence[Any], work: Any) -> None:
        seen.extend(item.payload["n"] for item in items)

    worker = stand.worker(*(Job(name=f"probe.{name}", run=run) for name in "abc"), slots=1)
    for n, (name, priority) in enumerate([("a", 2), ("b", 1), ("c", 0), ("a", 0), ("c", 1), ("b", 2)]):
        await stand.add(f"probe.{name}", [{"n": n}], priority=priority)
    while await worker.step():
        pass
    assert seen == [2, 3, 1, 4, 0, 5]


async def test_jobs_of_one_name_run_in_the_order_they_are_due(stand: Any, make: Any) -> None:
    told: list[Any] = []
    worker = stand.worker(make.tell(told), slots=1)
    now = clock.now()
    for n in (3, 1, 4, 2, 0):
        await stand.add("probe.tell", [{"n": n}], due_at=now - timedelta(minutes=10 - n))
    while await worker.step():
        pass
    assert [each["n"] for each in told] == [0, 1, 2, 3, 4]


async def test_a_queue_whose_jobs_hang_holds_up_no_other(stand: Any, make: Any) -> None:
    go = asyncio.Event()
    running: set[int] = set()
    most = 0
    told: list[Any] = []

    async def hang(items: Sequence[Any], *_: object) -> None:
        nonlocal most
        running.add(items[0].id)
        most = max(most, len(running))
        await go.wait()
        running.discard(items[0].id)

    jobs = [
        Job(name="probe.hang", run=hang, queue="slow"),
        Job(name="probe.call", run=hang, queue="net", external=True),
        make.tell(told),
    ]
    stand.run(stand.worker(*jobs, slots=6, tick=0.02))
    await stand.add("probe.hang", [{}] * 40, queue="slow")
    await stand.until(lambda: len(running) > 1)
    internal = stand.db.pool.get_max_size() - 2 - 2  # the claim and the heartbeat count as well
    await stand.add("probe.tell", [{"n": n} for n in range(20)])
    await stand.until(lambda: len(told) == 20)
    await stand.until(lambda: most >= internal - 1)  # the last of them may have to wait for a new connection
    assert most == internal - 1, "all places but the one that is kept for another queue"
    await stand.add("probe.call", [{}] * 40, queue="net")
    await stand.until(lambda: len(running) == internal - 1 + 6)
    go.set()
    await stand.until(stand.empty)
    assert most == internal - 1 + 6


async def test_draining_finishes_what_has_begun_and_begins_nothing(stand: Any) -> None:
    begun, ended = 0, 0
    go = asyncio.Event()

    async def run(items: Sequence[Any], work: Any) -> None:
        nonlocal begun, ended
        begun += 1
        await go.wait()
        ended += 1

    worker = stand.worker(Job(name="probe.slow", run=run), slots=2)
    stand.run(worker)
    await stand.add("probe.slow", [{}] * 5)
    worker.wake()
    await stand.until(lambda: begun == 2)
    draining = asyncio.create_task(worker.drain())
    go.set()
    await draining
    assert (begun, ended) == (2, 2)
    assert await stand.rows("attempts, lease_token") == [(0, None)] * 3


async def test_what_does_not_finish_while_draining_is_given_back(stand: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("zhike.jobs.worker.DRAIN_SECONDS", 0.1)
    begun = asyncio.Event()

    async def run(items: Sequence[Any], work: Any) -> None:
        begun.set()
        await asyncio.sleep(20)

    worker = stand.worker(Job(name="probe.slow", run=run))
    stand.run(worker)
    await stand.add("probe.slow", [{"n": 1}])
    worker.wake()
    await asyncio.wait_for(begun.wait(), 60)
    await worker.drain()
    # It waits a second for the database; where the machine takes longer, what was begun ends a little later.
    await stand.until(lambda: _some(stand, "lease_token IS NULL"))
    assert await stand.rows("attempts, lease_token, state, last_error") == [(0, None, "ready", None)]


async def test_a_lost_database_connection_is_not_held_against_the_job(stand: Any) -> None:
    calls: list[int] = []

    async def run(items: Sequence[Any], work: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            pid = await work.connection.fetchval("SELECT pg_backend_pid()")
            await stand.execute("SELECT pg_terminate_backend($1)", pid)
        await work.connection.execute("INSERT INTO effect VALUES (1)")

    worker = stand.worker(Job(name="probe.cut", run=run, attempts=1))
    await stand.add("probe.cut")
    await worker.step()
    assert len(calls) == 2
    assert await _effects(stand) == [1]
    assert not await stand.rows()


@pytest.mark.parametrize("wait", [asyncio.sleep, None])
async def test_a_job_may_wait_as_long_as_it_says(
    stand: Any, database_url: str, monkeypatch: pytest.MonkeyPatch, wait: Any
) -> None:
    """The server ends transactions that wait, and statements that take, longer than usual; here two seconds."""
    limits = {"idle_in_transaction_session_timeout": "2s", "statement_timeout": "2s"}
    await stand.add("probe.patient")
    monkeypatch.setattr("zhike.orm.SERVER_SETTINGS", SERVER_SETTINGS | limits)
    calls: list[int] = []

    async def run(items: Sequence[Any], work: Any) -> None:
        calls.append(items[0].attempt)
        await (wait(2.5) if wait else work.connection.execute("SELECT pg_sleep(2.5)"))
        await work.connection.execute("INSERT INTO effect VALUES (1)")

    job = Job(name="probe.patient", run=run, timeout=600)
    stand.db = await Database.open(database_url)
    try:
        await asyncio.wait_for(stand.worker(job).step(), 60)
        assert calls == [1]
        assert await _effects(stand) == [1]
        assert await stand.rows() == []
        for name in limits:  # only that transaction's
            async with stand.db.connection() as connection:
                assert await connection.fetchval(f"SHOW {name}") == "2s"
    finally:
        await stand.db.close()


async def test_a_job_whose_connection_is_cut_each_time_ends_as_failed(stand: Any, make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("zhike.jobs.calls._PAUSES", (0.0, 0.0))

    async def run(items: Sequence[Any], work: Any) -> None:
        await work.connection.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
        await asyncio.sleep(0.3)
        await work.connection.execute("INSERT INTO effect VALUES (1)")

    told: list[Any] = []
    worker = stand.worker(Job(name="probe.idle", run=run, attempts=2), make.tell(told))
    await stand.add("probe.idle")
    await stand.add("probe.tell")
    await worker.step()
    [row] = await stand.rows("state, attempts, last_error")
    assert tuple(row)[:2] == ("ready", 1)
    assert "its connection was ended each time" in row[2]
    await stand.execute("UPDATE job SET due_at = now()")
    await worker.step()
    assert await stand.rows("state, attempts") == [("failed", 2)]
    assert told == [{}]


async def test_events_and_jobs_of_a_job_commit_with_it(stand: Any) -> None:
    class Chain:
        @hookimpl
        def register_jobs(self) -> list[Job]:
            async def run(items: Sequence[JobItem], work: Any) -> None:
                for item in items:
                    work.emit("chain.done", item.customer_id, cause=item)
                    work.enqueue("chain.next", cause=item)

            async def stop(items: Sequence[JobItem], work: Any) -> None:
                raise AssertionError

            return [Job(name="chain.first", run=run, batch=10), Job(name="chain.next", run=stop)]

        @hookimpl
        def register_event_types(self) -> list[EventType]:
            return [EventType(name="chain.done", kind="platform", label="Done")]

    from zhike.platform import Platform, assemble, core_plugins

    assembled = assemble({**core_plugins(), "chain": Chain()})
    assert not assembled.problems
    usual = stand.platform()
    platform = Platform(
        settings=usual.settings,
        db=stand.db,
        hooks=assembled.hooks,
        registry=assembled.registry,
        announce=stand.announced.append,
    )
    await stand.execute("INSERT INTO customer DEFAULT VALUES")
    await stand.add("chain.first", customer_id=1, depth=2, causation_id=5, live=False)
    await JobWorker(platform, slots=1).step()
    async with stand.db.connection() as connection:
        events = await connection.fetch("SELECT name, depth, causation_id, live, origin FROM event")
    assert [tuple(event) for event in events] == [("chain.done", 2, 5, False, "plugin:chain")]
    assert [tuple(row) for row in await stand.rows("name, depth, causation_id, live")] == [("chain.next", 2, 5, False)]
    assert {"log", "jobs"} <= set(stand.announced)


async def _effects(stand: Any) -> list[int]:
    async with stand.db.connection() as connection:
        return [row[0] for row in await connection.fetch("SELECT n FROM effect ORDER BY n")]


async def _some(stand: Any, where: str) -> bool:
    return bool(await stand.rows("id", where))
