"""Saved views: lists as somebody wants to see them again, kept for themselves or shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike import clock, wire
from zhike.access import audit
from zhike.access.roles import DESK_SHARE
from zhike.errors import Conflict, Forbidden, NotFound
from zhike.events.properties import BadProperties, from_json
from zhike.i18n import text
from zhike.wire import Fault

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Connection, Database

Shared = Literal["me", "team", "all"]
MOST = 200
"""Views of one user."""
_MAX_QUERY = 64 * 1024
_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Page = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_.]{0,99}\Z")]
_COLUMNS = "v.id, v.user_id, v.page, v.name, v.query::text, v.shared, v.is_default, v.version, v.updated_at"
# A view shared with a team is for the users of the owner's team and of all teams below it.
_SEEN = """(v.user_id = $1 OR v.shared = 'all' OR (v.shared = 'team' AND EXISTS (
  WITH RECURSIVE above AS (
    SELECT t.id, t.parent_id FROM team AS t JOIN app_user AS me ON me.id = $1 AND t.id = me.team_id
    UNION SELECT t.id, t.parent_id FROM team AS t JOIN above ON t.id = above.parent_id
  ) SELECT FROM above JOIN app_user AS u ON u.id = v.user_id AND u.team_id = above.id
)))"""
_LIST = f"""
SELECT {_COLUMNS} FROM saved_view AS v JOIN app_user AS u ON u.id = v.user_id
WHERE v.page = $2 AND {_SEEN} ORDER BY v.user_id <> $1, v.name, v.id LIMIT 500
"""
_FIND = f"SELECT {_COLUMNS} FROM saved_view AS v WHERE v.id = $2 AND {_SEEN}"
_INSERT = """
INSERT INTO saved_view (user_id, page, name, query, shared, is_default, created_at, updated_at)
SELECT $1, $2, $3, $4::jsonb, $5, $6, $7, $7 WHERE (SELECT count(*) FROM saved_view WHERE user_id = $1) < $8
RETURNING id
"""
_UPDATE = """
UPDATE saved_view SET name = $2, query = $3::jsonb, shared = $4, is_default = $5, version = version + 1,
  updated_at = $6
WHERE id = $1
"""
# Whoever changes views of a user waits for others who do, as two defaults would be one too many.
_LOCK = "SELECT FROM app_user WHERE id = $1 FOR NO KEY UPDATE"
_NO_OTHER = "UPDATE saved_view SET is_default = false WHERE user_id = $1 AND page = $2 AND is_default AND id <> $3"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view.

    Args:
        id: Its id.
        page: Key of the page it is a view of, such as `customers`.
        name: Name for people.
        query: What the page shows: its parameters, as the page understands them.
        shared: Who sees it: `me`, my `team` and those below it, or `all`.
        is_default: Whether the page opens with it, for its owner.
        own: Whether it is the reader's.
        user_id: The owner.
        version: Counts its changes.
        updated_at: When it was changed last.
    """

    id: int
    page: str
    name: str
    query: dict[str, Any]
    shared: Shared
    is_default: bool
    own: bool
    user_id: int
    version: int
    updated_at: datetime


class NewView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view that is to be saved.

    Args:
        page: Key of the page, such as `customers`.
        name: Name for people; each only once on a page.
        query: The page's parameters.
        shared: Who sees it.
        is_default: Whether the page opens with it, in place of another one.
    """

    page: _Page
    name: _Name
    query: dict[str, Any]
    shared: Shared = "me"
    is_default: bool = False


class ViewChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a view; what is left out stays as it is.

    Args:
        name: See `NewView`.
        query: See `NewView`.
        shared: See `NewView`.
        is_default: See `NewView`.
        version: The version that was read; if it is at another one by now, nothing is changed (409).
    """

    name: _Name | UnsetType = UNSET
    query: dict[str, Any] | UnsetType = UNSET
    shared: Shared | UnsetType = UNSET
    is_default: bool | UnsetType = UNSET
    version: int


async def list_(db: Database, actor: Actor, page: str) -> list[View]:
    """Return the views of a page that a user sees, their own first."""
    async with db.connection() as connection:
        rows = await connection.fetch(_LIST, _user(actor), page)
    return [_view(row, actor) for row in rows]


async def get(db: Database, actor: Actor, view_id: int) -> View:
    """Return a view.

    Raises:
        NotFound: If there is none, or the user does not see it.
    """
    async with db.connection() as connection:
        return await _find(connection, actor, view_id)


