"""Commands that plugins bring: `zhike` finds them whatever is wrong with some, and runs them only while enabled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zhike.testing.distributions import make_distribution

HOOKS = "from zhike.contracts import Command\nfrom zhike.hooks import hookimpl\n"
COMMAND = """
import asyncio
import click
from zhike import settings
from zhike.commands import data_option

@click.group()
def greet():
    pass

@greet.command()
@data_option
@click.pass_obj
def all(host, data):
    async def run():
        async with host.open_platform(settings.load(data)) as platform:
            async with platform.db.connection() as connection:
                return await connection.fetchval("SELECT count(*) FROM customer")
    click.echo(f"{asyncio.run(run())} customers greeted")
"""


def registers(name: str, target: str, claims: str = "()") -> str:
    """Return a plugin that registers one command."""
    return (
        f"{HOOKS}CLAIMS = {claims}\n@hookimpl\ndef register_commands():\n"
        f"    return [Command(name={name!r}, target={target!r}, summary='Of the plugin.')]\n"
    )


class Zhike:
    """Runs the command with distributions of its own on the path."""

    def __init__(self, folder: Path, url: str) -> None:
        self.site = folder / "site"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "ZHIKE_DATABASE_URL": url,
            "ZHIKE_DATA": str(folder / "data"),
            "ZHIKE_LOCALE": "en",
        }

    def __call__(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        command = [str(Path(sys.executable).with_name("zhike")), *arguments]
        done = subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def install(self, name: str, code: str, **files: str) -> None:
        contents = {f"acme_{name}/plugin.py": code, f"acme_{name}/__init__.py": ""}
        contents |= {f"acme_{name}/{file}.py": content for file, content in files.items()}
        requires = ["zhike>=99"] if name == "newer" else ["zhike"]
        make_distribution(self.site, name, contents, requires=requires)


@pytest.fixture
def zhike(tmp_path: Path, database_url: str) -> Zhike:
    return Zhike(tmp_path, database_url)


def test_help_lists_what_works_and_names_what_does_not(zhike: Zhike) -> None:
    zhike.install("wave", registers("greet", "acme_wave.command:greet", "('greet',)"))
    zhike.install("still", "")
    zhike.install("raises", "raise RuntimeError('sk-secret')\n")
    zhike.install("exits", "raise SystemExit\n")
    zhike.install("newer", registers("newer", "x:y"))
    zhike.install("thief", registers("import", "x:y", "('import',)"))
    zhike.install("rubbish", f"{HOOKS}@hookimpl\ndef register_commands():\n    return 7\n")
    status, out, err = zhike("--help")
    assert status == 0
    assert "\n  greet        Of the plugin.\n" in out
    assert "\n  import       Bring a file in, or take it back.\n" in out
    assert "\n  serve        Run the server.\n" in out
    told = {line.split(":")[1].strip() for line in err.splitlines()}
    assert told == {"raises", "exits", "newer", "thief", "rubbish"}
    assert len(err.splitlines()) == len(told)
    assert "sk-secret" not in err


def test_help_needs_no_usable_settings(zhike: Zhike) -> None:
    status, out, err = zhike("--help", ZHIKE_TIMEZONE="Nowhere/Land")
    assert (status, err) == (0, "")
    assert "\n  serve " in out
    status, _, err = zhike("greet", ZHIKE_TIMEZONE="Nowhere/Land")
    assert (status, "ZHIKE_TIMEZONE" in err) == (1, True)


@pytest.mark.heavy
def test_a_command_runs_while_its_plugin_is_enabled(zhike: Zhike) -> None:
    zhike.install("wave", registers("greet", "acme_wave.command:greet", "('greet',)"), command=COMMAND)
    for each in ("imports", "privacy", "tagging"):  # they have no tables here, which commands would tell
        assert zhike("plugin", "disable", each)[0] == 0
    status, out, err = zhike("greet", "all")
    assert (status, out) == (1, "")
    assert err == "zhike: The plugin wave is disabled; run `zhike plugin enable wave`\n"
    assert zhike("plugin", "enable", "wave")[0] == 0
    status, out, _ = zhike("greet", "all")
    assert (status, out) == (0, "0 customers greeted\n")
    assert zhike("plugin", "disable", "wave")[0] == 0
    assert zhike("greet", "all")[0] == 1


def test_a_command_of_a_plugin_that_cannot_run_says_why(zhike: Zhike) -> None:
    migration = "from zhike.orm import sql_migration\nasync def forwards():\n    raise SystemExit\n"
    zhike.install(
        "wave",
        registers("greet", "acme_wave.command:greet", "('greet',)"),
        **{"command": COMMAND, "piccolo_migrations/wave_0001_first": migration},
    )
    assert zhike("plugin", "enable", "wave")[0] == 0
    status, _, err = zhike("greet", "all")
    assert status == 1
    assert "zhike: wave: its migrations have not run: wave_0001_first. Run `zhike migrate`\n" in err


@pytest.mark.parametrize("target", ["acme_wave.command:greet", "acme_wave.nowhere:greet", "acme_wave:greet"])
def test_a_command_that_cannot_be_imported_is_refused(zhike: Zhike, target: str) -> None:
    zhike.install("wave", registers("wave", target), command="1 / 0\n")
    status, out, err = zhike("wave", "--help")
    assert (status, out) == (1, "")
    assert err.startswith("zhike: wave: its import failed: ")
    assert len(err.splitlines()) == 1


def test_commands_of_others_are_found_beside_a_plugin_that_hangs(zhike: Zhike) -> None:
    zhike.install("hangs", "import time\ntime.sleep(600)\n")
    status, out, _ = zhike("import", "events", "--help")
    assert status == 0
    assert "--map COLUMN=TARGET" in out


def test_no_foreign_code_runs_in_the_commands_own_process(zhike: Zhike) -> None:
    trap = "import os, pathlib\npathlib.Path(__file__).with_name(str(os.getppid())).touch()\n"
    zhike.install("hangs", "import time\ntime.sleep(600)\n")
    zhike.install("ends", "import os\nos._exit(3)\n")
    zhike.install("wave", trap + registers("greet", "acme_wave.command:greet", "('greet',)"))
    status, out, err = zhike("--help")
    assert (status, "\n  greet        Of the plugin.\n" in out, "\n  serve " in out) == (0, True, True)
    assert {line.split(":")[1].strip() for line in err.splitlines()} == {"hangs", "ends"}
    [parent] = [path.name for path in (zhike.site / "acme_wave").iterdir() if path.name.isdigit()]
    assert int(parent) != os.getpid()
