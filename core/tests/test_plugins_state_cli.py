"""`zhike plugin`: what it lists, switches, finds wrong and gives up."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result

from zhike._host.cli.main import cli
from zhike._host.plugins.discover import RESERVED
from zhike._host.plugins.look import look
from zhike.errors import Conflict, NotFound, Refused
from zhike.orm import TABLES
from zhike.platform import assemble, core_plugins
from zhike.testing.distributions import make_distribution

HEAD = "from zhike.contracts import CustomerRows, EventType\nfrom zhike.hooks import hookimpl\n"
ROWS = f"{HEAD}\n@hookimpl\ndef register_customer_rows():\n    return [CustomerRows(table='badges_tag')]\n"
MIGRATION = (
    "from zhike.orm import sql_migration\nID = 'badges_0001_first'\n"
    "async def forwards():\n    return sql_migration(ID, 'badges', {sql!r})\n"
)
SQL = "CREATE TABLE badges_tag (customer_id bigint); CREATE TABLE badges_b (id int); CREATE TABLE badgess (id int)"


class Machine:
    """A database, a hooks folder and a folder of distributions.

    Args:
        folder: An empty folder.
        url: A migrated database.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.hooks = folder / "hooks"
        self.site = folder / "site"
        self.hooks.mkdir()
        self.url = url

    def zhike(self, *arguments: str, stdin: str = "") -> Result:
        """Run the command in this process."""
        result = CliRunner().invoke(cli, arguments, input=stdin)
        assert result.exception is None or isinstance(
            result.exception, SystemExit | Refused | Conflict | NotFound | click.Abort
        ), result.exc_info
        return result

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the database."""

        async def run() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def install(self, sql: str = SQL, plugin: str = ROWS, requires: str = "zhike") -> None:
        """Install the plugin `badges`."""
        files = {
            "zhike_badges/plugin.py": plugin,
            "zhike_badges/__init__.py": "",
            "zhike_badges/piccolo_migrations/badges_0001_first.py": MIGRATION.format(sql=sql),
        }
        make_distribution(self.site, "badges", files, version="2.5", requires=(requires,))
        importlib.invalidate_caches()


@pytest.fixture
def machine(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine on which nothing is installed yet."""
    made = Machine(tmp_path, database_url)
    for name, value in {
        "ZHIKE_DATABASE_URL": database_url,
        "ZHIKE_DATA": str(tmp_path / "data"),
        "ZHIKE_HOOKS": str(made.hooks),
        "ZHIKE_LOCALE": "en",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(made.site))
    monkeypatch.setattr(sys, "path", sys.path)  # `check PATH` puts the folder there
    before = set(sys.modules)
    yield made
    for name in set(sys.modules) - before:
        if name.startswith(("zhike_badges", "zhike_hooks_", "acme_")):
            del sys.modules[name]


def test_list_says_what_is_there_and_what_is_wrong(machine: Machine) -> None:
    machine.install()
    (machine.hooks / "note.py").write_text("import nothing_of_this_name\n")
    (machine.hooks / "event.py").write_text("")
    (machine.hooks / "new\nline.py").write_text("")
    (machine.hooks / "badges.py").write_text("")
    result = machine.zhike("plugin", "list")
    lines = result.output.splitlines()
    assert lines[lines.index("note\t-\tpending") + 2].endswith("`zhike plugin enable note`")  # nobody has tried it yet
    assert "badges\t2.5\tdisabled" in lines
    for name in ("badges.py", "new\\nline"):
        assert lines[lines.index(f"{name}\t-\tquarantined") + 2].startswith("  Rename ")
    assert machine.sql("SELECT name FROM plugin WHERE name !~ '^[a-z]+$'") == []
    assert lines[lines.index("event\t-\tquarantined") + 1].startswith("  'event' is a word of the core")
    assert machine.zhike("migrate").exit_code == 3
    lines = machine.zhike("plugin", "list").output.splitlines()
    place = lines.index("note\t-\tquarantined")
    assert "nothing_of_this_name" in lines[place + 1]
    assert lines[place + 2].startswith("  Install what provides the module")
    (machine.hooks / "note.py").unlink()
    assert "note\t-\tmissing" in machine.zhike("plugin", "list").output


