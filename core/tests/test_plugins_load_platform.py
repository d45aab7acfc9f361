"""Loading all plugins: whatever one of them does, the others run, and the database says why it does not."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from zhike._host.plugins import load as loader
from zhike._host.plugins.discover import discover
from zhike._host.plugins.load import load
from zhike.access.actor import Actor
from zhike.errors import Refused
from zhike.orm import Database
from zhike.platform import Platform, Problem
from zhike.plugins import service, switching
from zhike.settings import Settings
from zhike.testing.distributions import make_distribution

HOOKIMPL = "from zhike.contracts import EventType, Permission\nfrom zhike.hooks import hookimpl\n"
FINE = f"""{HOOKIMPL}
CLAIMS = ("label",)

@hookimpl
def register_event_types():
    return [EventType(name="label.added", kind="platform", label="Labelled")]

@hookimpl
async def on_events_recorded(events, mode, work):
    pass
"""
REGISTERS = f"{HOOKIMPL}@hookimpl\ndef register_permissions():\n    "
ACTOR = Actor.command("test")
# Enough for what ends on the busiest machine; what hangs costs it once.
TRIAL_SECONDS = 4.0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """An empty hooks folder."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(settings: Settings, hooks: Path) -> Settings:
    """Settings that name the hooks folder."""
    return msgspec.structs.replace(settings, hooks=hooks)


@pytest.fixture(autouse=True)
async def _nothing_else(database: Database) -> None:
    """Leave out what happens to be installed beside the core."""
    await enable(database, *discover(None).candidates, enabled=False)


async def enable(database: Database, *names: str, enabled: bool = True) -> None:
    """Enable or disable plugins, known already or not."""
    sql = "INSERT INTO plugin (name, enabled) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET enabled = $2"
    async with database.connection() as connection:
        await connection.executemany(sql, [(each, enabled) for each in names])


async def start(settings: Settings, database: Database, **options: object) -> Platform:
    """Load as a process would that starts now."""
    options = {"threads": True, "trial_seconds": TRIAL_SECONDS, **options}
    return await load(settings, database, **options)  # type: ignore[arg-type]


async def known(database: Database) -> dict[str, service.Known]:
    async with database.connection() as connection:
        return await service.known(connection)


def shown(problem: Problem) -> tuple[str, str, str]:
    return problem.stage, str(problem.text), str(problem.hint)


# Name of the plugin → source, stage of its problem, words of the problem.
BROKEN = {
    "raises": ("raise RuntimeError('the password is hunter2')\n", "import", "RuntimeError"),
    "exits": ("raise SystemExit(3)\n", "import", "SystemExit"),
    "mistyped": ("def broken(:\n", "import", "SyntaxError"),
    "lacks": ("import zhike_no_such_dependency\n", "import", "zhike_no_such_dependency"),
    "hangs": ("import time\nwhile True: time.sleep(3600)\n", "trial", "did not end within"),
    "ends": ("import os\nos._exit(0)\n", "trial", "exit(0)"),
    "misspelt": (f"{HOOKIMPL}@hookimpl\nasync def on_event_recorded(events): ...\n", "register", "on_events_recorded"),
    "wraps": (f"{HOOKIMPL}@hookimpl(wrapper=True)\nasync def on_events_recorded(): yield\n", "register", "wrapper"),
    "asks": (f"{HOOKIMPL}@hookimpl\nasync def on_events_recorded(event): ...\n", "register", "event"),
    "fails": (f"{REGISTERS}raise SystemExit\n", "register", "SystemExit"),
    "rubbish": (f"{REGISTERS}return 42\n", "register", "int"),
    "words": (f"{REGISTERS}return ['rubbish']\n", "registry", "str"),
    "thief": (f"{REGISTERS}return [Permission(key='stamps.read', label='x')]\n", "registry", "'stamps.read'"),
    "robs": ("CLAIMS = ('stamps',)\n", "registry", "stamps"),
    "usurps": ("CLAIMS = ('customer',)\n", "registry", "customers"),
    "claims": ("CLAIMS = 'label'\n", "registry", "CLAIMS"),
    "repeats": (f"{REGISTERS}return [Permission(key='repeats.x', label='x')] * 2\n", "registry", "repeats.x"),
}


