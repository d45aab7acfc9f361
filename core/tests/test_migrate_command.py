"""`zhike migrate` and the refusal of commands on a database that is not up to date."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zhike._host.cli.context import open_database
from zhike._host.db import migrate
from zhike.errors import Refused, Unavailable
from zhike.settings import Settings


def zhike(*arguments: str, url: str, data: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ZHIKE_DATABASE_URL": url, "ZHIKE_DATA": str(data), "ZHIKE_LOCALE": "en"}
    return subprocess.run(
        [Path(sys.executable).with_name("zhike"), *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_command(empty_database_url, tmp_path):
    checked = zhike("migrate", "--check", url=empty_database_url, data=tmp_path)
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout.splitlines()[0] == "pending plugins_0001_first"
    first = zhike("migrate", url=empty_database_url, data=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[0] == "migrated plugins_0001_first"
    for arguments in (["migrate"], ["migrate", "--check"]):
        again = zhike(*arguments, url=empty_database_url, data=tmp_path)
        assert (again.returncode, again.stdout, again.stderr) == (0, "The database is up to date.\n", "")


def test_command_on_a_newer_database(database_url, tmp_path):
    async def age() -> None:
        settings = Settings(data=tmp_path, database_url=database_url)
        async with open_database(settings) as database, database.connection() as connection:
            await connection.execute("INSERT INTO migration (name, app_name) VALUES ('events_0042_x', 'events')")

    asyncio.run(age())
    result = zhike("migrate", url=database_url, data=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("zhike: The database was made by a newer version")
    assert "Traceback" not in result.stderr


def test_command_without_a_server(tmp_path):
    result = zhike("migrate", url="postgresql://zhike:s3cret@127.0.0.1:1/zhike", data=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "127.0.0.1:1/zhike" in result.stderr
    assert "s3cret" not in result.stderr
    assert "Traceback" not in result.stderr


async def test_open_database_refuses_what_is_pending(empty_database_url, tmp_path):
    settings = Settings(data=tmp_path, database_url=empty_database_url, pool_size=3)
    with pytest.raises(Refused, match="run `zhike migrate`"):
        async with open_database(settings):
            pass
    async with open_database(settings, migrated=False) as database:
        assert database.pool.get_max_size() == 3
    await migrate.forwards(empty_database_url)
    async with open_database(settings) as database, database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer") == 0
    with pytest.raises(RuntimeError, match="closed"):
        database.pool  # noqa: B018  # the property raises


async def test_open_database_without_a_server(tmp_path):
    settings = Settings(data=tmp_path, database_url="postgresql://127.0.0.1:1/zhike")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/zhike"):
        async with open_database(settings):
            pass


def test_embedded_database(tmp_path):
    """Without a URL the folder's own PostgreSQL is started, used and left."""
    result = zhike("migrate", "--data", str(tmp_path / "data"), url="", data=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    again = zhike("migrate", "--check", "--data", str(tmp_path / "data"), url="", data=tmp_path)
    assert (again.returncode, again.stdout) == (0, "The database is up to date.\n")
