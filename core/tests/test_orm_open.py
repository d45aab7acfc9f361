"""Opening a database: what is refused and how, what a connection is like, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import traceback
from urllib.parse import urlsplit, urlunsplit

import pytest
from piccolo.columns import JSONB, Integer
from piccolo.table import Table

from zhike.customers.tables import Customer
from zhike.errors import Refused, Unavailable
from zhike.orm import Database, Engine


@pytest.mark.parametrize(
    ("url", "error", "expected"),
    [
        ("postgresql://zhike:s3cret@127.0.0.1:1/zhike", Unavailable, "127.0.0.1:1/zhike"),
        ("postgresql:///zhike?host=/nowhere&user=zhike&password=s3cret", Unavailable, "/zhike"),
        ("postgresql://zhike:s3cret@no-such-host.invalid/zhike", Unavailable, "no-such-host.invalid/zhike"),
        ("postgresql://zhike:pass/s3cret@127.0.0.1:1/zhike", Refused, "expected postgresql://"),
        ("postgresql://zhike@127.0.0.1:s3cret/zhike", Refused, "expected postgresql://"),
        ("mysql://zhike:s3cret@127.0.0.1/zhike", Refused, "expected postgresql://"),
        ("postgresql://[s3cret/zhike", Refused, "expected postgresql://"),
        ("", Refused, "expected postgresql://"),
    ],
)
async def test_refusals_name_the_place_and_no_password(url, error, expected):
    with pytest.raises(error) as caught:
        await Database.open(url)
    assert expected in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


async def test_unknown_database_is_named(database_url):
    with pytest.raises(Unavailable, match='database "nobodys" does not exist'):
        await Database.open(urlunsplit(urlsplit(database_url)._replace(path="/nobodys")))


async def test_old_server_is_refused(database_url, monkeypatch):
    monkeypatch.setattr("zhike.orm.OLDEST_SERVER", 99)
    with pytest.raises(Refused, match="expected 99 or newer"):
        await Database.open(database_url)


def test_nothing_is_connected_by_importing_or_constructing():
    """Piccolo's own engine asks for the server's version in its constructor."""
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('connected')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "import zhike.orm, zhike.customers.tables\n"
        "zhike.orm.Engine('postgresql://127.0.0.1:1/zhike', {})\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


async def test_session_has_its_limits(database):
    async with database.connection() as connection:
        shown = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in (
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "lock_timeout",
                "timezone",
            )
        }
    assert shown == {
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "1min",
        "lock_timeout": "10s",
        "timezone": "UTC",
    }


async def test_nothing_is_sent_to_reset_a_connection(database, query_counter):
    for _ in range(3):
        async with database.connection() as connection:
            await connection.fetchval("SELECT 1")
        async with database.transaction() as connection:
            await connection.fetchval("SELECT 2")
    assert query_counter.statements == ["SELECT 1", "BEGIN;", "SELECT 2", "COMMIT;"] * 3
    assert query_counter.count == 12


async def test_jsonb_is_text_in_both_directions(database):
    text = '{"a": [1, 2.50, "知客"], "b": null}'
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT $1::jsonb", text) == text
        assert await connection.fetchval("SELECT $1::jsonb ->> 'a'", text) == '[1, 2.50, "知客"]'
        assert await connection.fetchval("SELECT $1::jsonb[]", [text, "1"]) == [text, "1"]


async def test_core_tables_are_on_the_database(database, query_counter):
    await Customer.insert(Customer(name="王芳", attributes={"city": "上海"}))
    row = await Customer.select().first().output(load_json=True)
    assert (row["name"], row["attributes"], row["kind"]) == ("王芳", {"city": "上海"}, "person")
    assert query_counter.count == 2


async def test_tables_follow_the_database_that_is_open(database_server):
    urls = [database_server.create(plugins=()), database_server.create(plugins=())]
    try:
        first = await Database.open(urls[0])
        second = await Database.open(urls[1])
        await Customer.insert(Customer(name="in the second"))
        await first.close()
        assert await Customer.count() == 1
        await second.close()
        assert Customer._meta._db is None
    finally:
        for url in urls:
            database_server.drop(url)


async def test_plugins_bind_their_own_tables(database):
    class Note(Table, tablename="note"):
        id = Integer(primary_key=True)
        body = JSONB()

    database.bind([Note])
    await Note.create_table()
    await Note.insert(Note(id=1, body="[1]"))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT body FROM note") == "[1]"
    assert isinstance(Note._meta.db, Engine)


async def test_on_connect_sees_each_connection_once(database_url):
    seen: list[int] = []
    db = await Database.open(
        database_url, max_size=2, on_connect=lambda connection: seen.append(connection.get_server_pid())
    )
    async with db.connection(), db.connection():
        pass
    async with db.connection() as connection:
        assert connection.get_server_pid() in seen
    assert len(seen) == len(set(seen)) == 2
    await db.close()
