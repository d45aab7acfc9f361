"""API tokens: the list, a new one whose secret is shown once, and revoking."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from zhike import clock
from zhike.access import tokens
from zhike.access.actor import TokenKind
from zhike.access.paging import page, start
from zhike.access.tokens import Token
from zhike.api import Id, PageQuery
from zhike.errors import NotFound
from zhike.i18n import Text, text
from zhike.pages.people import choices
from zhike.ui import Form, Html, PageCall, Redirect, asked, submit
from zhike.ui.tables import Table, TableColumn

_KINDS: dict[str, Text] = {"service": text("Program"), "collect": text("Web pages"), "admin": text("Administration")}


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        name: Name for people.
        kind: What it is for.
        role: What it may do at most.
        user_id: The user it acts for.
        expires: After how many days it is refused.
        origins: The web sites it is for.
    """

    name: Annotated[
        str,
        asked(
            "What it is called", help="Who or what will use it", placeholder="Online shop", min_length=1, max_length=200
        ),
    ]
    kind: Annotated[
        TokenKind,
        asked(
            "What it is for",
            help="Programs never get permissions over users and roles; web pages may only record what visitors do",
            options={"service": "Program", "collect": "Web pages", "admin": "Administration"},
        ),
    ] = "service"
    role: Annotated[str, asked("Role", help="What it may do at most", kind="select", max_length=50)]
    user_id: Annotated[
        Id | None,
        asked(
            "Acts for",
            help="With what both roles grant, for this user's customers; empty for nobody",
            kind="user",
        ),
    ] = None
    expires: Annotated[
        Literal["30", "90", "365", "never"],
        asked("Ends after", options={"30": "30 days", "90": "90 days", "365": "A year", "never": "Never"}),
    ] = "90"
    origins: Annotated[
        str,
        asked(
            "Web sites",
            help="For web pages only: one address in a line, such as https://shop.cn",
            kind="textarea",
            max_length=5000,
        ),
    ] = ""


async def show(call: PageCall, query: PageQuery) -> Html:
    """List tokens, without their secrets."""
    found = await tokens.list_(call.db, call.actor, after=start(call, query, "tokens", 0), limit=query.size + 1)
    shown = page(call, query, found, "tokens")
    names = {role.name: choices.role_label(role) for role in await choices.all_roles(call)}
    table = Table(
        id="tokens",
        path="/tokens",
        columns=_COLUMNS,
        rows=[_row(token, names) for token in shown.items],
        newer="" if query.cursor else None,
        older=shown.next,
        empty={
            "icon": "key",
            "title": text("No token yet"),
            "text": text("Programs and web pages send data with a token, so that nobody's password is needed."),
            "label": text("New token"),
            "path": "/tokens/new",
        },
    )
    return await call.render("people/tokens.html", fragment="list", table=table)


async def make(call: PageCall) -> Html | Redirect:
    """Ask for a new token, make it, and show its secret this once."""
    platform = call.host.platform

    async def save(typed: TokenForm) -> Html:
        expires_at = None if typed.expires == "never" else clock.now() + timedelta(days=int(typed.expires))
        token, secret = await tokens.create(
            call.db,
            call.actor,
            typed.name,
            typed.role,
            kind=typed.kind,
            user_id=typed.user_id,
            origins=tuple(typed.origins.split()),
            expires_at=expires_at,
            hooks=platform.hooks,
            directory=platform.directory,
        )
        role = next(choices.role_label(each) for each in await choices.all_roles(call) if each.name == token.role)
        return await call.render("people/token_made.html", fragment="made", token=token, role=role, secret_text=secret)

    return await submit(call, TokenForm, save, partial(_form, call))


async def ask_revoke(call: PageCall) -> Html:
    """Say what revoking a token does."""
    token_id = call.id("token_id")
    found = await tokens.list_(call.db, call.actor, after=token_id - 1, limit=1)
    if not found or found[0].id != token_id:
        raise NotFound(text("There is no valid token {id}", id=token_id))
    return await call.render("people/token_revoke.html", token=found[0])


async def revoke(call: PageCall) -> Redirect:
    """Revoke a token: programs that use it are refused from now on."""
    await tokens.revoke(call.db, call.actor, call.id("token_id"))
    call.host.platform.directory.forget()
    return call.redirect("/tokens", toast=text("The token is revoked"))


_COLUMNS = (
    TableColumn(key="name", label=text("What it is called")),
    TableColumn(key="kind", label=text("For")),
    TableColumn(key="role", label=text("Role")),
    TableColumn(key="user", label=text("Acts for"), kind="user"),
    TableColumn(key="created_at", label=text("Made"), kind="day"),
    TableColumn(key="expires_at", label=text("Ends"), kind="custom"),
    TableColumn(key="state", label=text("State"), kind="badge"),
    TableColumn(key="revoke", label="", kind="custom"),
)


def _row(token: Token, names: dict[str, Text | str]) -> dict[str, Any]:
    over = token.expires_at is not None and token.expires_at <= clock.now()
    state: dict[str, Any] = {"label": text("Valid"), "color": "green"}
    if over:
        state = {"label": text("Expired"), "color": "yellow"}
    if token.revoked_at is not None:
        state = {"label": text("Revoked"), "color": "gray"}
    return {
        "id": token.id,
        "path": "",
        "name": token.name,
        "kind": _KINDS[token.kind],
        "role": names.get(token.role, token.role),
        "user": token.user_id,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "state": state,
        "revoke": token.revoked_at is None and not over,
    }


async def _form(call: PageCall, form: Form) -> Html:
    roles = choices.givable(call, await choices.all_roles(call), kind="service")
    choices.offering(form, role=roles)
    return await call.render("people/token_new.html", fragment="form", status=form.status, form=form)
