"""The vault: what it seals opens only where it stands, whoever makes the keys at the same time, and never wrongly."""

from __future__ import annotations

import asyncio
import base64
import secrets as tokens
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from zhike import secrets, vault
from zhike._host.web.app import create_app
from zhike.access.actor import Actor
from zhike.errors import NotFound, Refused, Unavailable
from zhike.orm import Database
from zhike.vault import Vault

if TYPE_CHECKING:
    from conftest import MakeToken
    from zhike.platform import Platform
    from zhike.settings import Settings

ACTOR = Actor.command("test")
RING = "ZHIKE_SECRET_KEY"


async def count(db: Database) -> dict[str, int]:
    async with db.connection() as connection:
        return dict(await connection.fetch("SELECT purpose, count(*) FROM data_key GROUP BY purpose"))


@pytest.mark.parametrize("value", ["", "13800138000", "知客\0", "x" * 100_000])
async def test_what_is_sealed_is_opened_and_not_to_be_read(platform: Platform, value: str) -> None:
    first, second = [await platform.vault.seal(value, "a") for _ in range(2)]
    assert first != second
    assert first.isascii()
    assert first.startswith("zk1.1.")
    assert not value or value.encode() not in base64.urlsafe_b64decode(first.rpartition(".")[2])
    assert [await platform.vault.open(each, "a") for each in (first, second)] == [value] * 2


async def test_what_was_changed_or_moved_is_refused(platform: Platform) -> None:
    sealed = await platform.vault.seal("13800138000", "customer:phone")
    prefix, _, body = sealed.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(body))
    spoiled = [
        "",
        "13800138000",
        "zk1.1.",
        "zk1.1.é",
        "zk2" + sealed[3:],
        sealed[:-4],
        f"zk1.9.{body}",
        f"zk1.x.{body}",
    ]
    for place in range(len(raw)):
        changed = raw.copy()
        changed[place] ^= 1
        spoiled.append(f"{prefix}.{base64.urlsafe_b64encode(changed).decode()}")
    for each in spoiled:
        with pytest.raises(Unavailable) as refused:
            await platform.vault.open(each, "customer:phone")
        assert "13800138000" not in str(refused.value)
        assert refused.value.status == 503
    for context in ("", "customer:phone2", "customer:email"):
        with pytest.raises(Unavailable, match="does not belong where it stands"):
            await platform.vault.open(sealed, context)


async def test_hashes_stay_the_same_and_differ_by_context(platform: Platform, settings: Settings) -> None:
    hashes = {
        pair: await platform.vault.hash(*pair)
        for pair in [("b", "a"), ("b", "aa"), ("ab", "a"), ("", "ab"), ("ab", "")]
    }
    assert {len(each) for each in hashes.values()} == {32}
    assert len(set(hashes.values())) == len(hashes)
    other = Vault(platform.db, settings)
    await other.make(another=True)
    assert {pair: await other.hash(*pair) for pair in hashes} == hashes
    assert await count(platform.db) == {"data": 2, "hash": 1}


async def test_many_processes_make_one_key_of_each_kind(settings: Settings) -> None:
    databases = [await Database.open(settings.database_url or "", max_size=1) for _ in range(6)]
    vaults = [Vault(db, settings) for db in databases for _ in range(3)]
    hashes = await asyncio.gather(*(each.hash("a", "b") for each in vaults))
    assert len(set(hashes)) == 1
    assert await count(databases[0]) == {"data": 1, "hash": 1}
    for db in databases:
        await db.close()


async def test_keys_outlive_a_transaction_that_is_rolled_back(platform: Platform, settings: Settings) -> None:
    """Also when all connections of the pool are in use."""
    db = await Database.open(settings.database_url or "", max_size=1)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            sealed = await Vault(db, settings).seal("a", "b")
            raise ZeroDivisionError
    await db.close()
    assert await platform.vault.open(sealed, "b") == "a"