async def test_the_rest_runs_whatever_one_plugin_does(
    settings: Settings, database: Database, site: Path, hooks: Path
) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": FINE})
    make_distribution(site, "zeal", {"acme_zeal.py": f"{REGISTERS}return [Permission(key='zeal.read', label='x')]\n"})
    for name, (source, _, _) in BROKEN.items():
        make_distribution(site, name, {f"broken_{name}.py": source}, version="1.2")
    make_distribution(site, "newer", {"broken_newer.py": "raise OSError\n"}, requires=["zhike>=99"], version="7.1")
    make_distribution(site, "twice", {"broken_one.py": ""}, distribution="one-twice")
    make_distribution(site, "twice", {"broken_two.py": ""}, distribution="two-twice")
    (make_distribution(site, "torn", {"broken_torn.py": ""}) / "METADATA").write_bytes(b"\xff")
    (hooks / "greet.py").write_text(f"{REGISTERS}return [Permission(key='greet.read', label='x')]\n")
    (hooks / "customers.py").write_text("")
    names = ("stamps", "zeal", "newer", "twice")
    await enable(database, *names, *BROKEN)
    platform = await start(settings, database)

    assert set(platform.plugins) == {"stamps", "zeal", "greet"}
    assert platform.registry.owner("event_types", "label.added") == "stamps"
    assert {"zeal.read", "greet.read"} <= platform.registry.permissions.keys()
    assert platform.hooks.implementers("on_events_recorded") == ("stamps",)
    assert platform.plugins["stamps"].distribution == "zhike-stamps"
    assert platform.plugins["greet"].distribution == str(hooks / "greet.py")

    problems = {problem.plugin: problem for problem in platform.problems}
    assert {name: problem.stage for name, problem in problems.items()} == {
        **{name: stage for name, (_, stage, _) in BROKEN.items()},
        "newer": "version",
        "twice": "discover",
        "zhike_torn": "discover",
        "customers": "discover",
    }
    for name, (_, _, words) in BROKEN.items():
        assert words in str(problems[name].text), name
        assert name in str(problems[name].hint), name  # the command that mends it
    assert "newer 7.1 needs zhike>=99, and zhike " in str(problems["newer"].text)
    assert "pip install 'zhike>=99'" in str(problems["newer"].hint)
    assert "with `pip install zhike-lacks`" in str(problems["lacks"].hint)
    assert "hunter2" not in "".join(f"{each.text}{each.hint}" for each in problems.values())

    stored = await known(database)
    assert {name: shown(each.problem) for name, each in stored.items() if each.problem} == {
        name: shown(problem) for name, problem in problems.items() if name not in {"customers", "zhike_torn"}
    }
    assert not stored.keys() & {"customers", "zhike_torn"}  # which no plugin can be called
    assert stored["stamps"].claims == ("label",)


async def test_installed_is_not_enabled_but_a_file_of_the_hooks_folder_is(
    settings: Settings, database: Database, site: Path, hooks: Path
) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": f"open({str(site / 'ran')!r}, 'w')\n"})
    (hooks / "greet.py").write_text("")
    platform = await start(settings, database)
    assert set(platform.plugins) == {"greet"}
    assert not platform.problems
    assert not (site / "ran").exists()
    assert not (await known(database))["stamps"].enabled


async def test_code_for_another_core_is_not_run(settings: Settings, database: Database, site: Path) -> None:
    source = f"open({str(site / 'ran')!r}, 'w')\n"
    make_distribution(site, "stamps", {"acme_stamps.py": source}, requires=["zhike<0.0.1"])
    await enable(database, "stamps")
    platform = await start(settings, database)
    assert [problem.stage for problem in platform.problems] == ["version"]
    assert not (site / "ran").exists()


