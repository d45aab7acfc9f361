"""Plugins' migrations: each plugin's all or none, none stops another, no customer rows undeclared."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from zhike._host.db import migrate, plugins
from zhike._host.db.apps import App
from zhike.contracts import CustomerRows
from zhike.errors import Refused
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Problem
from zhike.plugins import service
from zhike.testing.distributions import make_distribution

TEXT = text("{plugin} was torn", plugin="badges")
TAG = CustomerRows(table="badges_tag")
ROWS = "FROM customer_rows WHERE plugin NOT IN ('customers', 'files', 'tasks')"  # beside the core's own
Write = Callable[..., App]


def migration(name: str, sql: str, *, before: str = "") -> str:
    """Return a migration file."""
    return (
        "from zhike.orm import sql_migration\n"
        f"ID, VERSION, DESCRIPTION = {name!r}, '1.38.0', ''\n"
        f"async def forwards():\n    {before or 'pass'}\n"
        f"    return sql_migration(ID, {name.split('_')[0]!r}, {sql!r})\n"
    )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a migration of the app `badges` and returns the app."""

    def write_file(name: str, sql: str, *, before: str = "") -> App:
        (tmp_path / f"{name}.py").write_text(migration(name, sql, before=before))
        return App("badges", tmp_path)

    return write_file


async def unready(database: Database, app: App, *rows: CustomerRows) -> str | None:
    async with database.connection() as connection:
        problem = await plugins.unready(connection, app, rows)
    if problem is None:
        return None
    assert (problem.plugin, problem.stage) == ("badges", "migration")
    return f"{problem.text} | {problem.hint}"


