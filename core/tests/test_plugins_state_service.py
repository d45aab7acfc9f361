"""What the database knows of plugins: seen, enabled or not, why not running; and circuits that all processes share."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from zhike.access.actor import Actor
from zhike.errors import Conflict, NotFound, Unavailable
from zhike.hooks import Circuits
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Problem
from zhike.plugins import service, switching
from zhike.plugins.circuits import LIMIT, REFRESH_SECONDS, StoredCircuits, close_circuit
from zhike.plugins.service import Installed

FILE = Installed(name="note")
OTHER = Installed(name="stamps", distribution="zhike-stamps", version="1.0")
ACTOR = Actor.command("test")


async def see(database: Database, *installed: Installed) -> dict[str, service.Known]:
    async with database.connection() as connection:
        return await service.see(connection, installed)


async def known(database: Database, name: str) -> service.Known:
    async with database.connection() as connection:
        return (await service.known(connection))[name]


async def generation(database: Database) -> int:
    async with database.connection() as connection:
        return await service.generation(connection)


async def test_only_our_own_and_the_folders_are_enabled_when_first_seen(database: Database) -> None:
    seen = await see(
        database,
        FILE,
        OTHER,
        Installed(name="imports", distribution="Zhike-Imports", version="1"),
        Installed(name="privacy", distribution="zhike-privacy", version="1"),
        Installed(name="exports", distribution="zhike-imports", version="1"),
    )
    assert {name: plugin.enabled for name, plugin in seen.items()} == {
        "note": True,
        "stamps": False,
        "imports": True,
        "privacy": True,
        "exports": False,
    }
    assert seen["stamps"].version == "1.0"


async def test_a_name_of_ours_in_a_foreign_distribution_is_not_trusted(database: Database) -> None:
    seen = await see(database, Installed(name="imports", distribution="evil", version="1"))
    assert not seen["imports"].enabled


async def test_what_is_enabled_stays_so_through_updates_and_absence(database: Database) -> None:
    await see(database, FILE, OTHER)
    await switching.enable(database, ACTOR, "stamps")
    await switching.disable(database, ACTOR, "note")
    gone = await see(database, FILE)
    assert (gone["stamps"].installed, gone["stamps"].enabled, gone["note"].enabled) == (False, True, False)
    back = await see(database, FILE, Installed(name="stamps", distribution="zhike-stamps", version="2.0"))
    assert (back["stamps"].installed, back["stamps"].enabled, back["stamps"].version) == (True, True, "2.0")
    assert back == await see(database, *[FILE, Installed(name="stamps", distribution="zhike-stamps", version="2.0")])


async def test_seeing_the_same_again_writes_nothing(database: Database, query_counter) -> None:
    await see(database, FILE, OTHER)
    query_counter.reset()
    await see(database, OTHER, FILE)
    assert query_counter.count == 1


async def test_problems_are_kept_with_their_texts(database: Database) -> None:
    await see(database, FILE)
    inner = text("nothing to import in {file}", file=Path("/srv") / ("x" * 300))
    problem = Problem(
        plugin="note",
        stage="import",
        text=text("{what} ({n}, {error})", what=inner, n=3, error=ValueError("\udc00\x00'")),
        hint=text("Mend it"),
    )
    async with database.connection() as connection:
        await service.record(connection, "note", problem, claims=("notes",), fingerprint=None)
    stored = await known(database, "note")
    assert stored.claims == ("notes",)
    assert stored.problem is not None
    assert (stored.problem.stage, str(stored.problem.hint)) == ("import", "Mend it")
    shown = str(stored.problem.text)
    assert shown.startswith("nothing to import in /srv/xxx")
    assert shown.endswith("(3, ?\x00')")
    async with database.connection() as connection:
        await service.record(connection, "note", None, claims=("notes",), fingerprint="f1")
    stored = await known(database, "note")
    assert (stored.problem, stored.fingerprint) == (None, "f1")


async def test_a_text_within_a_text_is_translated_when_it_is_shown(database: Database) -> None:
    await see(database, FILE)
    inner = text("nested too deeply")
    assert inner.render("zh_CN") != inner.render("en")
    problem = Problem(plugin="note", stage="run", text=text("{what}!", what=inner), hint=inner)
    async with database.connection() as connection:
        await service.record(connection, "note", problem)
    stored = (await known(database, "note")).problem
    assert stored is not None
    assert stored.text.render("zh_CN") == inner.render("zh_CN") + "!"


async def test_switching_counts_the_generation_and_is_audited(database: Database) -> None:
    await see(database, OTHER)
    before = await generation(database)
    assert await switching.enable(database, ACTOR, "stamps")
    assert not await switching.enable(database, ACTOR, "stamps")
    assert await generation(database) == before + 1
    assert (await known(database, "stamps")).enabled
    assert await switching.disable(database, ACTOR, "stamps")
    assert not await switching.disable(database, ACTOR, "stamps")
    assert await generation(database) == before + 2
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT actor, action, object FROM audit ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("command:test", "plugin.enable", "plugin:stamps"),
        ("command:test", "plugin.disable", "plugin:stamps"),
    ]


async def test_what_is_not_there_cannot_be_switched(database: Database) -> None:
    await see(database, OTHER)
    await see(database)
    before = await generation(database)
    for call in (switching.enable, switching.disable):
        with pytest.raises(NotFound, match="no plugin nobody"):
            await call(database, ACTOR, "nobody")
    with pytest.raises(NotFound, match="stamps is not installed"):
        await switching.enable(database, ACTOR, "stamps")
    assert await generation(database) == before


async def test_a_plugin_that_read_the_log_says_where_it_goes_on(database: Database) -> None:
    await see(database, OTHER)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO consumer (name, live_from, events) VALUES ('stamps', 1, '{*}');"
            "INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position) VALUES ('stamps', 0, 63, 1);"
            "INSERT INTO log_batch (batch_id, position, names, shards, size)"
            " SELECT i, i, '{x}', 1, 1 FROM generate_series(1, 7) i"
        )
    with pytest.raises(Conflict, match="has read the log before") as conflict:
        await switching.enable(database, ACTOR, "stamps")
    assert conflict.value.code == "resume"
    assert not (await known(database, "stamps")).enabled
    position = "SELECT position FROM consumer_cursor"
    for resume, expected in [("continue", 1), ("from_now", 8)]:
        await switching.enable(database, ACTOR, "stamps", resume)
        async with database.connection() as connection:
            assert await connection.fetchval(position) == expected
        await switching.disable(database, ACTOR, "stamps")


@pytest_asyncio.fixture(autouse=True)
async def nothing_is_known(database: Database) -> None:
    """Forget the plugins that are installed here for good."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM plugin")


