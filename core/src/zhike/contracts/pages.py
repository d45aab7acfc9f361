"""What a plugin adds to the web UI: pages, entries of the navigation, panels, columns, bulk actions and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.api import Personal, Public
from zhike.contracts._names import Label, Name

Path = Annotated[str, Meta(pattern=r"\A/([\w.~-]+|\{[^\W\d]\w*\})?(/([\w.~-]+|\{[^\W\d]\w*\}))*\Z")]
Place = Literal["customer.header", "customer.main", "customer.side", "home.main", "home.side"]
"""Where panels stand: on the customer's page and on the home page, in the wide and in the narrow column; those of
`customer.header` are a line without a heading below the customer's name."""


class PageRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A page, a part of one, or what a form of one is sent to.

    Args:
        method: GET for what is only looked at, POST for what changes something.
        path: With places in braces, such as `/tagging/groups/{group_id}`.
        handler: Called with a `zhike.ui.PageCall`, and with the query when `query` is given; returns `zhike.ui.Html`,
            `zhike.ui.Redirect`, a `zhike.api.Stream`, or what is sent as JSON to a widget.
        permission: The permission the reader needs.
        query: Struct of the query parameters; those that do not fit are an error page.
        upload: Whether a file may come with the form, which the handler finds in `call.uploaded`; elsewhere it is
            refused.
    """

    method: Literal["GET", "POST"] = "GET"
    path: Path
    handler: Callable[..., Awaitable[Any]]
    permission: str | Public | Personal
    query: type[msgspec.Struct] | None = None
    upload: bool = False


class NavItem(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the navigation, and of the command palette; shown to whoever may open it.

    Args:
        key: Its name, which begins with the plugin's.
        label: Name for people.
        icon: Name of one of Tabler's icons, such as `tags`.
        path: What it opens.
        permission: What the reader needs to see it; None for everybody who has logged in.
        group: The part of the navigation it stands in.
        order: Its place there; smaller ones come first.
        under: What the navigation says once for all entries of a group that have it; they are each other's tabs.
    """

    key: Name
    label: Label
    icon: str
    path: str
    permission: str | None = None
    group: Literal["work", "customers", "automation", "insight", "data", "settings"] = "work"
    order: int = 100
    under: Label = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """A card on the customer's page or the home page; each is loaded by itself, so that none holds up another.

    Args:
        key: Its name, which begins with the plugin's.
        label: Its heading.
        load: Called with the `zhike.ui.PageCall`, and on the customer's page with the customer's id; returns the
            names that the template is given. Whether the reader sees the customer is checked before.
        template: What draws it.
        permission: What the reader needs to see it.
        place: Where it stands.
        order: Its place there; smaller ones come first.
        whole: Whether it is only for readers who have the permission for all customers.
    """

    key: Name
    label: Label
    load: Callable[..., Awaitable[Any]]
    template: str
    permission: str
    place: Place = "customer.side"
    order: int = 100
    whole: bool = False


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the list of customers that the reader may add.

    Args:
        key: Its name, which begins with the plugin's.
        label: Its heading.
        relation: A table or view with the columns `customer_id` and `value`; all rows of a customer are shown. Of
            kind `tags`, it has `colour` too.
        kind: How a value is drawn.
        permission: What the reader needs to see it.
    """

    key: Name
    label: Label
    relation: Annotated[str, Meta(pattern=r"\A[a-z_][a-z0-9_]{0,62}\Z")]
    kind: Literal["text", "number", "instant", "tags"] = "text"
    permission: str


class BulkAction(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to many customers at once, in the background.

    Args:
        key: Its name, which begins with the plugin's.
        label: What the button says.
        icon: Name of one of Tabler's icons.
        permission: What the actor needs, for each of the customers.
        run: Called with the unit of work, the actor, up to 500 ids and the options; returns how many it changed.
        form: Struct of the options, which are asked for before; None when there are none.
        confirm: What will happen, shown before; `{n}` is the number of customers.
    """

    key: Name
    label: Label
    icon: str
    permission: str
    run: Callable[..., Awaitable[int]]
    form: type[msgspec.Struct] | None = None
    confirm: Label = ""


class Choosable(msgspec.Struct, frozen=True, kw_only=True):
    """One of those that a picker offers.

    Args:
        value: What the form is sent.
        label: Its name for people.
        hint: What tells it from others of that name.
    """

    value: str | int
    label: Label
    hint: Label = ""


class Picker(msgspec.Struct, frozen=True, kw_only=True):
    """What a form's field can be chosen from while one types.

    Args:
        key: A noun of the plugin's, such as `tag`; a field says `asked("Tag", kind="tag")`.
        find: Called with the `zhike.ui.PageCall`, what was typed, and how many are wanted at most; returns `Choosable`s
            that the reader may see. Values that a form holds already are asked for as `=value`.
        permission: What the reader needs; None for everybody who has logged in.
    """

    key: Name
    find: Callable[..., Awaitable[Any]]
    permission: str | None = None


class SettingsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that can be changed while Zhike runs.

    Args:
        key: The plugin's name, or begins with it.
        label: Name for people.
        struct: The settings, each with a default; what `zhike.ui.asked` says of a field stands beside it.
        permission: What one needs to see and change them.
    """

    key: Name
    label: Label
    struct: type[msgspec.Struct]
    permission: str


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that rules and automations can do to customers.

    Args:
        key: Its name, which begins with the plugin's, such as `tagging.add`.
        label: What it does.
        icon: Name of one of Tabler's icons.
        params: Struct of what it is told.
        run: Called with the unit of work, the customers' ids and the params.
    """

    key: Name
    label: Label
    icon: str
    params: type[msgspec.Struct]
    run: Callable[..., Awaitable[None]]


class DemoData(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin adds to the sample company.

    Args:
        key: Its name, which begins with the plugin's.
        make: Called with a `zhike.contracts.DemoContext` once the company's customers and events are there.
        order: Its turn; smaller ones come first.
    """

    key: Name
    make: Callable[..., Awaitable[None]]
    order: int = 100
