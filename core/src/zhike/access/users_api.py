"""Routes that manage users."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from zhike import wire
from zhike.access import new_users, user_changes, users
from zhike.access.paging import page, start
from zhike.access.roles import ADMIN_USERS
from zhike.access.schemas import NewUser, User, UserChange
from zhike.api import Call, Page, PageQuery, Route
from zhike.config.groups import Security


async def list_users(call: Call, query: PageQuery) -> Page[User]:
    """List the users whom the caller manages, disabled ones too."""
    found = await users.list_(call.db, call.actor, after=start(call, query, "users", 0), limit=query.size + 1)
    return page(call, query, found, "users")


async def create_user(call: Call) -> User:
    """Make a user; the role grants nothing that the caller does not hold."""
    new = wire.decode(call.body, call.body_type, NewUser)
    return await new_users.create(call.db, call.actor, **_here(call), **msgspec.structs.asdict(new))


async def change_user(call: Call) -> User:
    """Change a user, disable one or set a new password; what is left out of the body stays as it is."""
    user_id, change = call.id("user_id"), wire.decode(call.body, call.body_type, UserChange)
    return await user_changes.change(call.db, call.actor, user_id, change, **_here(call))


def _here(call: Call) -> dict[str, Any]:
    """Return what this process knows of roles, and asks of passwords."""
    platform = call.host.platform
    return {"directory": platform.directory, "least": platform.config.get(Security).password_length}


_route = partial(Route, permission=ADMIN_USERS)
_write = partial(_route, answer=User, statuses=(409, 429))

ROUTES = (
    _route(method="GET", query=PageQuery, path="/users", handler=list_users, summary="Users", answer=Page[User]),
    _write(method="POST", path="/users", handler=create_user, summary="Make a user", body=NewUser),
    _write(method="PATCH", path="/users/{user_id}", handler=change_user, summary="Change a user", body=UserChange),
)
