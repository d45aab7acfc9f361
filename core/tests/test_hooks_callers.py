"""The core's own calls of hooks about access: who may make a token, and who sends a request without one of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from zhike import clock
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.contracts import TokenDraft
from zhike.errors import Forbidden, Unauthorized
from zhike.hooks import Hooks, Rejected, hookimpl
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import assemble

if TYPE_CHECKING:
    import httpx

    from conftest import MakeToken
    from zhike._host.web.app import Application

OPERATOR = Actor.command("token")
GUEST = Actor(kind="user", id=3, name="hall 3", role="viewer", permissions=frozenset({"customers.read"}))
SECRET = "Kiosk hall-3"


def hooks_with(name: str, *functions: Callable[..., Any], **options: Any) -> Hooks:
    plugins = {
        f"plugin{n}": type("Plugin", (), {name: staticmethod(hookimpl(function))})()
        for n, function in enumerate(functions)
    }
    assembled = assemble(plugins, **options)
    assert not assembled.problems
    return assembled.hooks


# --- before_tokens_create ---------------------------------------------------------------------------------------------


async def test_plugins_see_what_is_about_to_be_made(database: Database) -> None:
    seen: list[tuple[Actor, tuple[TokenDraft, ...]]] = []
    expires_at = clock.now() + timedelta(days=30)
    hooks = hooks_with("before_tokens_create", lambda actor, tokens: seen.append((actor, tokens)))
    await tokens.create(database, OPERATOR, "shop", "manager", expires_at=expires_at, hooks=hooks)
    assert seen == [(OPERATOR, (TokenDraft(name="shop", role="manager", expires_at=expires_at),))]
    assert [token.name for token in await tokens.list_(database)] == ["shop"]


async def test_a_rejected_token_is_not_made(database: Database) -> None:
    def reject(tokens: tuple[TokenDraft, ...]) -> None:
        if any(token.expires_at is None for token in tokens):
            raise Rejected("Tokens must expire here")

    def fail(tokens: tuple[TokenDraft, ...]) -> None:
        raise SystemExit

    for function, message in ((reject, "Tokens must expire here"), (fail, "plugin0 failed in before_tokens_create")):
        with pytest.raises(Rejected, match=message):
            await tokens.create(
                database, OPERATOR, "shop", "manager", hooks=hooks_with("before_tokens_create", function)
            )
    assert await tokens.list_(database) == []
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit") == 0


# --- resolve_actor ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(app: Application, anonymous: httpx.AsyncClient) -> Callable[..., Any]:
    """Asks for the customers with an Authorization header and plugins that implement `resolve_actor`."""

    async def ask(header: str | None, *functions: Callable[..., Any], **options: Any) -> tuple[int, str]:
        app.services.platform.hooks = hooks_with("resolve_actor", *functions, **options)
        headers = {} if header is None else {"authorization": header}
        answer = await anonymous.get("/api/v1/customers", headers=headers)
        return answer.status_code, answer.json().get("code", "") if answer.status_code >= 400 else ""

    return ask


def know(authorization: str) -> Actor | None:
    return GUEST if authorization == SECRET else None


async def test_a_plugin_knows_who_sends_a_request(ask: Callable[..., Any]) -> None:
    assert await ask(SECRET, lambda authorization: None, know) == (200, "")
    assert await ask("Kiosk hall-4", know) == (401, "unauthorized")
    assert await ask("Bearer jwt.of.another", know) == (401, "invalid_token")
    assert await ask(SECRET) == (401, "unauthorized")


async def test_what_a_plugin_does_not_grant_is_forbidden(ask: Callable[..., Any]) -> None:
    nobody = Actor(kind="user", id=4, name="hall 4", role="", permissions=frozenset())
    assert await ask(SECRET, lambda authorization: nobody) == (403, "forbidden")


async def test_plugins_never_see_our_tokens_and_are_not_asked_about_nothing(
    ask: Callable[..., Any], make_token: MakeToken
) -> None:
    seen: list[str] = []

    def note(authorization: str) -> Actor | None:
        seen.append(authorization)
        return GUEST

    secret = await make_token("viewer")
    assert await ask(f"Bearer {secret}", note) == (200, "")
    assert await ask(f"bearer  {secret}", note) == (200, "")
    assert await ask("Bearer zk_" + "a" * 43, note) == (401, "invalid_token")
    assert await ask(None, note) == (401, "unauthorized")
    assert seen == []


def refuse(authorization: str) -> Actor | None:
    raise Unauthorized(text("expired"))


def forbid(authorization: str) -> Actor | None:
    raise Forbidden(text("not from there"))


@pytest.mark.parametrize(("function", "expected"), [(refuse, (401, "unauthorized")), (forbid, (403, "forbidden"))])
async def test_a_plugin_may_say_no_for_all(
    function: Callable[..., Any], expected: tuple[int, str], ask: Callable[..., Any]
) -> None:
    assert await ask(SECRET, function, know) == expected


def raise_error(authorization: str) -> Actor | None:
    raise ValueError(authorization)


def leave(authorization: str) -> Actor | None:
    raise SystemExit


async def be_cancelled(authorization: str) -> Actor | None:
    raise asyncio.CancelledError


def be_an_operator(authorization: str) -> Actor | None:
    return Actor.command("import")


def be_the_system(authorization: str) -> Actor | None:
    return Actor.system()


def answer_yes(authorization: str) -> Any:
    return True


def answer_by_name(authorization: str) -> Any:
    return {"kind": "user", "permissions": ["customers.read"]}


FAILING = (raise_error, leave, be_cancelled, be_an_operator, be_the_system, answer_yes, answer_by_name)


@pytest.mark.parametrize("function", FAILING)
async def test_a_plugin_that_fails_lets_nobody_in(
    function: Callable[..., Any], ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(7):  # more often than what may be skipped would be called
        assert await ask(SECRET, function, know) == (503, "unavailable")
    assert "resolve_actor" in caplog.text
    assert SECRET not in caplog.text


async def test_a_plugin_that_hangs_lets_nobody_in(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from zhike import hooks

    async def hang(authorization: str) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setitem(hooks.BUDGETS, "resolve", 0.05)  # type: ignore[arg-type]  # a dict for this test
    assert await ask(SECRET, hang, know) == (503, "unavailable")


async def test_a_public_route_asks_nobody(app: Application, anonymous: httpx.AsyncClient) -> None:
    app.services.platform.hooks = hooks_with("resolve_actor", raise_error)
    assert (await anonymous.get("/health/live", headers={"authorization": SECRET})).status_code == 200