def test_a_plugins_life(machine: Machine) -> None:
    machine.install()
    assert machine.zhike("plugin", "list").exit_code == 0
    result = machine.zhike("plugin", "enable", "badges")
    assert result.output == "badges is enabled; run `zhike migrate`, which also tells what is wrong with it\n"
    assert "migrated badges_0001_first" in machine.zhike("migrate").output
    assert machine.zhike("plugin", "check", "badges").output == "zhike-badges 2.5: nothing is wrong\n"
    assert isinstance(machine.zhike("plugin", "purge", "badges", "--yes").exception, Conflict)
    assert machine.zhike("plugin", "disable", "badges").output == "badges is disabled\n"
    assert machine.sql("SELECT to_regclass('badges_tag')::text") == [("badges_tag",)]
    assert isinstance(machine.zhike("plugin", "enable", "nobody").exception, NotFound)


def test_enable_wants_to_know_where_to_go_on(machine: Machine) -> None:
    machine.install()
    machine.zhike("plugin", "list")
    machine.sql("INSERT INTO consumer (name, live_from, events) VALUES ('badges', 1, '{*}')")
    machine.sql("INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position) VALUES ('badges', 0, 63, 1)")
    assert "continue" in str(machine.zhike("plugin", "enable", "badges").exception)
    assert machine.zhike("plugin", "enable", "badges", "--resume", "continue").exit_code == 0
    assert machine.sql("SELECT enabled FROM plugin WHERE name = 'badges'") == [(True,)]