class Runs:
    """Counts how often a plugin's code was run, in whatever process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "runs"
        self.source = f"with open({str(self.file)!r}, 'a') as file: file.write('x')\n"

    def take(self) -> int:
        """Return how often it was run since the last call."""
        count = len(self.file.read_text()) if self.file.exists() else 0
        self.file.unlink(missing_ok=True)
        return count


async def test_code_is_tried_when_it_is_new_or_has_changed(settings: Settings, database: Database, site: Path) -> None:
    runs = Runs(site)
    make_distribution(site, "stamps", {"acme_stamps.py": runs.source})
    await enable(database, "stamps")
    await start(settings, database)
    assert runs.take() == 2  # once on trial
    assert (await known(database))["stamps"].fingerprint

    del sys.modules["acme_stamps"]
    await start(settings, database)
    assert runs.take() == 1

    del sys.modules["acme_stamps"]
    (site / "acme_stamps.py").write_text(f"{runs.source}# changed\n")
    await start(settings, database)
    assert runs.take() == 2


async def test_code_that_hung_is_not_tried_at_each_start_but_when_asked_for(
    settings: Settings, database: Database, site: Path
) -> None:
    runs = Runs(site)
    make_distribution(site, "stamps", {"acme_stamps.py": f"{runs.source}import time\ntime.sleep(3600)\n"})
    make_distribution(site, "zeal", {"acme_zeal.py": ""})
    await enable(database, "stamps")
    first = await start(settings, database, trial_seconds=1.0)
    assert runs.take() == 1
    await enable(database, "zeal")
    again = await start(settings, database)
    assert runs.take() == 0
    assert set(again.plugins) == {"zeal"}
    assert [str(problem.text) for problem in again.problems] == [str(problem.text) for problem in first.problems]

    await switching.disable(database, ACTOR, "stamps")
    await switching.enable(database, ACTOR, "stamps")
    again = await start(settings, database, trial_seconds=1.0)
    assert runs.take() == 1
    assert [problem.stage for problem in again.problems] == ["trial"]

    (site / "acme_stamps.py").write_text("")
    assert set((await start(settings, database)).plugins) == {"stamps", "zeal"}
    assert (await known(database))["stamps"].problem is None


async def test_what_fails_soon_is_tried_at_each_start(settings: Settings, database: Database, site: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": "import acme_dependency\n"})
    await enable(database, "stamps")
    assert [problem.stage for problem in (await start(settings, database)).problems] == ["import"]
    (site / "acme_dependency.py").write_text("")
    assert set((await start(settings, database)).plugins) == {"stamps"}


async def test_files_of_the_hooks_folder_are_told_that_they_cannot_import_each_other(
    settings: Settings, database: Database, hooks: Path
) -> None:
    (hooks / "loopa.py").write_text("import zhike_hooks_loopb\n")
    (hooks / "loopb.py").write_text("from zhike_hooks_loopa import x\n")
    platform = await start(settings, database)
    assert {problem.plugin for problem in platform.problems} == {"loopa", "loopb"}
    for problem in platform.problems:
        assert str(problem.hint).startswith("Files of the hooks folder cannot import each other")


async def test_code_that_fails_only_here_is_left_out(settings: Settings, database: Database, site: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": "import sys\nif 'pytest' in sys.modules: sys.exit('no')\n"})
    make_distribution(site, "zeal", {"acme_zeal.py": ""})
    await enable(database, "stamps", "zeal")
    platform = await start(settings, database)
    assert set(platform.plugins) == {"zeal"}
    assert [problem.stage for problem in platform.problems] == ["import"]


async def test_a_noun_stays_with_the_plugin_that_had_it_first(
    settings: Settings, database: Database, site: Path
) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": FINE})
    await enable(database, "stamps")
    await start(settings, database)
    make_distribution(site, "aardvark", {"acme_aardvark.py": "CLAIMS = ('label',)\n"})
    await enable(database, "aardvark")
    platform = await start(settings, database)
    assert set(platform.plugins) == {"stamps"}
    assert [problem.plugin for problem in platform.problems] == ["aardvark"]
    assert "stamps" in str(platform.problems[0].text)


async def test_one_module_under_two_names_is_one_plugin(settings: Settings, database: Database, site: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": FINE})
    make_distribution(site, "twin", {"other.py": ""}, entry="acme_stamps")
    await enable(database, "stamps", "twin")
    platform = await start(settings, database)
    assert set(platform.plugins) == {"stamps"}
    assert [problem.plugin for problem in platform.problems] == ["twin"]


MIGRATION = """
from zhike.orm import sql_migration

