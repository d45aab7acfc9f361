"""`zhike keys`: keys are replaced beside readers and writers, also when it is killed in the middle and run again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from zhike import secrets, vault
from zhike._host import rotation
from zhike.access.actor import Actor
from zhike.customers import fields
from zhike.errors import Unavailable
from zhike.vault import Vault

if TYPE_CHECKING:
    from conftest import Command
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.settings import Settings

ACTOR = Actor.command("test")
RING = "ZHIKE_SECRET_KEY"
OLD, NEW = "o" * 32, "n" * 32
PLACES = 12
SMALL_STEPS = """
import sys
from zhike._host import rotation
from zhike._host.cli.main import main
from zhike.vault import store
store.RIPE, rotation.WAIT, rotation.CHUNK = 0, -1, 2
sys.argv = ["zhike", "keys", "rotate", "--reseal"]
main()
"""


@pytest.fixture
def old_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RING, OLD)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for other processes to know a new data key."""
    for module, name in ((vault.store, "RIPE"), (vault.store, "FRESH"), (fields, "FRESH"), (rotation, "WAIT")):
        monkeypatch.setattr(module, name, 0.0)


@pytest.fixture
async def filled(old_ring: None, platform: Platform) -> None:
    for n in range(PLACES):
        await secrets.set(platform, ACTOR, "mall", f"s{n}", f"value {n}")


async def values(platform: Platform) -> list[str | None]:
    return [await secrets.get(platform, "mall", f"s{n}") for n in range(PLACES)]


EXPECTED = [f"value {n}" for n in range(PLACES)]


async def used(db: Database) -> set[int]:
    async with db.connection() as connection:
        return {vault.key_id(row[0]) for row in await connection.fetch("SELECT sealed FROM secret")}


