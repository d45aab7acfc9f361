"""The pytest plugin as a plugin author meets it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg

from zhike import clock
from zhike.orm import Database
from zhike.testing.databases import Server

pytest_plugins = ["pytester"]
# Development tools that take seconds to load and play no part here.
BARE = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:faker")


async def exists(server: Server, url: str) -> bool:
    connection = await asyncpg.connect(server.url)
    name = urlsplit(url).path.removeprefix("/")
    found = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
    await connection.close()
    return bool(found)


async def test_each_test_has_a_database_of_its_own(database_server):
    first, second = database_server.create(plugins=()), database_server.create(plugins=())
    try:
        connection = await asyncpg.connect(first)
        await connection.execute("INSERT INTO customer (name) VALUES ('x')")
        await connection.close()
        db = await Database.open(second)
        async with db.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM customer") == 0
        database_server.drop(second)  # although somebody is connected to it
        assert not await exists(database_server, second)
        await db.close()
    finally:
        database_server.drop(first)
        database_server.drop(second)


def test_frozen_now(frozen_now):
    assert clock.now() == clock.now() == datetime(2026, 3, 14, 8, tzinfo=UTC)
    frozen_now.advance(days=1, hours=2)
    assert clock.now() == datetime(2026, 3, 15, 10, tzinfo=UTC)
    frozen_now.set(datetime.fromisoformat("2024-02-29T08:00:00+08:00"))
    assert clock.now() == datetime(2024, 2, 29, tzinfo=UTC)
    assert clock.now().utcoffset() == timedelta(0)


def test_loading_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, zhike.testing.plugin\n"
        "print([name for name in ('asyncpg', 'piccolo', 'litestar', 'msgspec') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == "[]\n"


def test_all_fixtures_in_a_strict_project(pytester):
    """The author's own project: asyncio_mode strict, nothing of ours configured."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_database(database, query_counter, frozen_now):
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM event") == 0
            assert query_counter.count == 1
            query_counter.reset()
            assert query_counter.statements == []

        def test_urls(database_url, empty_database_url):
            assert database_url != empty_database_url
        """
    )
    result = pytester.runpytest_subprocess(*BARE, "--asyncio-mode=strict")
    result.assert_outcomes(passed=2)


def test_without_pytest_asyncio(pytester):
    pytester.makepyfile("def test_url(database_url):\n    assert database_url.startswith('postgresql://')\n")
    result = pytester.runpytest_subprocess(*BARE, "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
