"""Saved views of a list: those offered above it, saving one, removing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.desk import views
from zhike.errors import BadRequest, Conflict
from zhike.i18n import text
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, decode
from zhike.ui.tables import TableView

PATHS = {"customers": "/customers", "tasks": "/tasks", "events": "/events"}
"""Key of a page with views to its path."""


class ViewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog that saves a view; the page's own parameters come along.

    Args:
        page: Key of the page.
    """

    page: Annotated[str, Meta(max_length=100)]


class NewView(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for to save a view.

    Args:
        name: Its name.
        shared: Who sees it.
        is_default: Whether the page opens with it.
    """

    name: Annotated[
        str, asked("What it is called", placeholder="Key customers of my team", min_length=1, max_length=100)
    ]
    shared: Annotated[
        Literal["me", "team", "all"],
        asked("Who sees it", options={"me": "Only me", "team": "My team", "all": "Everybody"}),
    ] = "me"


async def offered(call: PageCall, page: str, path: str, parameters: Mapping[str, Any]) -> list[TableView]:
    """Return the views of a page for its table.

    Args:
        call: Who reads.
        page: Key of the page.
        path: Its address.
        parameters: What it shows now.
    """
    if call.user_id is None:
        return []
    from urllib.parse import urlencode

    saved = await views.list_(call.db, call.actor, page)
    if not saved:
        return []
    everything = TableView(label=text("All"), path=path, active=not parameters)
    return [
        everything,
        *(
            TableView(
                label=view.name,
                path=f"{path}?{urlencode(view.query, doseq=True)}",
                active=dict(parameters) == view.query,
                remove=f"/views/{view.id}/remove" if view.own else "",
            )
            for view in saved
        ),
    ]


async def ask(call: PageCall, query: ViewQuery) -> Html:
    """Ask for a view's name."""
    return await _dialog(call, query.page, call.address.partition("?")[2], Form(NewView))


async def save(call: PageCall) -> Html | Redirect:
    """Save a view and show it."""
    from urllib.parse import parse_qs

    page, address = call.field("page"), call.field("address")[:60_000]
    try:
        wanted = decode(NewView, call.form)
        query: dict[str, Any] = {
            name: values if name == "columns" else values[-1]
            for name, values in parse_qs(address).items()
            if name not in {"page", "cursor"}
        }
        given = views.NewView(page=page, name=wanted.name, query=query, shared=wanted.shared)
        await views.create(call.db, call.actor, msgspec.convert(msgspec.to_builtins(given), views.NewView))
    except msgspec.ValidationError as error:  # a hidden field that no page of ours sends
        raise BadRequest(text("This view does not fit its page.")) from error
    except FormError as error:
        return await _dialog(call, page, address, error.form, status=422)
    except Conflict as error:
        typed = {name: call.field(name) for name in NewView.__struct_fields__}
        return await _dialog(call, page, address, Form(NewView, typed, {"name": error.message}), status=409)
    from urllib.parse import urlencode

    shown = f"?{urlencode(query, doseq=True)}" if query else ""
    return call.redirect(PATHS.get(page, "/") + shown, toast=text("The view {name} is saved", name=wanted.name))


async def ask_removal(call: PageCall) -> Html:
    """Ask whether a view is to go."""
    view = await views.get(call.db, call.actor, call.id("view_id"))
    return await call.render("customers/view_remove.html", view=view)


async def remove(call: PageCall) -> Redirect:
    """Remove a view."""
    view = await views.get(call.db, call.actor, call.id("view_id"))
    await views.delete(call.db, call.actor, view.id)
    return call.redirect(PATHS.get(view.page, "/"), toast=text("The view {name} is removed", name=view.name))


async def _dialog(call: PageCall, page: str, address: str, form: Form, status: int = 200) -> Html:
    return await call.render("customers/view_new.html", status=status, page=page, address=address, form=form)
