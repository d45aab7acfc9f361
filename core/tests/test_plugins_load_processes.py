"""The list of running processes, and restarting when the plugins have changed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from zhike._host.plugins import processes
from zhike._host.plugins.load import load
from zhike._host.plugins.processes import GenerationWatch
from zhike.orm import Database
from zhike.platform import Platform
from zhike.plugins import service
from zhike.settings import Settings


@pytest.fixture
async def platform(settings: Settings, database: Database) -> Platform:
    """A platform without plugins."""
    return await load(settings, database, threads=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat as often as a test wants it."""
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.02)


@contextlib.asynccontextmanager
async def running(watch: GenerationWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + 20
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def rows(database: Database) -> list[tuple[object, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT kind, host, pid, generation FROM process")]


async def bump(database: Database) -> None:
    async with database.transaction() as connection:
        await service.bump(connection)


async def opened(database: Database) -> object:
    async with database.connection() as connection:
        return await connection.fetchval("SELECT count(*) FROM circuit WHERE opened_at IS NOT NULL")


async def execute(database: Database, sql: str, *values: object) -> None:
    async with database.connection() as connection:
        await connection.execute(sql, *values)


async def test_a_process_is_in_the_list_while_it_runs(platform: Platform, database: Database) -> None:
    async with running(GenerationWatch(platform, "web", pytest.fail)):
        await until(lambda: rows(database))
        assert await rows(database) == [("web", socket.gethostname(), os.getpid(), platform.generation)]
    assert await rows(database) == []


@pytest.mark.usefixtures("quick")
async def test_a_process_is_seen_again_and_again(platform: Platform, database: Database) -> None:
    async def seen() -> object:
        async with database.connection() as connection:
            return await connection.fetchval("SELECT max(seen_at) FROM process")

    async with running(GenerationWatch(platform, "web", pytest.fail)):
        await until(seen)
        first = await seen()

        async def later() -> bool:
            return await seen() != first

        await until(later)


async def test_only_dead_processes_are_removed(platform: Platform, database: Database) -> None:
    for name, age in (("dead", 16), ("late", 9)):
        sql = "INSERT INTO process VALUES ($1, 'runner', 'h', 1, 1, now(), now() - make_interval(secs => $2))"
        await execute(database, sql, name, age)
    await GenerationWatch(platform, "web", pytest.fail).step()
    async with database.connection() as connection:
        names = await connection.fetch("SELECT id FROM process WHERE kind = 'runner'")
    assert [row["id"] for row in names] == ["late"]


async def test_a_process_that_slept_for_long_is_back_in_the_list(platform: Platform, database: Database) -> None:
    watch = GenerationWatch(platform, "web", pytest.fail)
    await watch.step()
    await execute(database, "UPDATE process SET seen_at = now() - interval '1 hour'")
    await watch.step()
    async with database.connection() as connection:
        ages = await connection.fetch("SELECT now() - seen_at < interval '1 minute' AS fresh FROM process")
    assert [row["fresh"] for row in ages] == [True]


async def test_a_newer_generation_restarts_the_process_once(platform: Platform, database: Database) -> None:
    restarts: list[int] = []
    watch = GenerationWatch(platform, "web", lambda: restarts.append(1))
    await watch.step()
    assert restarts == []
    for _ in range(3):
        await bump(database)
        await watch.step()
        assert restarts == [1]
    # It drains in its old generation, which the page shows.
    assert [row[3] for row in await rows(database)] == [platform.generation]


def found(platform: Platform, **codes: str) -> Platform:
    """Return the platform of a process that found these plugins instead."""
    return dataclasses.replace(platform, codes=codes)


async def test_whoever_finds_other_plugins_than_those_before_has_all_start_anew_once(
    platform: Platform, database: Database
) -> None:
    """As when a file came into the hooks folder and one of several processes died."""
    restarts: list[str] = []

    def watching(name: str, **codes: str) -> GenerationWatch:
        return GenerationWatch(found(platform, **codes), "web", lambda: restarts.append(name))

    first, second = watching("first", tally="a"), watching("second", tally="a")
    for watch in (first, second, first):
        await watch.step()
    assert restarts == []
    await watching("later", tally="b").step()
    assert restarts == ["later"]
    for watch in (first, second):
        await watch.step()
    assert restarts == ["later", "first", "second"]
    async with database.connection() as connection:
        assert await service.generation(connection) == platform.generation + 1


async def test_servers_that_differ_for_good_do_not_restart_each_other_for_ever(
    platform: Platform, database: Database
) -> None:
    restarts: list[int] = []
    for _ in range(10):
        async with database.connection() as connection:
            now = dataclasses.replace(platform, generation=await service.generation(connection))
            await connection.execute("DELETE FROM process")
        for codes in ({"tally": "a"}, {"tally": "b"}, {}):
            await GenerationWatch(found(now, **codes), "web", lambda: restarts.append(1)).step()
    assert 0 < len(restarts) < 10
    await bump(database)  # somebody changes plugins: what was tried before may help now
    async with database.connection() as connection:
        now = dataclasses.replace(platform, generation=await service.generation(connection))
    count = len(restarts)
    for codes in ({"tally": "a"}, {"tally": "b"}):
        await GenerationWatch(found(now, **codes), "web", lambda: restarts.append(1)).step()
    assert len(restarts) == count + 1


async def test_processes_of_other_machines_may_have_other_code(platform: Platform, database: Database) -> None:
    sql = "INSERT INTO process VALUES ('a', 'web', 'elsewhere', 1, $1, now(), now(), '{\"tally\": \"a\"}')"
    await execute(database, sql, platform.generation)
    await GenerationWatch(found(platform, tally="b"), "web", pytest.fail).step()


@pytest.mark.usefixtures("quick")
async def test_a_newer_generation_is_found_by_itself(platform: Platform, database: Database) -> None:
    restarted = asyncio.Event()
    async with running(GenerationWatch(platform, "web", restarted.set)):
        await bump(database)
        await asyncio.wait_for(restarted.wait(), 20)


async def test_a_change_during_the_load_is_not_missed(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    see = service.see

    async def enabled_meanwhile(*arguments: object) -> object:
        known = await see(*arguments)  # type: ignore[arg-type]
        await bump(database)
        return known

    monkeypatch.setattr(service, "see", enabled_meanwhile)
    platform = await load(settings, database, threads=True)
    restarts: list[int] = []
    await GenerationWatch(platform, "web", lambda: restarts.append(1)).step()
    assert restarts == [1]


async def test_a_process_that_is_woken_looks_at_once(
    platform: Platform, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BEAT_SECONDS", 3600)
    restarted = asyncio.Event()
    watch = GenerationWatch(platform, "web", restarted.set)
    async with running(watch):
        await until(lambda: rows(database))
        await bump(database)
        watch.wake()
        await asyncio.wait_for(restarted.wait(), 20)


@pytest.mark.usefixtures("quick")
async def test_failures_of_the_database_are_survived(platform: Platform, database: Database, database_url: str) -> None:
    other = await Database.open(database_url, max_size=1)
    restarted = asyncio.Event()
    async with running(GenerationWatch(platform, "web", restarted.set)):
        await until(lambda: rows(database))
        assert platform.circuits is not None
        await execute(other, "ALTER TABLE process RENAME TO elsewhere; ALTER TABLE circuit RENAME TO nowhere")
        for _ in range(5):
            platform.circuits.failed("stamps", "provide_health", "ValueError")
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
        for _ in range(5):
            async with other.connection() as connection:
                await connection.execute(cut, connection.get_server_pid())
            await asyncio.sleep(0.03)
        await execute(other, "ALTER TABLE elsewhere RENAME TO process; ALTER TABLE nowhere RENAME TO circuit")
        await bump(other)
        await asyncio.wait_for(restarted.wait(), 20)
        await until(lambda: opened(other))
    await other.close()


async def test_circuits_are_kept_in_the_database_meanwhile(platform: Platform, database: Database) -> None:
    assert platform.circuits is not None
    told: list[str] = []
    platform.announce = told.append
    async with running(GenerationWatch(platform, "web", pytest.fail)):
        for _ in range(5):
            platform.circuits.failed("stamps", "provide_health", "ValueError")
        await until(lambda: opened(database))

        async def announced() -> bool:  # after the commit, which others may see sooner than who made it
            return bool(told)

        await until(announced)
    assert told == ["plugins"]
