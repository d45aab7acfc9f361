"""API tokens: what is stored, who is found, and how long a revoked one still works."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import asyncpg
import pytest

from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.roles import ROLES
from zhike.access.scope import visible_customers
from zhike.errors import BadRequest, Forbidden, NotFound
from zhike.orm import Database
from zhike.testing.databases import QueryCounter
from zhike.testing.plugin import FrozenNow

OPERATOR = Actor.command("token")


async def audit_rows(database: Database) -> list[tuple[str, str, str]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT actor, action, object FROM audit ORDER BY id")]


class Elapsed:
    """Stands in for the monotonic clock of the token cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr("zhike.access.directory.time.monotonic", lambda: self.seconds)


async def test_a_token_is_stored_as_a_hash_only(database: Database) -> None:
    token, secret = await tokens.create(database, OPERATOR, "shop", "manager")

    assert secret.startswith("zk_")
    assert len(secret) == 46
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM api_token")
        everything = await connection.fetchval("SELECT string_agg(a::text || t::text, '') FROM audit a, api_token t")
    assert row is not None
    assert row["hash"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in everything
    assert await audit_rows(database) == [("command:token", "token.create", f"token:{token.id}")]


async def test_the_actor_behind_a_token(database: Database) -> None:
    token, secret = await tokens.create(database, OPERATOR, "shop", "viewer")

    actor = await Directory(database).find(secret)

    assert actor is not None
    assert actor.origin == f"token:{token.id}"
    assert actor.permissions == ROLES["viewer"]
    with pytest.raises(Forbidden, match=r"viewer.*events\.write"):
        actor.require("events.write")


@pytest.mark.parametrize("wrong", ["", "zk_", "zk_" + "a" * 43, "zk_" + "ü" * 43, "zk_" + "a" * 43 + "\n", "x" * 9999])
async def test_what_is_no_token_finds_nobody(database: Database, wrong: str) -> None:
    await tokens.create(database, OPERATOR, "shop", "viewer")
    assert await Directory(database).find(wrong) is None


async def test_an_expired_token_finds_nobody_although_it_is_cached(database: Database, frozen_now: FrozenNow) -> None:
    expires_at = frozen_now() + timedelta(seconds=3)
    _, secret = await tokens.create(database, OPERATOR, "shop", "viewer", expires_at=expires_at)
    cache = Directory(database)
    assert await cache.find(secret) is not None

    frozen_now.advance(seconds=3)

    assert await cache.find(secret) is None


async def test_a_revoked_token_works_for_five_seconds_at_most(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    elapsed = Elapsed(monkeypatch)
    token, secret = await tokens.create(database, OPERATOR, "shop", "viewer")
    cache = Directory(database)
    assert await cache.find(secret) is not None

    await tokens.revoke(database, OPERATOR, token.id)
    elapsed.seconds += 5.1

    assert await cache.find(secret) is None
    assert (await audit_rows(database))[-1] == ("command:token", "token.revoke", f"token:{token.id}")
    with pytest.raises(NotFound):
        await tokens.revoke(database, OPERATOR, token.id)


async def test_finding_a_token_again_asks_the_database_once_in_five_seconds(
    database: Database, query_counter: QueryCounter, monkeypatch: pytest.MonkeyPatch
) -> None:

    elapsed = Elapsed(monkeypatch)
    _, secret = await tokens.create(database, OPERATOR, "shop", "viewer")
    cache = Directory(database)
    await Directory(database).find(secret)  # the connection now knows the types of the answer
    query_counter.reset()
    for _ in range(100):
        await cache.find(secret)
        await cache.find("zk_" + "x" * 43)
    assert query_counter.count == 2
    elapsed.seconds += 5.1
    await cache.find(secret)
    assert query_counter.count == 3


async def test_wrong_tokens_cannot_fill_the_memory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhike.access.directory.CACHE_SIZE", 50)
    cache = Directory(database)
    for number in range(200):
        assert await cache.find(f"zk_{number:043}") is None
    assert len(cache._known) <= 50


async def test_no_token_without_its_audit_row(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE audit RENAME TO elsewhere")
    with pytest.raises(asyncpg.UndefinedTableError):
        await tokens.create(database, OPERATOR, "shop", "viewer")
    assert await tokens.list_(database) == []


@pytest.mark.parametrize(
    ("name", "role"), [("", "admin"), (" ", "admin"), ("a\x00b", "admin"), ("n" * 201, "admin"), ("a", "root")]
)
async def test_a_bad_name_or_role_is_refused(database: Database, name: str, role: str) -> None:
    with pytest.raises(BadRequest):
        await tokens.create(database, OPERATOR, name, role)


@pytest.mark.parametrize(
    ("value", "duration"),
    [("P30D", timedelta(days=30)), ("P2W", timedelta(weeks=2)), ("PT12H", timedelta(hours=12))],
)
def test_durations(value: str, duration: timedelta) -> None:
    assert tokens.parse_duration(value) == duration


@pytest.mark.parametrize("value", ["", "30", "P", "P0D", "-P1D", "P1.5D", "P1Y", "P999999D", "P٣D"])
def test_what_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        tokens.parse_duration(value)


def test_roles_grow_from_viewer_to_admin() -> None:
    assert ROLES["viewer"] <= ROLES["agent"] <= ROLES["manager"] <= ROLES["admin"]
    assert {name for name, granted in ROLES.items() if "events.write" in granted} == {"manager", "admin"}


def test_origins() -> None:
    assert Actor.command("import").origin == "command:import"
    assert Actor.system().origin == "system"
    assert Actor.of_token(7, "shop", "viewer").origin == "token:7"


def test_a_role_that_is_gone_grants_nothing_and_sees_nobody() -> None:
    actor = Actor.of_token(7, "shop", "retired")
    assert actor.permissions == frozenset()
    assert visible_customers(actor) == "FALSE"
    viewer = Actor.of_token(7, "shop", "viewer")
    assert visible_customers(viewer, "c") == "c.merged_into IS NULL AND c.erased_at IS NULL"
