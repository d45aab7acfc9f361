"""Knows what roles grant: those that come with Zhike, and the installation's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from zhike.access import grants
from zhike.access.grants import Grants
from zhike.access.roles import Roles
from zhike.errors import BadRequest
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Connection


class RoleBook:
    """What roles grant at the moment.

    Args:
        roles: What each shipped role grants here, with what plugins add.
        whole: Permissions that are granted for all customers or not at all.
    """

    def __init__(self, roles: Roles, whole: Collection[str] = ()) -> None:
        self._shipped = grants.of_shipped(roles)
        self._granted_whole = {key: key in whole for key in self._shipped["admin"].scopes}

    @property
    def permissions(self) -> frozenset[str]:
        """All permissions there are."""
        return frozenset(self._granted_whole)

    @property
    def whole(self) -> frozenset[str]:
        """Those that are granted for all customers or not at all."""
        return frozenset(key for key, whole in self._granted_whole.items() if whole)

    async def grants(
        self, connection: Connection, names: Iterable[str], *, archived: bool = False
    ) -> dict[str, Grants]:
        """Return what roles grant; those that are not there are left out.

        Args:
            connection: To the database.
            names: Shipped roles and others.
            archived: Whether also what those granted that are archived.
        """
        wanted = set(names)
        shipped = {name: self._shipped[name] for name in wanted & self._shipped.keys()}
        own = wanted - shipped.keys()
        return shipped | (await grants.load(connection, own, self._granted_whole, archived=archived) if own else {})

    async def role(self, connection: Connection, name: str) -> Grants:
        """Return what a role grants that is about to be given to somebody.

        Raises:
            BadRequest: If there is none, or it is archived.
        """
        found = None if "\0" in name else (await self.grants(connection, [name])).get(name)
        if found is None:
            raise BadRequest(text("There is no role {role!r}", role=name), code="role")
        return found
