"""Schedules: each time once, across changes of clocks, of the schedule, and of the processes that run."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from zhike.contracts import Schedule
from zhike.cron import check, next_time
from zhike.jobs.schedules import Schedules

NEW_YORK = "America/New_York"
SHANGHAI = "Asia/Shanghai"


def _schedule(cron: str, *, name: str = "probe.daily", zone: str = "", **values: Any) -> Schedule:
    return Schedule(name=name, job="probe.tell", cron=cron, zone=zone, **values)


async def _keys(stand: Any) -> list[str]:
    return sorted(await stand.rows("key"))


@pytest.mark.parametrize(
    ("cron", "zone", "start", "local"),
    [
        # Clocks go forward on 2026-03-08 from 2:00 to 3:00, and back on 2026-11-01 from 2:00 to 1:00.
        ("30 2 * * *", NEW_YORK, (2026, 3, 7, 12), ["03-08 03:00 -0400", "03-09 02:30 -0400", "03-10 02:30 -0400"]),
        ("30 1 * * *", NEW_YORK, (2026, 10, 31, 12), ["11-01 01:30 -0400", "11-02 01:30 -0500", "11-03 01:30 -0500"]),
        # In the second pass of that hour, when this has been run already.
        ("30 1 * * *", NEW_YORK, (2026, 11, 1, 6, 10), ["11-02 01:30 -0500", "11-03 01:30 -0500"]),
        (
            "*/30 * * * *",
            NEW_YORK,
            (2026, 11, 1, 5, 15),
            ["11-01 01:30 -0400", "11-01 01:00 -0500", "11-01 01:30 -0500"],
        ),
        ("0 * * * *", NEW_YORK, (2026, 3, 8, 6, 30), ["03-08 03:00 -0400", "03-08 04:00 -0400"]),
        ("0 9 29 2 *", SHANGHAI, (2026, 3, 1), ["02-29 09:00 +0800", "02-29 09:00 +0800"]),
        ("0 0 * * MON", SHANGHAI, (2026, 3, 14), ["03-16 00:00 +0800", "03-23 00:00 +0800"]),
        ("0 8 L * *", SHANGHAI, (2028, 2, 1), ["02-29 08:00 +0800", "03-31 08:00 +0800"]),
    ],
)
def test_times_across_changes_of_the_clock(cron: str, zone: str, start: tuple[int, ...], local: list[str]) -> None:
    instant = datetime(*start, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day, hour, minute
    seen = []
    for _ in local:
        instant = next_time(cron, ZoneInfo(zone), instant)
        assert instant.tzinfo is UTC
        seen.append(f"{instant.astimezone(ZoneInfo(zone)):%m-%d %H:%M %z}")
    assert seen == local


def test_a_year_of_days_has_each_day_once() -> None:
    for minute in ("30 1", "30 2", "0 3", "0 0"):
        instant, days = datetime(2025, 12, 31, 12, tzinfo=UTC), []
        while instant < datetime(2027, 1, 1, 12, tzinfo=UTC):
            instant = next_time(f"{minute} * * *", ZoneInfo(NEW_YORK), instant)
            days.append(instant.astimezone(ZoneInfo(NEW_YORK)).date())
        assert len(set(days)) == len(days)
        assert all(later - day == timedelta(days=1) for day, later in itertools.pairwise(days))


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "@daily", "61 * * * *", "0 0 30 2 *", "x * * * *"])
def test_a_line_that_cannot_be_understood_is_a_problem(cron: str) -> None:
    problem = check(_schedule(cron))
    assert problem is not None
    assert "probe.daily" in str(problem)


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "Asia", "x" * 500, "a\0b"])
def test_a_zone_that_is_not_known_is_a_problem(zone: str) -> None:
    problem = check(_schedule("0 3 * * *", zone=zone))
    assert problem is not None
    assert "IANA" in str(problem)


def test_usual_lines_are_no_problem() -> None:
    for cron in ("* * * * *", "*/5 9-18 * * MON-FRI", "0 3 1 * *", "0 9 29 2 *", "0 8 L * *"):
        assert check(_schedule(cron, zone=SHANGHAI)) is None
        assert check(_schedule(cron)) is None


async def test_each_time_enqueues_one_job_however_many_processes_there_are(stand: Any, frozen_now: Any) -> None:
    schedules = [
        _schedule("0 3 * * *", payload={"n": 1}),
        _schedule("*/10 * * * *", name="probe.often", zone=NEW_YORK),
    ]
    loops = [stand.schedules(*schedules) for _ in range(3)]
    for loop in loops:
        await loop.step()  # 2026-03-14 08:00 UTC, 16:00 in Shanghai
    assert not await stand.rows()
    frozen_now.advance(minutes=10)
    assert sorted(await asyncio.gather(*(loop.step() for loop in loops))) == [False, False, True]
    frozen_now.set(datetime(2026, 3, 14, 19, 0, tzinfo=UTC))
    await asyncio.gather(*(loop.step() for loop in loops))
    assert await _keys(stand) == [
        "probe.daily@2026-03-14T19:00:00+00:00",
        "probe.often@2026-03-14T08:10:00+00:00",
        "probe.often@2026-03-14T08:20:00+00:00",
    ]
    [daily] = await stand.rows("*", "key LIKE 'probe.daily%'")
    assert (daily["payload"], daily["origin"], daily["plugin"]) == ('{"n": 1}', "system", "probe")
    assert daily["due_at"] == datetime(2026, 3, 14, 19, 0, tzinfo=UTC)
    assert "jobs" in stand.announced


async def test_missed_times_become_one(stand: Any, frozen_now: Any) -> None:
    loop = stand.schedules(_schedule("0 * * * *"))
    await loop.step()
    frozen_now.advance(days=3, minutes=5)
    assert await loop.step()
    assert not await loop.step()
    assert len(await stand.rows()) == 1
    frozen_now.advance(minutes=55)
    assert await loop.step()
    assert len(await stand.rows()) == 2


async def test_a_schedule_outlives_its_process(stand: Any, frozen_now: Any) -> None:
    await stand.schedules(_schedule("0 3 * * *")).step()
    frozen_now.advance(hours=12)  # past 3:00 in Shanghai
    assert await stand.schedules(_schedule("0 3 * * *")).step()
    assert not await stand.schedules(_schedule("0 3 * * *")).step()
    assert len(await stand.rows()) == 1


async def test_changed_times_are_taken_over_and_removed_schedules_forgotten(stand: Any, frozen_now: Any) -> None:
    async def stored() -> list[tuple[Any, ...]]:
        async with stand.db.connection() as connection:
            rows = await connection.fetch("SELECT name, cron, zone, next_at FROM schedule ORDER BY name")
        return [tuple(row) for row in rows]

    await stand.schedules(_schedule("0 3 * * *"), _schedule("0 4 * * *", name="probe.other")).step()
    assert [row[0] for row in await stored()] == ["probe.daily", "probe.other"]
    await stand.schedules(_schedule("0 5 * * *")).step()
    assert await stored() == [("probe.daily", "0 5 * * *", SHANGHAI, datetime(2026, 3, 14, 21, tzinfo=UTC))]
    await stand.schedules(_schedule("0 5 * * *"), timezone=NEW_YORK).step()  # the deployment's zone
    assert await stored() == [("probe.daily", "0 5 * * *", NEW_YORK, datetime(2026, 3, 14, 9, tzinfo=UTC))]
    await stand.schedules().step()
    assert await stored() == []


async def test_a_clock_set_back_by_an_hour_repeats_no_run(stand: Any, frozen_now: Any) -> None:
    loop = stand.schedules(_schedule("0 * * * *"))
    await loop.step()
    frozen_now.advance(hours=1)
    assert await loop.step()
    frozen_now.advance(hours=-1)
    again = stand.schedules(_schedule("0 * * * *"))
    for _ in range(3):
        assert not await again.step()
        frozen_now.advance(minutes=30)
    frozen_now.advance(minutes=30)
    assert await again.step()
    assert len(await _keys(stand)) == 2


async def test_a_clock_that_ran_a_year_ahead_does_not_silence_a_schedule(stand: Any, frozen_now: Any) -> None:
    frozen_now.advance(days=365)
    await stand.schedules(_schedule("0 3 * * *")).step()
    frozen_now.advance(days=-365)
    loop = stand.schedules(_schedule("0 3 * * *"))
    await loop.step()
    frozen_now.advance(days=1)
    assert await loop.step()


async def test_a_schedule_whose_job_is_refused_does_not_stop_the_others(stand: Any, frozen_now: Any) -> None:
    bad = Schedule(name="probe.bad", job="probe.tell", cron="0 * * * *", payload={"large": "x" * 2_000_000})
    loop = stand.schedules(bad, _schedule("0 * * * *"))
    await loop.step()
    frozen_now.advance(hours=1)
    assert await loop.step()
    assert not await loop.step()
    assert len(await _keys(stand)) == 1


async def test_the_loop_runs_drains_and_survives_cut_connections(stand: Any) -> None:
    loop = stand.schedules(_schedule("0 3 * * *"))
    task = stand.run(loop)

    async def stored() -> bool:
        async with stand.db.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM schedule"))

    await stand.until(stored)
    await stand.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    await stand.execute("UPDATE schedule SET next_at = now() - interval '1 minute'")
    loop.wake()

    async def enqueued() -> bool:
        return bool(await stand.rows("id"))

    await stand.until(enqueued)
    await loop.drain()
    await stand.execute("UPDATE schedule SET next_at = now() - interval '1 minute'")
    loop.wake()
    assert not await loop.step()
    assert not task.done()


async def test_a_process_without_a_plugin_leaves_its_schedules_alone(stand: Any) -> None:
    """It may be in quarantine there, or enabled since that process has begun."""
    await stand.execute("INSERT INTO plugin (name, enabled) VALUES ('probe', true), ('other', false)")
    await stand.schedules(_schedule("0 9 * * *")).step()
    await stand.execute("UPDATE schedule SET next_at = now() - interval '1 day', last_at = '2026-01-01Z'")
    await stand.execute(
        "INSERT INTO schedule (name, job, cron, zone, payload, next_at, plugin) "
        "VALUES ('other.daily', 'other.tell', '* * * * *', 'UTC', '{}', now(), 'other')"
    )
    without = Schedules(dataclasses.replace(stand.platform(), plugins={}))
    await without.step()
    async with stand.db.connection() as connection:
        kept = await connection.fetch("SELECT name, last_at IS NULL FROM schedule")
    assert [tuple(row) for row in kept] == [("probe.daily", False)]
    await stand.schedules(_schedule("0 9 * * *")).step()
    assert len(await _keys(stand)) == 1  # what was missed meanwhile
