"""What a route module imports: how a route is declared, what its handler gets, and pages of lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta

from zhike.errors import BadRequest, NotFound, Unauthorized, Unavailable
from zhike.i18n import pick_locale, text

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.access.sessions import Sessions
    from zhike.events.grouping import Collector
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.settings import Settings
    from zhike.ui.rendering import Ui
    from zhike.wire import MediaType

API = "/api/v1"
MAX_LIMIT = 1000
MAX_ID = 2**63 - 1
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
_YEARS = range(1970, 3000)

T = TypeVar("T")
Handler = Callable[..., Awaitable[Any]]


class Public(msgspec.Struct, frozen=True, tag=True):
    """Stands where a permission would, for a route that anybody may call.

    Args:
        reason: Why that is right.
        same_origin: Whether browsers may call it from our own pages only.
    """

    reason: str
    same_origin: bool = False


class Personal(msgspec.Struct, frozen=True, tag=True):
    """Stands where a permission would, for a route by which those who have logged in look after their own login.

    Args:
        reason: Why it needs no permission.
    """

    reason: str


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request comes from, for the routes of logins.

    Args:
        address: The client's address.
        agent: What the client says it is.
        secure: Whether it came over TLS.
        token: The session's token that came along, valid or not.
        session: Id of the session, or None if the route is public.
    """

    address: str
    agent: str
    secure: bool
    token: str | None
    session: int | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list.

    Args:
        items: The entries.
        next: Cursor of the next page, or None on the last.
    """

    items: list[T]
    next: str | None


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of a list.

    Args:
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    limit: Annotated[int, Meta(ge=1)] = 50
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    @property
    def size(self) -> int:
        """The limit that holds."""
        return min(self.limit, MAX_LIMIT)


class Stream(msgspec.Struct, frozen=True):
    """An answer that is sent piece by piece, for what is too large to be held in memory.

    Args:
        pieces: Its bytes.
        media_type: What they are.
        name: The file name it is saved under, of any characters.
        size: Its bytes, or None while nobody knows.
    """

    pieces: AsyncGenerator[bytes, None]
    media_type: str
    name: str
    size: int | None = None


def check_instant(name: str, instant: datetime) -> None:
    """Refuse an instant that is no use to anybody, before the database fails at it.

    Args:
        name: The field it came in; also the code of the error.
        instant: Whatever was sent.

    Raises:
        BadRequest: If it is outside the years 1970 to 2999.
    """
    if instant.year not in _YEARS:
        raise BadRequest(text("{name} must lie in the years 1970 to 2999", name=name), code=name)


class Host(Protocol):
    """What the process that serves a route lends to its handler."""

    @property
    def settings(self) -> Settings:
        """The deployment's settings."""

    @property
    def cursor_key(self) -> bytes:
        """The deployment's secret that signs the cursors of lists."""

    @property
    def db(self) -> Database:
        """The process's connections to the database."""

    @property
    def platform(self) -> Platform:
        """The plugins and all they work with."""

    @property
    def collector(self) -> Collector:
        """Where events go to be stored."""

    @property
    def sessions(self) -> Sessions:
        """The sessions this process has looked up lately."""

    @property
    def ui(self) -> Ui:
        """What pages are drawn with."""


class Call:
    """One request that may be answered: who asks, with what, and where the answer comes from.

    Args:
        actor: Who asks; None on a public route.
        host: The process that serves it.
        path: Values of the path's places, as text.
        accept_language: The header's value, or None.
        browser: Where it comes from; None on all routes but those of logins.

    Attributes:
        body: The request's body; empty unless the route declares one.
        body_type: What the body is written in.
        headers: Further headers of the answer, names in small letters.
        created: Whether the answer tells of what was made, and has the status 201, on a route that declares it.
    """

    __slots__ = ("_accept_language", "_actor", "_browser", "body", "body_type", "created", "headers", "host", "path")

    def __init__(
        self,
        *,
        actor: Actor | None,
        host: Host,
        path: Mapping[str, str],
        accept_language: str | None,
        browser: Browser | None = None,
    ) -> None:
        self._actor = actor
        self._accept_language = accept_language
        self._browser = browser
        self.host = host
        self.path = path
        self.body = b""
        self.body_type: MediaType = "json"
        self.headers: list[tuple[bytes, bytes]] = []
        self.created = False

    @property
    def browser(self) -> Browser:
        """Where the request comes from; on routes that are `Personal`, or public for our own pages only."""
        if self._browser is None:
            raise RuntimeError("this route is not one of a login")
        return self._browser

    @property
    def actor(self) -> Actor:
        """Who asks.

        Raises:
            Unauthorized: On a public route, where nobody has said who they are.
        """
        if self._actor is None:
            raise Unauthorized(text("This needs an API token"))
        return self._actor

    @property
    def db(self) -> Database:
        """The process's connections to the database; raises `Unavailable` while there are none."""
        return self.host.db

    @property
    def settings(self) -> Settings:
        """The deployment's settings."""
        return self.host.settings

    @property
    def locale(self) -> str:
        """The reader's language: the one they have chosen, else the one their browser prefers."""
        if self._actor is not None and self._actor.locale is not None:
            return self._actor.locale
        try:
            default = self.host.platform.config.locale
        except Unavailable:  # which is to be said in some language, too
            default = self.settings.locale
        return pick_locale(self._accept_language, default)

    def id(self, name: str) -> int:
        """Return the path's place `name` as an id.

        Raises:
            NotFound: If it is no whole number from 1 to 2**63 - 1, so that nothing can have it.
        """
        value = self.path[name]
        if not (value.isascii() and value.isdigit() and len(value) <= 19 and 0 < int(value) <= MAX_ID):
            raise NotFound(text("There is nothing with the id {id}", id=value))
        return int(value)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A declared route: what serves it, who may call it, and all that the OpenAPI document says about it.

    Args:
        method: HTTP method.
        path: Path with places in braces, such as `/customers/{customer_id}`; `/api/v1` comes before it.
        handler: Called with the `Call`, and with the query when `query` is given; returns what is sent back.
        permission: The permission the caller needs.
        collects: Whether tokens of kind `collect` may call it too; it sees to what they may do there.
        summary: One line for the description of the API.
        answer: Type of what `handler` returns; of a `Stream`, the type that its pieces make up.
        query: Struct of the query parameters, or None when there are none.
        body: Type of the request's body, for its description; None when the route reads none. A DELETE may come
            without it.
        places: What to say of places of the path, if it is more than "The customer's id" of `customer_id`.
        statuses: Statuses besides those that every route of this shape can answer with; 201 for what may be made.
        status: Status of the answer.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, Meta(pattern=r"\A(/([\w.~-]+|\{[^\W\d]\w*\}))+\Z")]
    handler: Handler
    permission: str | Public | Personal
    collects: bool = False
    summary: str
    answer: Any
    query: type[msgspec.Struct] | None = None
    body: Any = None
    places: Mapping[str, str] = {}
    statuses: tuple[int, ...] = ()
    status: int = 200