@pytest_asyncio.fixture
async def start(database_url: str) -> AsyncIterator[Callable[[], asyncio.Future[StoredCircuits]]]:
    """Starts the circuits of another process."""
    opened: list[tuple[Database, asyncio.Task[None]]] = []

    async def begin() -> StoredCircuits:
        database = await Database.open(database_url, max_size=1)
        circuits = StoredCircuits(database)
        await circuits.step()
        opened.append((database, asyncio.create_task(circuits.run(), context=contextvars.Context())))
        return circuits

    yield begin  # type: ignore[misc]  # a coroutine function
    for database, task in opened:
        task.cancel()
        await asyncio.wait([task])
        await database.close()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.02)


def fail(circuits: Circuits, times: int) -> None:
    for _ in range(times):
        circuits.failed("stamps", "provide_health", "RuntimeError at health.py:3")


async def test_five_failures_switch_a_hook_off_everywhere_and_for_good(
    start, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.plugins.circuits.REFRESH_SECONDS", 600)
    one, other = await start(), await start()
    announced: list[str] = []
    one.announce = announced.append
    fail(one, LIMIT - 1)
    assert not one.is_open("stamps", "provide_health")
    fail(one, 1)
    assert one.is_open("stamps", "provide_health")  # at once
    assert not one.is_open("stamps", "amend_incoming_events")
    await until(lambda: announced == ["plugins"])
    other.wake()  # which the announcement does in real processes
    await until(lambda: other.is_open("stamps", "provide_health"))
    third = await start()
    assert third.is_open("stamps", "provide_health")
    third.succeeded("stamps", "provide_health")  # it had begun before
    await third.step()
    await one.step()
    assert one.is_open("stamps", "provide_health")
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT failures, opened_at, last_error FROM circuit")
    assert row["opened_at"] is not None
    assert (row["failures"], row["last_error"]) == (5, "RuntimeError at health.py:3")


async def test_others_are_told_without_a_wake_up_too(start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REFRESH_SECONDS <= 5
    monkeypatch.setattr("zhike.plugins.circuits.REFRESH_SECONDS", 0.3)
    one, other = await start(), await start()
    fail(one, LIMIT)
    await until(lambda: other.is_open("stamps", "provide_health"))


async def test_try_again(start, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhike.plugins.circuits.REFRESH_SECONDS", 600)
    one, other = await start(), await start()
    fail(one, LIMIT)
    await one.step()
    await other.step()
    await close_circuit(database, ACTOR, "stamps", "provide_health")
    for circuits in (one, other):
        circuits.wake()
        await until(lambda circuits=circuits: not circuits.is_open("stamps", "provide_health"))
    with pytest.raises(NotFound, match="No such hook of the plugin stamps is switched off"):
        await close_circuit(database, ACTOR, "stamps", "provide_health")
    fail(other, LIMIT - 1)
    assert not other.is_open("stamps", "provide_health")
    fail(other, 1)
    assert other.is_open("stamps", "provide_health")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT action FROM audit") == "plugin.close_circuit"


async def test_failures_of_several_processes_in_a_row_count_together(database: Database) -> None:
    """Each command is a process of its own: none of them sees five."""
    for _ in range(LIMIT):
        circuits = StoredCircuits(database)
        await circuits.step()
        assert not circuits.is_open("stamps", "provide_health")
        fail(circuits, 1)
        await circuits.step()
    assert circuits.is_open("stamps", "provide_health")


async def test_a_success_ends_the_row(database: Database, query_counter) -> None:
    circuits = StoredCircuits(database)
    for _ in range(3):
        fail(circuits, LIMIT - 1)
        circuits.succeeded("stamps", "provide_health")
        await circuits.step()
    fail(circuits, LIMIT - 1)
    await circuits.step()
    assert not circuits.is_open("stamps", "provide_health")
    circuits.succeeded("stamps", "provide_health")
    fail(circuits, 1)
    await circuits.step()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT failures FROM circuit") == 1
    circuits.succeeded("stamps", "provide_health")
    await circuits.step()
    query_counter.reset()
    for _ in range(1000):
        circuits.succeeded("stamps", "provide_health")
    await circuits.step()
    assert query_counter.count == 1  # successes cost nothing; this is the look at the others'


async def test_what_is_noted_survives_an_outage(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = StoredCircuits(database)
    fail(circuits, 2)
    gone = asyncpg.ConnectionDoesNotExistError()

    class Gone:
        def transaction(self) -> None:
            fail(circuits, 1)  # somebody fails meanwhile
            raise Unavailable(text("gone")) from gone

    monkeypatch.setattr(circuits, "_db", Gone())
    with pytest.raises(Unavailable):
        await circuits.step()
    monkeypatch.setattr(circuits, "_db", database)
    fail(circuits, 2)
    assert circuits.is_open("stamps", "provide_health")
    await circuits.step()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT failures FROM circuit WHERE opened_at IS NOT NULL") == LIMIT
