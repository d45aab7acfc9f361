"""Migrations: all or none, one process at a time, never over a newer schema."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from zhike._host.db import migrate
from zhike._host.db.apps import CORE, App
from zhike.errors import Refused

FIRST = [name for app in CORE for name in app.migrations]


def write(folder: Path, name: str, sql: str, *, app: str = "notes") -> App:
    """Write a migration file of an app that lives in `folder`."""
    (folder / f"{name}.py").write_text(
        "from zhike.orm import sql_migration\n"
        f"ID, VERSION, DESCRIPTION = {name!r}, '1.38.0', ''\n"
        f"async def forwards():\n    return sql_migration(ID, {app!r}, {sql!r})\n"
    )
    return App(app, folder)


async def fetch(url: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    rows = await fetch(
        url, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {row["relname"] for row in rows}


async def test_empty_database_is_made_ready_once(empty_database_url):
    assert await migrate.pending(empty_database_url) == FIRST
    assert await tables(empty_database_url) == set()  # asking changes nothing
    assert await migrate.forwards(empty_database_url) == FIRST
    assert await migrate.forwards(empty_database_url) == []
    assert await migrate.pending(empty_database_url) == []
    rows = await fetch(empty_database_url, "SELECT name, app_name, ran_on FROM migration ORDER BY id")
    assert [(row["name"], row["app_name"]) for row in rows] == [(name, name.split("_")[0]) for name in FIRST]
    assert all(row["ran_on"] for row in rows)


async def test_it_prints_nothing(empty_database_url, capfd):
    await migrate.forwards(empty_database_url)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("app", CORE, ids=lambda app: app.name)
async def test_files_are_well_formed(app):
    """Piccolo keys a migration by its ID, ours by its file: they must be one; and no two apps share a file name."""
    assert app.migrations
    assert app.misnamed == []
    assert {file.stem for file in app.folder.glob("*.py")} == set(app.migrations)
    for name in app.migrations:
        spec = importlib.util.spec_from_file_location(name, app.folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        manager = await module.forwards()
        assert (module.ID, manager.migration_id, manager.app_name) == (name, name, app.name)
        assert module.VERSION
        assert module.DESCRIPTION


async def test_data_survives_the_next_version(database_url, tmp_path):
    """T20: from version N-1 to N on a database with data."""
    await fetch(database_url, "INSERT INTO customer (name) SELECT 'n' || i FROM generate_series(1, 1000) i")
    app = write(
        tmp_path, "notes_0001_first", "CREATE TABLE note (id int); ALTER TABLE customer ADD note text DEFAULT '-'"
    )
    write(tmp_path, "notes_0002_next", "UPDATE customer SET note = name; DROP TABLE note")
    assert await migrate.pending(database_url, [*CORE, app]) == ["notes_0001_first", "notes_0002_next"]
    assert await migrate.forwards(database_url, [*CORE, app]) == ["notes_0001_first", "notes_0002_next"]
    rows = await fetch(database_url, "SELECT count(*) AS n FROM customer WHERE note = name")
    assert rows[0]["n"] == 1000


async def test_failure_takes_everything_back(empty_database_url, tmp_path):
    app = write(tmp_path, "notes_0001_first", "CREATE TABLE note (id int)")
    write(tmp_path, "notes_0002_broken", "CREATE TABLE other (id int); SELECT 1 / 0")
    with pytest.raises(Refused, match="notes_0002_broken failed and nothing was changed: division by zero"):
        await migrate.forwards(empty_database_url, [*CORE, app])
    assert await tables(empty_database_url) == set()
    assert "PICCOLO_CONF" not in os.environ
    (tmp_path / "notes_0002_broken.py").unlink()
    assert await migrate.forwards(empty_database_url, [*CORE, app]) == [*FIRST, "notes_0001_first"]


async def test_piccolo_can_write_migrations_too(empty_database_url, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PICCOLO_CONF", "somebody.elses")
    (tmp_path / "notes_0001_first.py").write_text(
        "from piccolo.apps.migrations.auto.migration_manager import MigrationManager\n"
        "from piccolo.columns.column_types import Text\n"
        "ID = 'notes_0001_first'\n"
        "async def forwards():\n"
        "    manager = MigrationManager(migration_id=ID, app_name='notes')\n"
        "    manager.add_table(class_name='Note', tablename='note')\n"
        "    manager.add_column(table_class_name='Note', tablename='note', column_name='body',\n"
        "                       column_class=Text, params={'null': False})\n"
        "    return manager\n"
    )
    assert await migrate.forwards(empty_database_url, [App("notes", tmp_path)]) == ["notes_0001_first"]
    assert await tables(empty_database_url) == {"migration", "note"}
    assert capfd.readouterr() == ("", "")
    assert os.environ["PICCOLO_CONF"] == "somebody.elses"


@pytest.mark.parametrize("app", ["customers", "plugins"])
async def test_newer_database_is_refused(database_url, app):
    """T20: an older version never touches what a newer one made."""
    await fetch(database_url, "INSERT INTO migration (name, app_name) VALUES ($1, $2)", f"{app}_0099_later", app)
    before = await fetch(database_url, "SELECT name FROM migration")
    for call in (migrate.forwards, migrate.pending):
        with pytest.raises(Refused, match=f"{app}_0099_later"):
            await call(database_url)
    assert await fetch(database_url, "SELECT name FROM migration") == before


async def test_what_an_absent_plugin_left_is_no_matter(database_url):
    await fetch(database_url, "INSERT INTO migration (name, app_name) VALUES ('gone_0001_first', 'gone')")
    assert await migrate.pending(database_url) == []
    assert await migrate.forwards(database_url) == []


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


MIGRATE = (
    "import asyncio, sys; from pathlib import Path\n"
    "from zhike._host.db import migrate; from zhike._host.db.apps import CORE, App\n"
    "apps = [*CORE, *(App('notes', Path(folder)) for folder in sys.argv[2:])]\n"
    "print(len(asyncio.run(migrate.forwards(sys.argv[1], apps))))"
)


@pytest.mark.faults
def test_four_processes_at_once(empty_database_url):
    """T20: one does the work, the others wait for it; with Piccolo's own three of four fail."""
    processes = [start(MIGRATE, empty_database_url) for _ in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert sorted(out.strip() for out, _ in results) == ["0", "0", "0", str(len(FIRST))]
    assert asyncio.run(migrate.pending(empty_database_url)) == []


@pytest.mark.faults
def test_four_coroutines_at_once(empty_database_url):
    async def run() -> list[list[str]]:
        return await asyncio.gather(*(migrate.forwards(empty_database_url) for _ in range(4)))

    assert sorted(asyncio.run(run())) == [[], [], [], FIRST]


@pytest.mark.faults
@pytest.mark.parametrize("others", [0, 2])
def test_killed_half_way(empty_database_url, tmp_path, others):
    """T20: kill -9 in the middle leaves the old schema, and who waited goes on by itself."""
    write(tmp_path, "notes_0001_first", "CREATE TABLE note (id int)")
    write(tmp_path, "notes_0002_slow", "CREATE TABLE other (id int); SELECT pg_advisory_xact_lock(4711)")
    with asyncio.Runner() as runner:
        gate = runner.run(asyncpg.connect(empty_database_url))
        runner.run(gate.execute("SELECT pg_advisory_lock(4711)"))
        killed = start(MIGRATE, empty_database_url, str(tmp_path))
        _wait_for_locks(empty_database_url, 1)
        waiting = [start(MIGRATE, empty_database_url, str(tmp_path)) for _ in range(others)]
        _wait_for_locks(empty_database_url, 1 + others)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        runner.run(gate.close())
    assert killed.returncode == -signal.SIGKILL
    if not others:
        assert asyncio.run(migrate.pending(empty_database_url)) == FIRST
        assert asyncio.run(tables(empty_database_url)) == set()
        waiting = [start(MIGRATE, empty_database_url, str(tmp_path))]
    results = [process.communicate(timeout=60) for process in waiting]
    assert [process.returncode for process in waiting] == [0] * len(waiting), results
    assert sorted(out.strip() for out, _ in results) == ["0", str(len(FIRST) + 2)][-len(waiting) :]
    assert {"note", "other", "event"} <= asyncio.run(tables(empty_database_url))


def _wait_for_locks(url: str, n: int) -> None:
    sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 90
    while len(asyncio.run(fetch(url, sql))) != n:
        assert time.monotonic() < deadline, f"{n} connections never waited"
        time.sleep(0.02)


async def test_table_in_use_stops_the_migration_and_not_the_others(database_url, tmp_path, monkeypatch):
    app = write(tmp_path, "notes_0001_first", "ALTER TABLE customer ADD note text")
    user = await asyncpg.connect(database_url)
    async with user.transaction():
        await user.execute("LOCK TABLE customer IN ACCESS SHARE MODE")
        with monkeypatch.context() as short, pytest.raises(Exception, match="cannot be used at the moment"):
            short.setattr(migrate, "TABLE_LOCK_TIMEOUT", "50ms")
            await migrate.forwards(database_url, [*CORE, app])
    await user.close()
    assert await migrate.forwards(database_url, [*CORE, app]) == ["notes_0001_first"]


def test_importing_is_quick():
    """Piccolo's own stack brings a code formatter along; a start must not pay for it."""
    code = "import sys, zhike._host.db.migrate; sys.exit('black' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