async def test_a_key_that_another_process_made_is_found(
    platform: Platform, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = await platform.vault.seal("a", "b")
    other = Vault(platform.db, settings)
    await other.make(another=True)
    assert (await other.seal("c", "b")).startswith("zk1.1."), "a process that does not know it yet could not open it"
    monkeypatch.setattr(vault.store, "RIPE", 0.0)
    await other.keys(fresh=True)
    late = await other.seal("c", "b")
    assert late.startswith("zk1.3.")
    assert [await platform.vault.open(each, "b") for each in (early, late)] == ["a", "c"]
    assert (await platform.vault.seal("d", "b")).startswith("zk1.3.")

    await other.make(another=True)
    monkeypatch.setattr(time, "monotonic", lambda at=time.monotonic: at() + vault.FRESH)
    assert (await platform.vault.seal("e", "b")).startswith("zk1.4.")


async def test_another_ring_is_refused_by_name_and_makes_nothing(
    platform: Platform, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = await platform.vault.seal("a", "b")
    mine = platform.vault.ring[0].id
    monkeypatch.setenv(RING, "x" * 40)
    other = Vault(platform.db, settings)
    for refused in (other.seal("a", "b"), other.open(sealed, "b"), other.hash("a", "b")):
        with pytest.raises(Unavailable, match=f"needs the key {mine}, which is not in the ring"):
            await refused
    assert await count(platform.db) == {"data": 1, "hash": 1}
    monkeypatch.setenv(RING, f"{'x' * 40} , {(settings.data / 'secret.key').read_text()}")
    assert await Vault(platform.db, settings).open(sealed, "b") == "a"


async def test_a_data_key_that_was_changed_is_refused(platform: Platform, settings: Settings) -> None:
    sealed = await platform.vault.seal("a", "b")
    for change in (
        "wrapped = sha256(wrapped)",
        "wrapped = ''",
        "wrapped = (SELECT wrapped FROM data_key WHERE id = 2)",
    ):
        async with platform.db.transaction() as connection:
            await connection.execute(f"UPDATE data_key SET {change} WHERE purpose = 'data'")
        with pytest.raises(Unavailable, match="The data key 1 is damaged"):
            await Vault(platform.db, settings).open(sealed, "b")
        assert await platform.vault.open(sealed, "b") == "a"  # whoever has it goes on


async def test_a_damaged_key_file_is_refused(platform: Platform, settings: Settings) -> None:
    (settings.data / "secret.key").write_text("too short")
    with pytest.raises(Refused, match=r"secret\.key is damaged"):
        await platform.vault.seal("a", "b")


async def test_secrets_of_plugins(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    value = tokens.token_hex()
    await secrets.set(platform, ACTOR, "mall", "token", "before")
    await secrets.set(platform, ACTOR, "mall", "token", value)
    assert await secrets.get(platform, "mall", "token") == value
    assert await secrets.get(platform, "shop", "token") is None
    async with platform.db.connection() as connection:
        assert value not in await connection.fetchval(
            "SELECT string_agg(s::text || a::text, '') FROM secret s, audit a"
        )
        # One plugin's secret is no use in another one's place.
        await connection.execute("UPDATE secret SET plugin = 'shop'")
    with pytest.raises(Unavailable, match="does not belong where it stands"):
        await secrets.get(platform, "shop", "token")
    await secrets.delete(platform, ACTOR, "shop", "token")
    with pytest.raises(NotFound):
        await secrets.delete(platform, ACTOR, "shop", "token")
    async with platform.db.connection() as connection:
        rows = await connection.fetch("SELECT action || ' ' || object || ' ' || details FROM audit ORDER BY id")
    assert [row[0] for row in rows] == [
        *(f'secret.set secret:mall.token {{"version": {n}}}' for n in (1, 2)),
        "secret.delete secret:shop.token {}",
    ]
    assert value not in caplog.text


async def test_cursors_are_good_until_their_key_leaves_the_ring(
    platform: Platform, settings: Settings, database_url: str, make_token: MakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"authorization": f"Bearer {await make_token('admin')}"}
    await make_token("viewer")

    async def page(ring: str, **query: str | int) -> httpx.Response:
        monkeypatch.setenv(RING, ring)
        application = create_app(settings, database_url)
        transport = httpx.ASGITransport(application)
        async with (
            application.services.serving(platform),
            httpx.AsyncClient(transport=transport, base_url="http://zhike", headers=headers) as client,
        ):
            return await client.get("/api/v1/audit", params={"limit": 1, **query})

    old, new = "o" * 32, "n" * 32
    cursor = (await page(old)).json()["next"]
    assert (await page(f"{new},{old}", cursor=cursor)).status_code == 200
    newer = (await page(f"{new},{old}")).json()["next"]
    assert (await page(new, cursor=newer)).status_code == 200
    gone = await page(new, cursor=cursor)
    assert (gone.status_code, gone.json()["code"]) == (400, "cursor")
    assert (await page(old, cursor=newer)).status_code == 400


async def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    loaded = "any(name.startswith('cryptography') for name in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import sys, zhike.vault, zhike._host.web.app; sys.exit({loaded})"
    )
    assert await process.wait() == 0