UNDECLARED = "CREATE TABLE badges_tag (customer_id bigint); CREATE TABLE badges_x (friend_customer_id bigint)"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"requires": "zhike>=99"}, "version: badges 2.5 needs zhike>=99"),
        ({"plugin": "import nothing_of_this_name"}, "import: its import failed: ModuleNotFoundError"),
        ({"plugin": f"{HEAD}\n@hookimpl\ndef on_nothing():\n    pass\n"}, "register: there is no hook on_nothing"),
        ({"plugin": ROWS.replace("badges_tag", "event")}, "registry: "),
        ({"sql": UNDECLARED}, "migration: badges_x.friend_customer_id holds customers"),
        ({"sql": "SELECT 1 / 0"}, "migration: Migration badges_0001_first failed and nothing was changed: division"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_check_finds_what_the_loader_would(machine: Machine, wrong: dict[str, str], said: str) -> None:
    machine.install(**wrong)
    result = machine.zhike("plugin", "check", "badges")
    assert result.exit_code == 1
    assert result.output.startswith(f"zhike-badges 2.5: {said}")
    assert len(result.output.splitlines()) == 2  # the other line mends it
    assert machine.sql("SELECT to_regclass('badges_tag')::text") == [(None,)]
    assert machine.sql("SELECT enabled FROM plugin WHERE name = 'badges'") in ([], [(False,)])


def test_check_sees_what_collides_with_an_enabled_plugin(machine: Machine) -> None:
    machine.install(plugin=f"{HEAD}\nCLAIMS = ('stamp',)\n")
    (machine.hooks / "note.py").write_text("CLAIMS = ('stamp',)\n")
    result = machine.zhike("plugin", "check", "badges")
    assert result.exit_code == 1
    assert "stamp" in result.output
    assert machine.zhike("plugin", "check", "note").exit_code == 0


def test_check_takes_a_file_or_a_folder(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "greet.py"
    file.write_text(HEAD)
    assert machine.zhike("plugin", "check", str(file)).output.endswith("greet.py: nothing is wrong\n")
    file.write_text("1 +")
    assert "SyntaxError" in machine.zhike("plugin", "check", str(file)).output
    (tmp_path / "event.py").write_text("")
    assert "is a word of the core" in machine.zhike("plugin", "check", str(tmp_path / "event.py")).output
    project = tmp_path / "acme"
    (project / "src" / "acme_stamps").mkdir(parents=True)
    (project / "src" / "acme_stamps" / "__init__.py").write_text("")
    (project / "src" / "acme_stamps" / "plugin.py").write_text(HEAD)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(
        '[project]\nname = "acme-stamps"\nversion = "3.1"\ndependencies = ["zhike"]\n'
        '[project.entry-points."zhike.plugins"]\nstamps = "acme_stamps.plugin"\n'
    )
    assert machine.zhike("plugin", "check", str(project)).output == "acme-stamps 3.1: nothing is wrong\n"
    assert machine.sql("SELECT name FROM plugin WHERE name IN ('stamps', 'greet')") == []
    pyproject.write_text('[project]\nname = "acme-stamps"\n')
    assert isinstance(machine.zhike("plugin", "check", str(project)).exception, Refused)
    assert isinstance(machine.zhike("plugin", "check", str(tmp_path / "nothing")).exception, NotFound)


def test_purge_gives_up_all_and_only_what_the_plugin_had(machine: Machine) -> None:
    machine.install()
    machine.zhike("plugin", "list")
    machine.zhike("plugin", "enable", "badges")
    machine.zhike("migrate")
    for name in ("badges", "badgess"):
        machine.sql(f"INSERT INTO consumer (name, live_from, events) VALUES ('{name}', 1, '{{*}}')")
        machine.sql(
            f"INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position) VALUES ('{name}', 0, 63, 1)"
        )
        machine.sql(f"INSERT INTO circuit VALUES ('{name}', 'provide_health', 5, now(), 'x')")
        machine.sql(f"""INSERT INTO schedule (name, job, cron, zone, payload, next_at, plugin)
                        VALUES ('{name}.s', '{name}.j', '* * * * *', 'UTC', '{{}}', now(), '{name}')""")
        machine.sql(f"""INSERT INTO job (name, queue, payload, due_at, origin, plugin)
                        VALUES ('{name}.j', 'default', '{{}}', now(), 'system', '{name}')""")
    machine.zhike("plugin", "disable", "badges")
    refused = machine.zhike("plugin", "purge", "badges", stdin="n\n")
    assert "Drop badges_b, badges_tag and forget the jobs of badges" in refused.output
    assert refused.exit_code == 1
    assert machine.sql("SELECT to_regclass('badges_b')::text") == [("badges_b",)]
    result = machine.zhike("plugin", "purge", "badges", stdin="y\n")
    assert result.output.endswith("dropped badges_b\ndropped badges_tag\nbadges is purged\n")
    assert machine.sql("SELECT relname FROM pg_class WHERE relname LIKE 'badges%' AND relkind = 'r'") == [("badgess",)]
    left = {
        "consumer": "name", "consumer_cursor": "consumer", "circuit": "plugin", "schedule": "plugin", "job": "plugin",
    }  # fmt: skip
    for table, column in left.items():
        assert machine.sql(f"SELECT {column} FROM {table} WHERE {column} LIKE 'badges%'") == [("badgess",)], table
    assert machine.sql("SELECT * FROM migration WHERE app_name = 'badges'") == []
    assert machine.sql("SELECT * FROM customer_rows WHERE plugin = 'badges'") == []
    # It is installed still: it must not come back by itself.
    assert machine.sql("SELECT enabled FROM plugin WHERE name = 'badges'") == [(False,)]
    assert machine.sql("SELECT action FROM audit ORDER BY id DESC LIMIT 1") == [("plugin.purge",)]


def test_purge_works_when_the_code_is_gone(machine: Machine) -> None:
    machine.sql("INSERT INTO plugin (name, enabled, installed) VALUES ('gone', true, false)")
    machine.sql("CREATE TABLE gone_rows (customer_id bigint)")
    machine.sql("INSERT INTO customer_rows VALUES ('gone', 'gone_rows', 'customer_id', 'hook', 'hook')")
    assert machine.zhike("plugin", "purge", "gone", "--yes").exit_code == 0
    assert machine.sql("SELECT to_regclass('gone_rows')::text") == [(None,)]
    assert machine.sql("SELECT * FROM plugin WHERE name = 'gone'") == []
    assert machine.sql("SELECT * FROM customer_rows WHERE plugin = 'gone'") == []
    assert isinstance(machine.zhike("plugin", "purge", "gone", "--yes").exception, NotFound)


def test_purge_waits_for_processes_that_run_it_still(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhike._host.cli.plugin.PURGE_SECONDS", 0)
    machine.sql("INSERT INTO plugin (name, enabled, installed) VALUES ('gone', true, false)")
    machine.sql(
        "INSERT INTO process VALUES"
        " ('a', 'web', 'h', 1, 0, now(), now() + interval '1 hour', '{\"gone\": \"x\", \"other\": \"y\"}')"
    )
    refused = machine.zhike("plugin", "purge", "gone", "--yes")
    assert "still run the plugin gone" in str(refused.exception)
    assert machine.sql("SELECT generation FROM plugin_generation") == [(1,)]  # they are told to start anew
    monkeypatch.setattr("zhike._host.cli.plugin.PURGE_SECONDS", 60)
    ending = threading.Timer(1, machine.sql, ['UPDATE process SET plugins = \'{"other": "y"}\''])
    ending.start()
    assert machine.zhike("plugin", "purge", "gone", "--yes").exit_code == 0
    ending.join()


def test_purge_asks_only_what_it_can_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.hooks / "counts.py").write_text("")
    for name, kind in (("counts", Conflict), ("customers", NotFound), ("nobody", NotFound)):
        refused = machine.zhike("plugin", "purge", name)
        assert isinstance(refused.exception, kind)
        assert refused.output == ""
    machine.zhike("plugin", "disable", "counts")
    monkeypatch.setenv("ZHIKE_LOCALE", "zh_CN")
    asked = machine.zhike("plugin", "purge", "counts", stdin="n\n").output
    assert "counts" in asked
    assert "没有数据表" in asked
    assert "删除" not in asked


def test_a_running_server_that_lacks_a_plugin_is_told_of_and_made_to_load_it(machine: Machine) -> None:
    (machine.hooks / "counts.py").write_text("")
    # Seen for as long as the commands below may take; one that is not seen for 15 seconds counts as dead.
    process = f"'a', 'web', '{socket.gethostname()}', 1, 0, now(), now() + interval '1 hour'"
    machine.sql(f"INSERT INTO process VALUES ({process})")
    assert "counts\t-\tpending" in machine.zhike("plugin", "list").output
    assert machine.zhike("plugin", "enable", "counts").exit_code == 0
    assert machine.sql("SELECT generation FROM plugin_generation") == [(1,)]
    code = look(machine.hooks).code("counts")
    machine.sql(f'UPDATE process SET generation = 1, plugins = \'{{"counts": "{code}"}}\'')
    assert machine.zhike("plugin", "check", "counts").output.endswith("nothing is wrong\n")
    assert "counts\t-\tok" in machine.zhike("plugin", "list").output
    (machine.hooks / "counts.py").write_text("# mended")
    assert machine.zhike("plugin", "check", "counts").output.endswith("run `zhike plugin enable counts`\n")
    assert "counts\t-\tpending" in machine.zhike("plugin", "list").output
    for _ in range(2):
        assert machine.zhike("plugin", "enable", "counts").exit_code == 0
    assert machine.sql("SELECT generation FROM plugin_generation") == [(2,)]


def test_retry_closes_circuits(machine: Machine) -> None:
    hooks = ("amend_incoming_events", "provide_health", "resolve_actor")
    machine.sql(f"INSERT INTO circuit SELECT 'badges', h, 5, now(), 'x' FROM unnest('{{{','.join(hooks)}}}'::text[]) h")
    assert "provide_health" in machine.zhike("plugin", "retry", "badges", "provide_health").output
    assert machine.sql("SELECT hook FROM circuit ORDER BY 1") == [(hooks[0],), (hooks[2],)]
    assert len(machine.zhike("plugin", "retry", "badges").output.splitlines()) == 2
    assert machine.sql("SELECT hook FROM circuit") == []
    assert isinstance(machine.zhike("plugin", "retry", "badges").exception, NotFound)
    assert machine.sql("SELECT count(*) FROM audit WHERE action = 'plugin.close_circuit'") == [(3,)]


@pytest.mark.parametrize("folder", ["/nix/nowhere", "/dev/null"])
def test_a_hooks_folder_that_is_none_is_refused_when_it_was_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (machine.hooks / "counts.py").write_text("")
    machine.zhike("plugin", "disable", "counts")
    monkeypatch.setenv("ZHIKE_HOOKS", folder)
    refused = machine.zhike("plugin", "enable", "nobody")
    assert f"ZHIKE_HOOKS is '{folder}'" in str(refused.exception)
    assert machine.sql("SELECT installed FROM plugin WHERE name IN ('counts', 'hooks')") == [(True,)]


def test_purge_leaves_alone_what_others_have_built_upon_it(machine: Machine) -> None:
    machine.sql("INSERT INTO plugin (name, enabled, installed) VALUES ('gone', false, false)")
    machine.sql("CREATE TABLE gone_rows (id int PRIMARY KEY)")
    machine.sql("CREATE VIEW ours AS SELECT id FROM gone_rows")
    refused = machine.zhike("plugin", "purge", "gone", "--yes")
    assert "view ours depends on table gone_rows" in str(refused.exception)
    assert machine.sql("SELECT name FROM plugin WHERE name = 'gone'") == [("gone",)]


@pytest.mark.parametrize("name", ["event", "customer", "plugin"])
def test_purge_never_touches_the_cores_tables(machine: Machine, name: str) -> None:
    machine.sql(f"INSERT INTO plugin (name, enabled, installed) VALUES ('{name}', false, false)")
    before = machine.sql("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1")
    assert machine.zhike("plugin", "purge", name, "--yes").exit_code == 0
    assert machine.sql("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1") == before


@pytest.mark.parametrize("name", ["events", "customer_event", "badges_b"])
def test_purge_of_a_name_that_no_plugin_can_have_takes_nothing(machine: Machine, name: str) -> None:
    machine.sql("CREATE TABLE badges_b_rows (id int)")
    machine.sql(f"INSERT INTO plugin (name, enabled, installed) VALUES ('{name}', false, false)")
    everything = "SELECT relname FROM pg_class WHERE relkind = 'r' UNION ALL SELECT name FROM migration ORDER BY 1"
    before = machine.sql(everything)
    assert machine.zhike("plugin", "purge", name, "--yes").exit_code == 0
    assert machine.sql(everything) == before
    assert machine.sql(f"SELECT * FROM plugin WHERE name = '{name}'") == []


def test_no_plugin_has_a_name_that_tables_of_the_core_begin_with() -> None:
    modules = [importlib.import_module(name) for name in TABLES]
    names = {getattr(module, name)._meta.tablename for module in modules for name in module.__all__}
    assert {name.partition("_")[0] for name in names if "_" in name} <= RESERVED


def test_no_plugin_has_a_name_that_addresses_of_the_core_begin_with() -> None:
    registry = assemble(core_plugins()).registry
    paths = {route.path for _, route in (*registry.routes, *registry.pages)}
    assert {path.split("/")[1] for path in paths} - {""} <= RESERVED