async def test_the_ring_is_rotated(
    filled: None, platform: Platform, settings: Settings, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, old = await platform.vault.hash("a", "b"), platform.vault.ring[0].id
    status, told = await command("keys", "status")
    assert status == 0
    assert [line.split("\t")[:4] for line in told.splitlines()] == [
        ["ring", old],
        ["1", "data", old, "current"],
        ["2", "hash", old, "current"],
    ]
    status, told = await command("keys", "rotate", **{RING: f"{NEW},{OLD}"})
    assert status == 0
    assert "2 data keys wrapped anew" in told
    assert told.splitlines()[-1] == f"No longer needed, take out of ZHIKE_SECRET_KEY: {old}"
    # A process that has the keys goes on with them; one that begins needs the new one only.
    assert await values(platform) == EXPECTED
    monkeypatch.setenv(RING, NEW)
    platform.vault = Vault(platform.db, settings)
    assert await values(platform) == EXPECTED
    assert await platform.vault.hash("a", "b") == hashed
    assert (await command("keys", "rotate"))[1].startswith("0 data keys wrapped anew")
    # One that has only the old key says what is missing.
    monkeypatch.setenv(RING, OLD)
    platform.vault = Vault(platform.db, settings)
    with pytest.raises(Unavailable, match="is not in the ring"):
        await values(platform)
    assert "is not in the ring" in (await command("keys", "status"))[1]


async def test_it_does_not_say_that_a_key_is_not_needed_while_it_is(
    filled: None, command: Command, platform: Platform
) -> None:
    third = "t" * 32
    async with platform.db.transaction() as connection:
        await connection.execute(
            "INSERT INTO data_key (purpose, wrapped, wrapped_by) VALUES ('data', '\\x00', 'elsewhere')"
        )
    status, told = await command("keys", "rotate", **{RING: f"{NEW},{OLD},{third}"})
    assert status == 1
    assert "The data key 3 needs the key elsewhere" in told
    assert "No longer needed" not in told
    # The others are done nevertheless.
    async with platform.db.transaction() as connection:
        await connection.execute("DELETE FROM data_key WHERE id = 3")
    assert (await command("keys", "rotate", **{RING: f"{NEW},{OLD}"}))[1].startswith("0 data keys wrapped anew")


async def test_values_are_sealed_anew_beside_readers_and_writers(
    at_once: None,
    filled: None,
    platform: Platform,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    settings: Settings,
) -> None:
    monkeypatch.setattr(rotation, "CHUNK", 2)
    done = False

    async def read() -> int:
        rounds = 0
        while not done:
            assert await values(platform) == EXPECTED
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    async def write() -> int:
        rounds = 0
        while not done:
            try:
                await secrets.set(platform, ACTOR, "mall", f"s{rounds % PLACES}", EXPECTED[rounds % PLACES])
            except Unavailable:  # the lock below was waited for as long as the server lets anybody wait
                if holder.is_closed():
                    raise
                continue
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    holder = await asyncpg.connect(database_url)
    beside = [asyncio.create_task(each()) for each in (read, write)]
    # Killed in the middle, where a writer holds a secret.
    await holder.execute("BEGIN; UPDATE secret SET version = version WHERE name = 's7'")
    environment = os.environ | {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_DATA": str(settings.data)}
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SMALL_STEPS, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert killed.stdout is not None
    while b"secrets 6" not in (line := await killed.stdout.readline()):
        assert line
    killed.send_signal(signal.SIGKILL)
    assert await killed.wait() == -signal.SIGKILL
    assert await used(platform.db) >= {1, 3}
    await holder.execute("ROLLBACK")
    await holder.close()

    status, told = await command("keys", "rotate", "--reseal")
    done = True
    assert min(await asyncio.gather(*beside)) > 0
    assert (status, told.splitlines()[-1]) == (0, "Everything is sealed with the newest data key")
    assert await used(platform.db) == {3}, "it did not go on with the data key of the run that was killed"
    async with platform.db.connection() as connection:
        retired = await connection.fetch("SELECT id FROM data_key WHERE retired_at IS NOT NULL")
    assert [row["id"] for row in retired] == [1]
    assert await values(platform) == EXPECTED


async def test_what_cannot_be_opened_stops_it_and_nothing_is_lost(
    at_once: None, filled: None, platform: Platform, command: Command
) -> None:
    async with platform.db.transaction() as connection:
        kept = await connection.fetchval("SELECT sealed FROM secret WHERE name = 's5'")
        await connection.execute("UPDATE secret SET sealed = 'zk1.1.AAAA' WHERE name = 's5'")
    status, told = await command("keys", "rotate", "--reseal")
    assert (status, "A sealed value was changed" in told) == (1, True)
    async with platform.db.transaction() as connection:
        assert await connection.fetchval("SELECT count(*) FROM data_key WHERE retired_at IS NOT NULL") == 0
        await connection.execute("UPDATE secret SET sealed = $1 WHERE name = 's5'", kept)
    assert (await command("keys", "rotate", "--reseal"))[0] == 0
    assert await values(platform) == EXPECTED
    assert await used(platform.db) == {3}


async def test_values_of_customers_are_sealed_anew(
    at_once: None,
    old_ring: None,
    client: httpx.AsyncClient,
    platform: Platform,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = {"key": "id_card", "label": "Card", "type": "text", "encrypted": True}
    assert (await client.post("/api/v1/customers/fields", json=field)).status_code == 200
    urls = []
    for n in range(5):
        identities = {"external_id": f"c{n}"}
        attributes = {"city": "Xi'an"} | ({"id_card": f"card {n}"} if n != 2 else {})
        made = await client.post("/api/v1/customers", json={"identities": identities, "attributes": attributes})
        urls.append(f"/api/v1/customers/{made.json()['id']}")
    before = [(await client.get(url)).json() for url in urls]
    monkeypatch.setattr(rotation, "CHUNK", 2)

    status, told = await command("keys", "rotate", "--reseal")

    assert (status, told.count("customers ")) == (0, 3)
    await client.get("/api/v1/customers/fields")  # the process looks at fields and keys again
    assert [(await client.get(url)).json() for url in urls] == before
    assert before[1]["attributes"] == {"city": "Xi'an", "id_card": "card 1"}
    async with platform.db.connection() as connection:
        sealed = await connection.fetch("SELECT attributes #>> '{id_card,sealed}' FROM customer ORDER BY id")
    assert [vault.key_id(row[0]) if row[0] else None for row in sealed] == [3, 3, None, 3, 3]
