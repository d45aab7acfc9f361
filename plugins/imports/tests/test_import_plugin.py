"""The import as a plugin: switched off and on, given up and begun anew, and taken over from when it was in the core."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import msgspec
import pytest

import zhike
import zhike_imports
from zhike import settings
from zhike._host.db import migrate
from zhike._host.db.apps import App
from zhike_imports.run.plan import prepare
from zhike_imports.schemas import Options

ROWS = "user_id,date,amount\n" + "".join(f"{day},2024-01-0{day},1.00\n" for day in range(1, 5))


class Command:
    """Runs `zhike` on one database, in a folder with a file of four rows."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        (folder / "rows.csv").write_text(ROWS)

    def __call__(self, *arguments: str, locale: str = "en") -> tuple[int, str, str]:
        environment = {"ZHIKE_DATABASE_URL": self.url, "ZHIKE_DATA": str(self.folder), "ZHIKE_LOCALE": locale}
        done = subprocess.run(
            [str(Path(sys.executable).with_name("zhike")), *arguments],
            env=os.environ | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def bring_in(self) -> str:
        status, out, err = self("import", "events", "rows.csv", "--event", "order.paid")
        assert (status, err) == (0, "")
        return out.splitlines()[-1]

    def fetch(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        async def run() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(sql, *values)]
            finally:
                await connection.close()

        return asyncio.run(run())


def test_disabled_it_is_refused_and_enabled_it_goes_on(database_url: str, tmp_path: Path) -> None:
    command = Command(database_url, tmp_path)
    assert command.bring_in() == "accepted 4, duplicate 0, rejected 0"
    assert command("plugin", "disable", "imports")[0] == 0
    status, out, err = command("import", "events", "rows.csv", "--event", "order.paid")
    assert (status, err) == (1, "zhike: The plugin imports is disabled; run `zhike plugin enable imports`\n")
    assert "accepted" not in out
    _, _, err = command("import", "events", "rows.csv", "--event", "order.paid", locale="zh_CN")
    assert err == "zhike: 插件 imports 已停用，请运行 `zhike plugin enable imports`\n"
    assert command("plugin", "enable", "imports")[0] == 0
    assert command.bring_in() == "accepted 0, duplicate 4, rejected 0"


def test_given_up_and_begun_anew_it_still_knows_its_rows(database_url: str, tmp_path: Path) -> None:
    command = Command(database_url, tmp_path)
    command.bring_in()
    assert command("plugin", "disable", "imports")[0] == 0
    assert command("plugin", "purge", "imports", "--yes")[1].startswith(
        "dropped imports_profile\ndropped imports_reject\ndropped imports_row\n"
    )
    assert command("plugin", "enable", "imports")[0] == 0
    status, _, err = command("import", "events", "rows.csv", "--event", "order.paid")
    assert (status, "its migrations have not run" in err) == (1, True)
    assert command("migrate")[0] == 0
    assert command.bring_in() == "accepted 0, duplicate 4, rejected 0"
    assert command.fetch("SELECT count(*) FROM imports_run") == [(1,)]


@pytest.fixture
def first_version(empty_database_url: str, tmp_path: Path) -> Command:
    """A database as the core made it while the import was a part of it, with an import that stopped after two rows."""
    core = Path(zhike.__file__).parent
    apps = []
    for name in ("customers", "events", "access", "imports"):
        source = (core / name if name != "imports" else Path(zhike_imports.__file__).parent) / "piccolo_migrations"
        folder = tmp_path / "first" / name
        folder.mkdir(parents=True)
        shutil.copy(source / f"{name}_0001_first.py", folder)
        apps.append(App(name, folder))
    command = Command(empty_database_url, tmp_path)
    asyncio.run(migrate.forwards(empty_database_url, apps))
    plan = prepare(tmp_path / "rows.csv", Options(event="order.paid"), settings.load(tmp_path, {}))
    command.fetch(
        """INSERT INTO import_run (kind, file_name, sha256, options, rows_done, accepted)
           VALUES ('events', 'rows.csv', $1, $2, 2, 2)""",
        plan.found.sha256,
        msgspec.json.encode(plan.signature()).decode(),
    )
    return command


def test_a_database_of_the_first_version_is_taken_over(first_version: Command) -> None:
    status, _, err = first_version("import", "events", "rows.csv", "--event", "order.paid")
    assert (status, "run `zhike migrate`" in err) == (1, True)
    status, out, err = first_version("migrate")
    assert (status, err) == (0, "")
    assert "migrated imports_0002_name\n" in out
    assert "imports_0001_first" not in out
    assert first_version.bring_in() == "accepted 4, duplicate 0, rejected 0"
    assert first_version.fetch(
        "SELECT import_id, message_id LIKE '%:0000000003' FROM event WHERE behaviour ORDER BY id"
    ) == [
        (1, True),
        (1, False),
    ]
    assert first_version.fetch("SELECT id, finished_at IS NOT NULL FROM imports_run") == [(1, True)]
