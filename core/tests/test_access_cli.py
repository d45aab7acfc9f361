"""`zhike token` and `zhike user`, on a server named by ZHIKE_DATABASE_URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from zhike._host.cli.main import cli
from zhike.access import own_roles, teams
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.errors import BadRequest, NotFound, Refused
from zhike.orm import Database

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str) -> Run:
    """Runs a command line, without its first word."""

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        environment = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_LOCALE": "en"}
        return CliRunner().invoke(cli, arguments, input=stdin, env=environment)

    return invoke


def role_of(url: str, secret: str) -> str | None:
    async def find() -> str | None:
        database = await Database.open(url)
        try:
            actor = await Directory(database).find(secret)
        finally:
            await database.close()
        return actor.role if actor else None

    return asyncio.run(find())


def test_the_token_is_the_last_word_and_is_shown_once(run: Run, database_url: str) -> None:
    secret = run("token", "create", "网店", "--role", "manager").output.split()[-1]

    assert role_of(database_url, secret) == "manager"
    listed = run("token", "list").output
    assert "网店" in listed
    assert secret not in listed


def test_a_revoked_token_is_worth_nothing(run: Run, database_url: str) -> None:
    secret = run("token", "create", "shop", "--role", "viewer", "--expires", "P30D").output.split()[-1]
    assert "expires" in run("token", "list").output

    assert run("token", "revoke", "1").exit_code == 0

    assert role_of(database_url, secret) is None
    assert "revoked" in run("token", "list").output
    assert isinstance(run("token", "revoke", "1").exception, NotFound)
    assert run("token", "revoke", "99999999999999999999").exit_code == 2


def test_a_user_with_a_password_from_standard_input(run: Run) -> None:
    made = run(
        "user", "create", "li.na", "--name", "李娜", "--role", "agent", "--password-stdin", stdin="马 电池 订书钉!!\n"
    )
    assert made.output == "created user 1 li.na agent\n"
    assert "active" in run("user", "list").output

    assert run("user", "disable", "li.na").exit_code == 0

    assert "disabled" in run("user", "list").output


def test_a_user_of_a_team_with_a_new_password_and_a_token(run: Run, database_url: str) -> None:
    async def prepare() -> None:
        database = await Database.open(database_url)
        operator, directory = Actor.command("test"), Directory(database)
        await teams.create(database, operator, teams.NewTeam("North"))
        new = own_roles.NewRole(name="desk", label="Desk", permissions={"customers.read": "own"})
        await own_roles.create(database, operator, new, directory)
        await database.close()

    asyncio.run(prepare())
    first, second = "马 电池 订书钉!!", "tulip quarry 77"
    stdin = ("--password-stdin",)
    made = run("user", "create", "li.na", "--role", "desk", "--team", "1", *stdin, stdin=f"{first}\n")
    assert made.output == "created user 1 li.na desk\n"
    refused = run("user", "create", "wang", "--role", "desk", "--team", "9", *stdin, stdin=f"{first}\n")
    assert isinstance(refused.exception, BadRequest)
    changed = run("user", "password", "li.na", *stdin, stdin=f"{second}\n")
    assert (changed.exit_code, second in changed.output) == (0, False)
    assert isinstance(run("user", "password", "nobody", *stdin, stdin=f"{second}\n").exception, NotFound)
    secret = run("token", "create", "hers", "--role", "admin", "--user", "li.na").output.split()[-1]

    async def acts() -> Actor | None:
        database = await Database.open(database_url)
        try:
            return await Directory(database).find(secret)
        finally:
            await database.close()

    actor = asyncio.run(acts())
    assert actor is not None
    assert (actor.user_id, actor.permissions, actor.teams) == (1, {"customers.read"}, {1})
    assert actor.scope("customers.read") == "own"


def test_a_password_is_asked_for_twice_and_not_echoed(run: Run) -> None:
    made = run("user", "create", "wang", "--role", "viewer", stdin="a long password\na long password\n")
    assert made.exit_code == 0
    assert "a long password" not in made.output


def test_an_unmigrated_database_is_refused(empty_database_url: str) -> None:
    environment = {"ZHIKE_DATABASE_URL": empty_database_url}
    result = CliRunner().invoke(cli, ["token", "list"], env=environment)
    assert isinstance(result.exception, Refused)
    assert "zhike migrate" in str(result.exception)