async def fetch(database: Database, sql: str) -> list[tuple[object, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def generation(database: Database) -> int:
    async with database.connection() as connection:
        return await service.generation(connection)


async def test_a_plugin_is_ready_once_its_migrations_ran(database: Database, write: Write) -> None:
    app, before = (
        write("badges_0001_first", "CREATE TABLE badges_tag (customer_id bigint)"),
        await generation(database),
    )
    assert await unready(database, app, TAG) == "its migrations have not run: badges_0001_first | Run `zhike migrate`"
    assert await plugins.forwards(database, app, [TAG]) == ["badges_0001_first"]
    assert await unready(database, app, TAG) is None
    assert await generation(database) == before + 1
    assert await plugins.forwards(database, app, [TAG]) == []
    assert await generation(database) == before + 1  # nothing new for anybody
    assert await fetch(database, f"SELECT plugin, table_name, on_merge {ROWS}") == [("badges", "badges_tag", "move")]
    changed = CustomerRows(table="badges_tag", on_merge="delete")
    assert await unready(database, app, changed) == "its customer rows have changed | Run `zhike migrate`"
    assert await plugins.forwards(database, app, [changed]) == []
    assert await unready(database, app, changed) is None
    assert await generation(database) == before + 2
    write("badges_0002_next", "ALTER TABLE badges_tag ADD name text")
    assert "badges_0002_next" in str(await unready(database, app, changed))


async def test_a_plugin_without_tables_is_ready(database: Database, tmp_path: Path) -> None:
    app = App("badges", tmp_path / "nothing")
    assert await unready(database, app) is None
    assert await plugins.forwards(database, app, []) == []


@pytest.mark.parametrize(
    ("before", "sql", "reason"),
    [
        ("", "CREATE TABLE badges_x (id int); SELECT 1 / 0", "division by zero"),
        ("import badges_nothing", "SELECT 1", "ModuleNotFoundError"),
        ("raise SystemExit(0)", "SELECT 1", "SystemExit"),
        ("raise KeyError('13800001111')", "SELECT 1", "KeyError"),
        ("", "INSERT INTO customer (phone) VALUES ('13800001111'), (1 / 0::text)", "operator does not exist"),
    ],
)
async def test_a_failure_takes_all_of_the_plugin_back(
    database: Database, write: Write, before: str, sql: str, reason: str
) -> None:
    write("badges_0001_first", "CREATE TABLE badges_tag (customer_id bigint)")
    app = write("badges_0002_broken", sql, before=before)
    with pytest.raises(Refused, match="Migration badges_0002_broken failed and nothing was changed") as refused:
        await plugins.forwards(database, app, [TAG])
    assert reason in str(refused.value)
    assert "13800001111" not in str(refused.value)
    assert await fetch(database, "SELECT to_regclass('badges_tag')::text") == [(None,)]
    assert await fetch(database, "SELECT name FROM migration WHERE app_name = 'badges'") == []
    assert await fetch(database, f"SELECT * {ROWS}") == []


@pytest.mark.parametrize(
    "sql",
    ["SELECT 'Zhang San 13800001111'::int", "DO $$ BEGIN RAISE 'Zhang San 13800001111'; END $$"],
)
async def test_no_value_of_a_row_is_told(database: Database, write: Write, sql: str) -> None:
    app = write("badges_0001_first", sql)
    with pytest.raises(Refused) as refused:
        await plugins.forwards(database, app, [])
    assert "badges_0001_first" in str(refused.value)
    assert "Zhang" not in str(refused.value)


async def test_why_a_migration_failed_is_told_until_it_runs(database: Database, write: Write) -> None:
    app = write("badges_0001_first", "SELECT 1 / 0")
    async with database.connection() as connection:
        await service.see(connection, [service.Installed(name="badges")])
        with pytest.raises(Refused) as refused:
            await plugins.forwards(database, app, [])
        await service.record(connection, "badges", plugins.failed("badges", refused.value.message))
    assert "division by zero" in str(await unready(database, app))
    write("badges_0001_first", "SELECT 1")
    await plugins.forwards(database, app, [])
    assert await unready(database, app) is None
    async with database.connection() as connection:
        await service.record(connection, "badges", Problem(plugin="badges", stage="import", text=TEXT, hint=TEXT))
    write("badges_0002_next", "SELECT 1")
    assert "badges_0002_next | Run" in str(await unready(database, app))  # the old reason is none of it


@pytest.mark.parametrize("name", ["notes_0001_first", "0001_first", "badges_first", "helpers", "customers_0002_more"])
async def test_a_file_of_another_name_is_refused(database: Database, write: Write, name: str) -> None:
    write("badges_0001_first", "CREATE TABLE badges_x (id int)")
    app = write(name, "DROP TABLE customer")
    expected = f"the migrations of badges hold {name}.py; expected names such as badges_0001_first.py"
    assert expected in str(await unready(database, app))
    with pytest.raises(Refused, match=expected):
        await plugins.forwards(database, app, [])
    assert await fetch(database, "SELECT to_regclass('badges_x')::text") == [(None,)]


async def test_a_newer_versions_database_is_refused(database: Database, write: Write) -> None:
    app = write("badges_0001_first", "SELECT 1")
    await plugins.forwards(database, app, [])
    await fetch(database, "INSERT INTO migration (name, app_name) VALUES ('badges_0009_later', 'badges')")
    assert "badges_0009_later" in str(await unready(database, app))
    with pytest.raises(Refused, match="made by a newer version"):
        await plugins.forwards(database, app, [])
    async with database.connection() as connection:
        assert await migrate.pending_on(connection) == []  # no matter for the core


async def test_undeclared_customer_rows_take_the_migration_back(database: Database, write: Write) -> None:
    sql = "CREATE TABLE badges_tag (customer_id bigint); CREATE TABLE badges_pair (friend_customer_id bigint)"
    app = write("badges_0001_first", sql)
    with pytest.raises(Refused, match=r"badges_pair\.friend_customer_id holds customers, but no CustomerRows"):
        await plugins.forwards(database, app, [TAG])
    assert await fetch(database, "SELECT to_regclass('badges_tag')::text") == [(None,)]
    await plugins.forwards(database, app, [TAG, CustomerRows(table="badges_pair", column="friend_customer_id")])
    # A version that forgets one is found out when it is loaded.
    assert "badges_pair.friend_customer_id holds customers" in str(await unready(database, app, TAG))


async def test_a_rehearsal_changes_nothing(database: Database, write: Write) -> None:
    app = write("badges_0001_first", "CREATE TABLE badges_tag (customer_id bigint)")
    assert await plugins.rehearse(database, app, [TAG]) is None
    wrong = await plugins.rehearse(database, app, [])
    assert wrong is not None
    assert "badges_tag.customer_id holds customers" in str(wrong.text)
    assert await fetch(database, "SELECT to_regclass('badges_tag')::text") == [(None,)]
    assert await fetch(database, f"SELECT * {ROWS}") == []
    assert "have not run" in str(await unready(database, app, TAG))


class Site:
    """A folder of installed distributions, and the command `zhike` that finds them.

    Args:
        folder: Where they lie.
        url: The database.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "ZHIKE_DATABASE_URL": url,
            "ZHIKE_DATA": str(folder / "data"),
            "ZHIKE_LOCALE": "en",
        }

    def install(self, name: str, *migrations: tuple[str, str], rows: str = "[]", version: str = "1.0") -> None:
        """Install a plugin with migrations."""
        code = (
            "from zhike.contracts import CustomerRows\nfrom zhike.hooks import hookimpl\n"
            f"@hookimpl\ndef register_customer_rows():\n    return {rows}\n"
        )
        files = {f"zhike_{name}/plugin.py": code, f"zhike_{name}/__init__.py": ""}
        for file, sql in migrations:
            files[f"zhike_{name}/piccolo_migrations/{file}.py"] = migration(file, sql)
        make_distribution(self.folder, name, files, version=version)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command."""
        command = [Path(sys.executable).with_name("zhike"), *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command; return its status, output and errors."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Site:
    """A migrated database and no distributions yet; what is installed here for good is disabled."""
    made = Site(tmp_path / "site", database_url)
    ours = "ARRAY['exports', 'imports', 'privacy', 'sample', 'tagging']"
    ask(made, f"INSERT INTO plugin (name, enabled) SELECT unnest({ours}), false")
    return made


def ask(site: Site, sql: str) -> list[tuple[object, ...]]:
    async def run() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(site.environment["ZHIKE_DATABASE_URL"])
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(run())


def enable(site: Site, *names: str) -> None:
    """Make plugins known and enabled."""
    values = ", ".join(f"('{name}', true)" for name in names)
    ask(site, f"INSERT INTO plugin (name, enabled) VALUES {values}")


def test_the_command_migrates_all_but_the_broken(site: Site) -> None:
    site.install("alpha", ("alpha_0001_first", "CREATE TABLE alpha_a (id int)"))
    site.install("broken", ("broken_0001_first", "CREATE TABLE broken_a (id int)"), ("broken_0002_x", "SELECT 1 / 0"))
    site.install("forgetful", ("forgetful_0001_first", "CREATE TABLE forgetful_a (customer_id bigint)"))
    site.install("foreign", ("foreign_0001_first", "CREATE TABLE foreign_a (id int)"), ("alpha_0002_x", "SELECT 1"))
    site.install("off", ("off_0001_first", "CREATE TABLE off_a (id int)"))
    site.install(
        "zeta",
        ("zeta_0001_first", "CREATE TABLE zeta_z (customer_id bigint)"),
        rows="[CustomerRows(table='zeta_z')]",
    )
    enable(site, "alpha", "broken", "forgetful", "foreign", "zeta")
    status, out, _ = site.run("migrate", "--check")
    assert status == 1
    assert {"pending alpha_0001_first", "pending zeta_0001_first"} <= set(out.splitlines())
    assert ask(site, "SELECT to_regclass('alpha_a')::text") == [(None,)]
    status, out, err = site.run("migrate")
    assert status == 3
    assert out.splitlines() == ["migrated alpha_0001_first", "migrated zeta_0001_first"]
    assert "broken: Migration broken_0002_x failed and nothing was changed: division by zero\n  " in err
    assert "forgetful: forgetful_a.customer_id holds customers, but no CustomerRows declares it\n  " in err
    assert "foreign: the migrations of foreign hold alpha_0002_x.py" in err
    assert "Traceback" not in err
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^[a-z]+_[az]$' ORDER BY 1"
    assert ask(site, tables) == [("alpha_a",), ("zeta_z",)]
    assert ask(site, "SELECT name, stage FROM plugin WHERE enabled ORDER BY name") == [
        ("alpha", None),
        ("broken", "migration"),
        ("foreign", "migration"),
        ("forgetful", "migration"),
        ("zeta", None),
    ]
    assert ask(site, f"SELECT plugin, table_name {ROWS}") == [("zeta", "zeta_z")]
    for name in ("broken", "foreign", "forgetful"):
        ask(site, f"UPDATE plugin SET enabled = false WHERE name = '{name}'")
    assert site.run("migrate") == (0, "The database is up to date.\n", "")
    assert site.run("migrate", "--check") == (0, "The database is up to date.\n", "")


def test_a_broken_core_stops_everything(site: Site) -> None:
    site.install("alpha", ("alpha_0001_first", "CREATE TABLE alpha_a (id int)"))
    enable(site, "alpha")
    ask(site, "INSERT INTO migration (name, app_name) VALUES ('events_0042_x', 'events')")
    status, out, err = site.run("migrate")
    assert (status, out) == (1, "")
    assert "events_0042_x" in err
    assert ask(site, "SELECT to_regclass('alpha_a')::text") == [(None,)]


def test_an_empty_database_becomes_ready_with_its_plugins(tmp_path: Path, empty_database_url: str) -> None:
    site = Site(tmp_path, empty_database_url)
    site.install("alpha", ("alpha_0001_first", "CREATE TABLE alpha_a (id int)"))
    status, out, _ = site.run("migrate")
    assert status == 0
    assert "alpha" not in out  # nobody has enabled it
    enabling = site.run("plugin", "enable", "alpha")
    assert enabling[0] == 0, enabling
    assert site.run("migrate") == (0, "migrated alpha_0001_first\n", "")


@pytest.mark.faults
@pytest.mark.heavy
def test_killed_half_way(site: Site) -> None:
    """T20: kill -9 in a plugin's migration leaves that plugin's old schema, and who waited goes on by itself."""
    site.install("alpha", ("alpha_0001_first", "CREATE TABLE alpha_a (id int)"))
    site.install(
        "slow",
        ("slow_0001_first", "CREATE TABLE slow_a (id int)"),
        ("slow_0002_slow", f"CREATE TABLE slow_b (id int); {GATE}"),
    )
    enable(site, "alpha", "slow")
    with closed_gate(site.environment["ZHIKE_DATABASE_URL"]):
        killed = site.start("migrate")
        wait_for_locks(site, 1)
        waiting = [site.start("migrate") for _ in range(2)]
        wait_for_locks(site, 3)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    results = [process.communicate(timeout=120) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0], results
    assert sorted(out for out, _ in results) == [
        "The database is up to date.\n",
        "migrated slow_0001_first\nmigrated slow_0002_slow\n",
    ]
    assert ask(site, "SELECT count(*) FROM migration WHERE app_name IN ('slow', 'alpha')") == [(3,)]


@pytest.mark.faults
@pytest.mark.heavy
def test_four_processes_at_once(tmp_path: Path, empty_database_url: str) -> None:
    """T20: of each app one does the work, the others wait for it."""
    site = Site(tmp_path, empty_database_url)
    names = ["alpha", "beta", "gamma"]
    for name in names:
        site.install(name, (f"{name}_0001_first", f"CREATE TABLE {name}_a (id int)"))
    assert site.run("migrate")[0] == 0
    ask(site, "UPDATE plugin SET enabled = true")
    processes = [site.start("migrate") for _ in range(4)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    lines = sorted(line for out, _ in results for line in out.splitlines() if line.startswith("migrated"))
    assert lines == [f"migrated {name}_0001_first" for name in names]


GATE = "SELECT pg_advisory_xact_lock(4711)"
"""Makes a migration wait as long as a test wants."""


@contextmanager
def closed_gate(url: str) -> Iterator[None]:
    """Have migrations wait at `GATE` inside the block."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        try:
            runner.run(connection.execute("SELECT pg_advisory_lock(4711)"))
            yield
        finally:
            runner.run(connection.close())


def wait_for_locks(site: Site, n: int) -> None:
    """Wait until so many connections wait for locks."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 90
    while ask(site, sql) != [(n,)]:
        assert time.monotonic() < deadline, f"{n} connections never waited"
        time.sleep(0.02)
