"""Who does something: a token, a user, a command of the operator, or the system itself."""

from __future__ import annotations

from typing import Literal

import msgspec

from zhike.access.roles import ROLES, Roles
from zhike.errors import Forbidden
from zhike.i18n import text


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, as every service and the audit trail see it.

    Args:
        kind: What sort of actor this is.
        id: Id of the token or user; None for commands and the system.
        name: Name for people to read.
        role: Name of the role, one of `ROLES`; empty for commands and the system.
        permissions: What the actor may do.
    """

    kind: Literal["token", "user", "command", "system"]
    id: int | None
    name: str
    role: str
    permissions: frozenset[str]

    @classmethod
    def of_token(cls, token_id: int, name: str, role: str, roles: Roles = ROLES) -> Actor:
        """Return the actor behind an API token; a role nobody knows grants nothing."""
        return cls(kind="token", id=token_id, name=name, role=role, permissions=roles.get(role, frozenset()))

    @classmethod
    def command(cls, name: str) -> Actor:
        """Return the operator who runs the command `name`: whoever may run it may do everything."""
        return cls(kind="command", id=None, name=name, role="", permissions=ROLES["admin"])

    @classmethod
    def system(cls) -> Actor:
        """Return the system itself, which saved rules and background work run as."""
        return cls(kind="system", id=None, name="system", role="", permissions=ROLES["admin"])

    @property
    def origin(self) -> str:
        """The actor as stored with events and audit rows: `token:7`, `user:3`, `command:import`, `system`."""
        if self.kind == "system":
            return "system"
        return f"{self.kind}:{self.name if self.id is None else self.id}"

    def require(self, permission: str) -> None:
        """Raise `Forbidden` unless the actor holds `permission`."""
        # An operator and the system may do what plugins add as well.
        if permission not in self.permissions and self.kind not in {"command", "system"}:
            raise Forbidden(
                text(
                    "{name} has the role {role}, which does not grant {permission}",
                    name=self.name,
                    role=self.role,
                    permission=permission,
                )
            )
