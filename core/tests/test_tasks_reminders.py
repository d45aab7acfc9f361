"""Reminders and overdue tasks: told in time and once, whatever clocks, workers and changes of the task do."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from zhike.contracts import Task
from zhike.jobs.worker import JobWorker
from zhike.tasks import service
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.work import begin

if TYPE_CHECKING:
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.plugin import FrozenNow, Record, RunUntilIdle

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
_TOLD = """
SELECT split_part(name, '.', 2), (properties ->> 'remind_at')::timestamptz FROM event
WHERE name IN ('task.reminded', 'task.overdue') ORDER BY id
"""
_WAITING = "SELECT due_at FROM job WHERE name = 'tasks.remind' ORDER BY due_at"


@pytest.fixture
async def customer(record: Record) -> int:
    """A customer's id."""
    [event] = await record({"name": "app.login", "identities": {"phone": "13800138000"}})
    return event.customer_id


async def make(platform: Platform, customer: int, **given: Any) -> Task:
    async with begin(platform, origin="user:1") as work:
        [task] = await service.create(work, [NewTask(title="x", customer_id=customer, **given)])
    return task


async def change(platform: Platform, task: Task, **given: Any) -> None:
    async with begin(platform, origin="user:1") as work:
        await service.change(work, [task.id], TaskChange(**given))


async def told(database: Database) -> list[tuple[str, datetime | None]]:
    """Return what was told of tasks: `reminded` with its instant, or `overdue`."""
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(_TOLD)]


async def waiting(database: Database) -> list[datetime]:
    """Return when jobs about tasks are due."""
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch(_WAITING)]