ID = "stamps_0001_first"

async def forwards():
    return sql_migration(ID, "stamps", "CREATE TABLE stamps_given (id bigint PRIMARY KEY)")
"""


async def test_a_plugin_whose_tables_are_missing_is_left_out(
    settings: Settings, database: Database, site: Path
) -> None:
    files = {
        "acme_stamps/plugin.py": FINE,
        "acme_stamps/__init__.py": "",
        "acme_stamps/piccolo_migrations/__init__.py": "",
        "acme_stamps/piccolo_migrations/stamps_0001_first.py": MIGRATION,
    }
    make_distribution(site, "stamps", files)
    make_distribution(site, "zeal", {"acme_zeal.py": ""})
    await enable(database, "stamps", "zeal")
    platform = await start(settings, database)
    assert set(platform.plugins) == {"zeal"}
    assert [problem.stage for problem in platform.problems] == ["migration"]
    assert "zhike migrate" in str(platform.problems[0].hint)
    assert platform.hooks.implementers("on_events_recorded") == ()
    assert platform.registry.owner("event_types", "label.added") is None

    loading = await loader.import_all(settings, database)
    await loader.migrations.forwards(database, loading.app("stamps"), [])
    assert set((await start(settings, database)).plugins) == {"stamps", "zeal"}


@pytest.mark.parametrize("name", ["raises", "thief", "ends"])
async def test_strict_refuses_with_the_first_problem(
    settings: Settings, database: Database, site: Path, name: str
) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": FINE})
    make_distribution(site, name, {f"broken_{name}.py": BROKEN[name][0]})
    await enable(database, "stamps", name)
    with pytest.raises(Refused, match=f"{name}: .*{re.escape(BROKEN[name][2])}"):
        await start(settings, database, strict=True)


async def test_texts_of_a_plugin_are_found_in_its_catalogs(settings: Settings, database: Database, site: Path) -> None:
    from zhike.i18n import text

    entry = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "A stamp of acme"\nmsgstr "印章"\n'
    files = {"acme_stamps/__init__.py": FINE, "acme_stamps/locale/zh_CN/LC_MESSAGES/acme_stamps.po": entry}
    make_distribution(site, "stamps", files)
    await enable(database, "stamps")
    await start(settings, database)
    assert text("A stamp of acme").render("zh_CN") == "印章"


async def test_a_process_of_its_own_finds_what_is_on_its_path(
    settings: Settings, database: Database, site: Path, hooks: Path
) -> None:
    """What a server process does, uvloop included, and with another working directory full of traps."""
    make_distribution(site, "stamps", {"acme_stamps/plugin.py": FINE, "acme_stamps/__init__.py": ""})
    make_distribution(site, "exits", {"broken_exits.py": "import os\nos._exit(1)\n"})
    await enable(database, "stamps", "exits")
    async with database.connection() as connection:
        ours = ["exports", "imports", "privacy", "sample", "tagging"]
        await connection.execute("INSERT INTO plugin (name, enabled) SELECT unnest($1::text[]), false", ours)
    (hooks / "msgspec.py").write_text("raise SystemExit\n")
    program = f"""
import uvloop
from pathlib import Path
from zhike._host.plugins.load import load
from zhike.orm import Database
from zhike.settings import Settings

async def main():
    db = await Database.open({settings.database_url!r})
    settings = Settings(data=Path({str(settings.data)!r}), hooks=Path({str(site / "nothing")!r}))
    platform = await load(settings, db, threads=False)
    print(sorted(platform.plugins), [(each.plugin, each.stage) for each in platform.problems])
    await db.close()

uvloop.run(main())
"""
    environment = {"PYTHONPATH": str(site), "PATH": "", "PYTHONWARNINGS": "error"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-c", program],
        env=environment,
        cwd=hooks,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.decode() == "['stamps'] [('exits', 'trial')]\n", done.stderr.decode()
