"""Who does something: a token, a user, a command of the operator, or the system itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from zhike.access.roles import ROLES, RULES, Roles, Rule, Scope
from zhike.errors import Forbidden
from zhike.i18n import text

TokenKind = Literal["admin", "service", "collect"]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, as every service and the audit trail see it.

    Args:
        kind: What sort of actor this is.
        id: Id of the token or user; None for commands and the system.
        name: Name for people to read.
        role: Name of the role; empty for commands and the system.
        permissions: What the actor may do.
        user_id: Id of the user who acts, also by a token of theirs, or None.
        teams: Ids of the user's team and of all below it.
        scopes: Of permissions that are not granted for `all` customers, for which they are.
        rules: Field of a customer to whether it is masked or hidden; None for those that are shipped with the role.
        token_kind: The kind of the token, or None.
        origins: Of a token of kind `collect`, the web sites it is for, such as `https://shop.cn`.
        locale: The language a user has chosen, or None.
        zone: The IANA time zone a user has chosen, or None.
        theme: The colours a user has chosen: `light`, `dark`, or `auto` as their device.
    """

    kind: Literal["token", "user", "command", "system"]
    id: int | None
    name: str
    role: str
    permissions: frozenset[str]
    user_id: int | None = None
    teams: frozenset[int] = frozenset()
    scopes: Mapping[str, Scope] = {}
    rules: Mapping[str, Rule] | None = None
    token_kind: TokenKind | None = None
    origins: frozenset[str] = frozenset()
    locale: str | None = None
    zone: str | None = None
    theme: str = "auto"

    @classmethod
    def of_token(cls, token_id: int, name: str, role: str, roles: Roles = ROLES) -> Actor:
        """Return the actor behind an API token with a shipped role; one that nobody knows grants nothing."""
        granted = roles.get(role, frozenset())
        return cls(kind="token", id=token_id, name=name, role=role, permissions=granted, rules=RULES.get(role))

    @classmethod
    def command(cls, name: str) -> Actor:
        """Return the operator who runs the command `name`: whoever may run it may do everything."""
        return cls(kind="command", id=None, name=name, role="", permissions=ROLES["admin"])

    @classmethod
    def system(cls) -> Actor:
        """Return the system itself, which saved rules and background work run as."""
        return cls(kind="system", id=None, name="system", role="", permissions=ROLES["admin"])

    @property
    def unbound(self) -> bool:
        """Whether this is an operator's command or the system, which nothing is kept from."""
        return self.kind in {"command", "system"}

    @property
    def collects(self) -> bool:
        """Whether this is a token that stands in web pages for everybody to read; see `zhike.access.collect`."""
        return self.token_kind == "collect"  # noqa: S105  # not a password

    @property
    def origin(self) -> str:
        """The actor as stored with events and audit rows: `token:7`, `user:3`, `command:import`, `system`."""
        if self.kind == "system":
            return "system"
        return f"{self.kind}:{self.name if self.id is None else self.id}"

    def scope(self, permission: str) -> Scope | None:
        """Return for which customers the actor holds `permission`; None without it."""
        # An operator and the system may do what plugins add as well.
        if self.unbound:
            return "all"
        return self.scopes.get(permission, "all") if permission in self.permissions else None

    def require(self, permission: str) -> None:
        """Raise `Forbidden` unless the actor holds `permission`."""
        if self.scope(permission) is None:
            raise Forbidden(
                text(
                    "{name} has the role {role}, which does not grant {permission}",
                    name=self.name,
                    role=self.role,
                    permission=permission,
                )
            )