async def test_what_is_to_be_told_is_told_in_time_and_once(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    at = NOON - timedelta(days=2)
    frozen_now.set(at)
    # Of the first the time is over already; the second and third are the same.
    reminders = ("P3D", "P1D", "2026-03-15T20:00:00+08:00", "PT1H")
    await make(platform, customer, due_at=NOON, reminders=reminders)
    first, second = ("reminded", NOON - timedelta(days=1)), ("reminded", NOON - timedelta(hours=1))
    for instant, expected in [
        (NOON - timedelta(days=1, microseconds=1), []),
        (NOON - timedelta(days=1), [first]),
        (NOON - timedelta(hours=1), [first, second]),
        (NOON - timedelta(microseconds=1), [first, second]),
        (NOON, [first, second, ("overdue", None)]),
        (NOON + timedelta(days=9), [first, second, ("overdue", None)]),
    ]:
        frozen_now.set(instant)
        await run_until_idle()
        assert await told(database) == expected
    assert await waiting(database) == []
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT origin, live FROM event WHERE name LIKE 'task.%' ORDER BY 1")
        assert [tuple(row) for row in rows] == [("system", True), ("user:1", True)]


async def test_a_jump_of_the_clock_leaves_nothing_out_and_tells_nothing_twice(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    frozen_now.set(NOON - timedelta(days=2))
    task = await make(platform, customer, due_at=NOON, reminders=("P1D", "PT1H"))
    both = [("reminded", NOON - timedelta(days=1)), ("reminded", NOON - timedelta(hours=1))]
    frozen_now.set(NOON - timedelta(minutes=1))  # nobody worked for two days
    await run_until_idle()
    assert await told(database) == both
    frozen_now.set(NOON - timedelta(days=2))  # the clock is set back
    await run_until_idle()
    await change(platform, task, title="y")
    frozen_now.set(NOON - timedelta(minutes=30))
    await run_until_idle()
    assert await told(database) == both
    frozen_now.set(NOON)
    await run_until_idle()
    assert await told(database) == [*both, ("overdue", None)]


async def test_reminders_follow_the_calendar_where_clocks_are_changed(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    platform.settings = msgspec.structs.replace(platform.settings, timezone="Europe/Berlin")
    frozen_now.set(datetime(2026, 3, 1, tzinfo=UTC))
    # Clocks are put forward on 29 March: a month before is the same time of day, a day before is 24 hours.
    task = await make(platform, customer, due_at=datetime(2026, 3, 29, 12), reminders=("P1M", "P1D", "P3W"))  # noqa: DTZ001
    assert task.due_at == datetime(2026, 3, 29, 10, tzinfo=UTC)
    await change(platform, task, due_at=datetime(2026, 4, 15, 12))  # noqa: DTZ001
    moments = [
        datetime(2026, 3, 15, 11, tzinfo=UTC),
        datetime(2026, 3, 25, 10, tzinfo=UTC),
        datetime(2026, 4, 14, 10, tzinfo=UTC),
    ]
    for number, moment in enumerate(moments):
        for instant, count in ((moment - timedelta(seconds=1), number), (moment, number + 1)):
            frozen_now.set(instant)
            await run_until_idle()
            assert await told(database) == [("reminded", each) for each in moments[:count]]


async def test_one_job_moves_with_the_task_and_goes_with_it(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    frozen_now.set(NOON)
    day = timedelta(days=1)
    task = await make(platform, customer, due_at=NOON + 2 * day, reminders=("PT1H",))
    for given, due in [
        ({"title": "y"}, [NOON + 2 * day - timedelta(hours=1)]),
        ({"due_at": NOON + 5 * day}, [NOON + 5 * day - timedelta(hours=1)]),
        ({"reminders": ()}, [NOON + 5 * day]),
        ({"due_at": None}, []),
        ({"reminders": ("2026-04-01T00:00:00Z",)}, [datetime(2026, 4, 1, tzinfo=UTC)]),
        ({"status": "done"}, []),
        ({"due_at": NOON + day}, []),
        ({"status": "open"}, [NOON + day]),
        ({"status": "cancelled"}, []),
    ]:
        await change(platform, task, **given)
        assert await waiting(database) == due, given
    frozen_now.advance(days=99)
    await run_until_idle()
    assert await told(database) == []


async def test_a_reminder_whose_time_is_over_when_it_is_set_is_not_told(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    frozen_now.set(NOON - timedelta(days=2))
    task = await make(platform, customer, due_at=NOON, reminders=("P1D",))
    first = ("reminded", NOON - timedelta(days=1))
    frozen_now.set(NOON - timedelta(days=1))
    await run_until_idle()
    frozen_now.set(NOON - timedelta(hours=12))
    await change(platform, task, due_at=NOON + timedelta(hours=6))  # a day before was 18 hours before noon
    frozen_now.set(NOON + timedelta(hours=6))
    await run_until_idle()
    assert await told(database) == [first, ("overdue", None)]
    await change(platform, task, due_at=NOON + timedelta(days=9))
    frozen_now.set(NOON + timedelta(days=8))
    await run_until_idle()
    assert await told(database) == [first, ("overdue", None), ("reminded", NOON + timedelta(days=8))]


async def test_a_task_is_overdue_once_for_each_due_time(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow, run_until_idle: RunUntilIdle
) -> None:
    frozen_now.set(NOON)
    task = await make(platform, customer, due_at=NOON - timedelta(days=1))  # such as from an older system
    count = 0
    for given, more in [
        ({}, 1),
        ({"status": "done"}, 0),
        ({"status": "open"}, 0),
        ({"due_at": NOON - timedelta(days=2)}, 0),
        ({"due_at": NOON + timedelta(days=1)}, 0),
        ({"due_at": NOON - timedelta(days=1)}, 1),
    ]:
        await change(platform, task, **given)
        await run_until_idle()
        count += more
        assert await told(database) == [("overdue", None)] * count, given


async def test_workers_side_by_side_tell_everything_once(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow
) -> None:
    frozen_now.set(NOON)
    soon = NOON + timedelta(hours=1)
    async with begin(platform, origin="user:1") as work:
        new = [NewTask(title="x", customer_id=customer, due_at=soon, reminders=("PT30M",)) for _ in range(250)]
        tasks = await service.create(work, new)
    frozen_now.set(soon)
    workers = [JobWorker(platform) for _ in range(3)]

    async def complete() -> None:
        for task in tasks[:50]:
            await change(platform, task, status="done")

    await asyncio.gather(complete(), *(worker.step() for worker in workers))
    for worker in workers:
        while await worker.step():
            pass
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT (properties ->> 'task_id')::bigint, array_agg(name::text ORDER BY name) FROM event"
            " WHERE name IN ('task.reminded', 'task.overdue') GROUP BY 1"
        )
        done = await connection.fetchval("SELECT count(*) FROM task WHERE status = 'done'")
    both = ["task.overdue", "task.reminded"]
    assert {row[0] for row in rows} >= {task.id for task in tasks[50:]}
    assert {tuple(row[1]) for row in rows} == {tuple(both)}  # of one that was done meanwhile: both or nothing
    assert done == 50
    assert await waiting(database) == []


async def test_a_change_while_the_job_runs_is_seen(
    platform: Platform, database: Database, customer: int, frozen_now: FrozenNow
) -> None:
    async def until_it_waits() -> None:
        waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with asyncio.timeout(60), database.connection() as connection:
            while not await connection.fetch(waits):
                await connection.execute("SELECT pg_sleep(0.01)")

    frozen_now.set(NOON)
    task = await make(platform, customer, due_at=NOON + timedelta(hours=1))
    frozen_now.advance(hours=1)
    async with begin(platform, origin="user:1") as work:
        await service.change(work, [task.id], TaskChange(due_at=NOON + timedelta(days=1)))
        running = asyncio.create_task(JobWorker(platform).step(), context=contextvars.Context())
        await asyncio.create_task(until_it_waits(), context=contextvars.Context())
    await running
    assert await told(database) == []
    assert await waiting(database) == [NOON + timedelta(days=1)]
