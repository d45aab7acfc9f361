"""Routes that manage roles, and list what they may grant."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access import own_roles
from zhike.access.own_roles import NewRole, Role, RoleChange
from zhike.access.paging import page, start
from zhike.access.roles import ADMIN_ROLES
from zhike.api import Call, Page, PageQuery, Route


class PermissionItem(msgspec.Struct, frozen=True):
    """Something a role may grant.

    Args:
        key: Such as `customers.read`.
        label: Name for people.
        plugin: Who registered it.
    """

    key: str
    label: str
    plugin: str


class PermissionsAnswer(msgspec.Struct, frozen=True):
    """All that roles may grant.

    Args:
        items: The permissions.
    """

    items: list[PermissionItem]


async def list_roles(call: Call, query: PageQuery) -> Page[Role]:
    """List roles with what they grant, for which customers, and what they do not see."""
    first = start(call, query, "roles", "")
    found = await own_roles.list_(call.db, call.host.platform.directory, after=first, limit=query.size + 1)
    return page(call, query, found, "roles", "name")


async def create_role(call: Call) -> Role:
    """Make a role; it grants nothing that the caller does not hold for all customers."""
    new = wire.decode(call.body, call.body_type, NewRole)
    return await own_roles.create(call.db, call.actor, new, call.host.platform.directory)


async def change_role(call: Call) -> Role:
    """Change or archive a role that does not come with Zhike."""
    change = wire.decode(call.body, call.body_type, RoleChange)
    return await own_roles.change(call.db, call.actor, call.path["role"], change, call.host.platform.directory)


async def list_permissions(call: Call) -> PermissionsAnswer:
    """List all that roles may grant."""
    registry, locale = call.host.platform.registry, call.locale
    items = []
    for key, permission in registry.permissions.items():
        label = permission.label if isinstance(permission.label, str) else permission.label.render(locale)
        items.append(PermissionItem(key, label, registry.owner("permissions", key) or ""))
    return PermissionsAnswer(items)


_route = partial(Route, permission=ADMIN_ROLES)
_write = partial(_route, answer=Role, statuses=(409,))

ROUTES = (
    _route(method="GET", query=PageQuery, path="/roles", handler=list_roles, summary="Roles", answer=Page[Role]),
    _write(method="POST", path="/roles", handler=create_role, summary="Make a role", body=NewRole),
    _write(
        method="PATCH",
        path="/roles/{role}",
        handler=change_role,
        summary="Change a role",
        body=RoleChange,
        places={"role": "The role's name"},
    ),
    _route(
        method="GET",
        path="/permissions",
        handler=list_permissions,
        summary="What roles may grant",
        answer=PermissionsAnswer,
    ),
)