async def create(db: Database, actor: Actor, new: NewView) -> View:
    """Save a view.

    Raises:
        BadRequest: If it cannot be stored.
        Forbidden: If it is shared with all, and the actor may not do that.
        Conflict: If the user has one of that name on the page, or too many.
    """
    _check_share(actor, new.shared)
    query, name, user_id = _stored(new.query), _name(new.name), _user(actor)
    async with db.transaction() as connection:
        await connection.execute(_LOCK, user_id)
        if new.is_default:
            await connection.execute(_NO_OTHER, user_id, new.page, 0)
        with _once():
            args = (user_id, new.page, name, query, new.shared, new.is_default, clock.now(), MOST)
            view_id = await connection.fetchval(_INSERT, *args)
        if view_id is None:
            raise Conflict(text("You have {n} saved views already; delete some", n=MOST), code="too_many")
        await audit.record(connection, actor, "view.create", f"view:{view_id}", {"shared": new.shared})
        return await _find(connection, actor, view_id)


async def change(db: Database, actor: Actor, view_id: int, change: ViewChange) -> View:
    """Change one of one's own views.

    Raises:
        NotFound: If the user has no such view.
        Conflict: If it is at another version, with the code `version`, or the name is taken.
        BadRequest: As for `create`.
        Forbidden: As for `create`.
    """
    said = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    said.pop("version")
    async with db.transaction() as connection:
        await connection.execute(_LOCK, _user(actor))
        before = await _own(connection, actor, view_id)
        if before.version != change.version:
            told = text("Somebody has changed the view since; it is at version {version}", version=before.version)
            raise Conflict(told, code="version")
        after = msgspec.structs.replace(before, **said)
        if after.shared != before.shared:
            _check_share(actor, after.shared)
        if after.is_default:
            await connection.execute(_NO_OTHER, before.user_id, before.page, view_id)
        with _once():
            args = (_name(after.name), _stored(after.query), after.shared, after.is_default, clock.now())
            await connection.execute(_UPDATE, view_id, *args)
        await audit.record(connection, actor, "view.change", f"view:{view_id}", {"fields": sorted(said)})
        return await _find(connection, actor, view_id)


async def delete(db: Database, actor: Actor, view_id: int) -> None:
    """Delete one of one's own views; whoever may share with all deletes also what is shared with all.

    Raises:
        NotFound: If there is none.
    """
    async with db.transaction() as connection:
        await _own(connection, actor, view_id, others=True)
        await connection.execute("DELETE FROM saved_view WHERE id = $1", view_id)
        await audit.record(connection, actor, "view.delete", f"view:{view_id}", {})


async def _find(connection: Connection, actor: Actor, view_id: int) -> View:
    row = await connection.fetchrow(_FIND, _user(actor), view_id)
    if row is None:
        raise NotFound(text("There is no saved view {id}", id=view_id))
    return _view(row, actor)


async def _own(connection: Connection, actor: Actor, view_id: int, *, others: bool = False) -> View:
    await connection.execute("SELECT FROM saved_view WHERE id = $1 FOR UPDATE", view_id)
    found = await _find(connection, actor, view_id)
    if not found.own and not (others and found.shared == "all" and actor.scope(DESK_SHARE)):
        raise NotFound(text("There is no saved view {id}", id=view_id))
    return found


def _view(row: Record, actor: Actor) -> View:
    own = row["user_id"] == actor.user_id
    query = msgspec.json.decode(row["query"])
    return View(**{**row, "query": query, "own": own, "is_default": own and row["is_default"]})


def _user(actor: Actor) -> int:
    """Return whose views they are; a token that acts for nobody has none."""
    if actor.user_id is None:
        raise Forbidden(text("This is for users; the token acts for none"))
    return actor.user_id


def _check_share(actor: Actor, shared: Shared) -> None:
    if shared == "all":
        actor.require(DESK_SHARE)


def _name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise wire.refuse(Fault("name", text("expected characters that can be seen")))
    return name.strip()


def _stored(query: Mapping[str, Any]) -> str:
    try:
        return from_json(msgspec.Raw(wire.encode(query, "json")), _MAX_QUERY)
    except BadProperties as error:
        raise wire.refuse(Fault("query", error.message)) from None


@contextmanager
def _once() -> Iterator[None]:
    """Tell people of a name that is taken."""
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise Conflict(text("You have a view of this name already"), code="name") from None
