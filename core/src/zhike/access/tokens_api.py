"""Routes that manage API tokens."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import msgspec

from zhike import wire
from zhike.access import tokens
from zhike.access.actor import TokenKind
from zhike.access.paging import page, start
from zhike.access.roles import ADMIN_TOKENS
from zhike.access.tokens import Token
from zhike.api import Call, Id, Page, PageQuery, Route, check_instant


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /tokens` takes.

    Args:
        name: Name for people to read.
        role: What it may do at most.
        kind: `admin` acts with all of it, `service` without permissions over access, `collect` only records events.
        user_id: Id of the user it acts for, with what both roles grant; null for nobody.
        origins: The web sites that a token of kind `collect` is for, such as `https://shop.cn`.
        expires_at: From when it is refused; null for never.
    """

    name: str
    role: str
    kind: TokenKind = "service"
    user_id: Id | None = None
    origins: tuple[str, ...] = ()
    expires_at: datetime | None = None


class MadeToken(msgspec.Struct, frozen=True):
    """A new token.

    Args:
        token: What is known of it.
        secret: What is sent as `Authorization: Bearer …`; it is shown only now.
    """

    token: Token
    secret: str


class Revoked(msgspec.Struct, frozen=True):
    """A token that was revoked.

    Args:
        id: Its id.
    """

    id: int


async def list_tokens(call: Call, query: PageQuery) -> Page[Token]:
    """List tokens without their secrets, revoked ones too."""
    found = await tokens.list_(call.db, call.actor, after=start(call, query, "tokens", 0), limit=query.size + 1)
    return page(call, query, found, "tokens")


async def create_token(call: Call) -> MadeToken:
    """Make a token; its secret is shown this once."""
    new, platform = wire.decode(call.body, call.body_type, NewToken), call.host.platform
    if new.expires_at is not None:
        check_instant("expires_at", new.expires_at)
    arguments = msgspec.structs.asdict(new)
    made = await tokens.create(call.db, call.actor, hooks=platform.hooks, directory=platform.directory, **arguments)
    return MadeToken(*made)


async def revoke_token(call: Call) -> Revoked:
    """Revoke a token; all processes refuse it at the latest five seconds later."""
    token_id = call.id("token_id")
    await tokens.revoke(call.db, call.actor, token_id)
    call.host.platform.directory.forget()
    return Revoked(token_id)


_tokens = partial(Route, permission=ADMIN_TOKENS, path="/tokens")

ROUTES = (
    _tokens(method="GET", query=PageQuery, handler=list_tokens, summary="API tokens", answer=Page[Token]),
    _tokens(method="POST", handler=create_token, summary="Make a token", body=NewToken, answer=MadeToken),
    _tokens(
        method="DELETE",
        path="/tokens/{token_id}",
        handler=revoke_token,
        summary="Revoke a token",
        answer=Revoked,
    ),
)
