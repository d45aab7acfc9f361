"""Roles of the installation's own: which permissions they grant, for which customers, and what they do not see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike import clock
from zhike._versions import require_version
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.grants import Grants, require_grantable
from zhike.access.masking import COLUMNS
from zhike.access.roles import ROLES, Rule, Scope
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Connection, Database

Label = Annotated[str, Meta(min_length=1, max_length=200)]
Scopes = Annotated[dict[str, Scope], Meta(max_length=500)]
Rules = Annotated[dict[str, Rule], Meta(max_length=500)]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_FIELD = re.compile(r"(attributes|identities)\.[^\x00]{1,200}")
_ROLES = "SELECT name, label, version, archived_at FROM role WHERE name > $1 ORDER BY name LIMIT $2"
_PERMISSIONS = "INSERT INTO role_permission (role, permission, scope) SELECT $1, * FROM unnest($2::text[], $3::text[])"
_RULES = "INSERT INTO field_rule (role, field, rule) SELECT $1, * FROM unnest($2::text[], $3::text[])"


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role.

    Args:
        name: What users and tokens name it by.
        label: Name for people.
        shipped: Whether it comes with Zhike and cannot be changed.
        permissions: What it grants, and for which customers.
        rules: Fields of customers that it sees masked or not at all.
        version: Goes up with each change.
        archived_at: Since when it grants nothing, or None.
    """

    name: str
    label: str
    shipped: bool
    permissions: Mapping[str, Scope]
    rules: Mapping[str, Rule]
    version: int = 1
    archived_at: datetime | None = None


class NewRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /roles` takes.

    Args:
        name: Small letters, digits, `_` and `-`, at most 50; it stays for ever.
        label: Name for people.
        permissions: What it grants, and for which customers.
        rules: Fields of customers that it sees masked or not at all: `phone`, `attributes.city`,
            `identities.wecom_unionid`.
    """

    name: str
    label: Label
    permissions: Scopes = {}
    rules: Rules = {}


class RoleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way about a role; what is left out stays as it is.

    Args:
        version: That of the role which is changed; if it has another one by now, nothing is changed.
        label: Name for people.
        permissions: All that it grants.
        rules: All its rules.
        archived: Whether it grants nothing any more.
    """

    version: int
    label: Label | UnsetType = UNSET
    permissions: Scopes | UnsetType = UNSET
    rules: Rules | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


async def list_(db: Database, directory: Directory, *, after: str = "", limit: int = 1000) -> list[Role]:
    """Return roles by name, at most `limit` of those after the name `after`."""
    async with db.connection() as connection:
        rows: dict[str, Any] = {row["name"]: row for row in await connection.fetch(_ROLES, after, limit)}
        names = sorted({*rows, *(name for name in ROLES if name > after)})[:limit]
        granted = await directory.grants(connection, names, archived=True)
    return [
        _role(granted[name], **rows.get(name, {"name": name, "label": name}), shipped=name in ROLES) for name in names
    ]


async def create(db: Database, actor: Actor, new: NewRole, directory: Directory) -> Role:
    """Make a role.

    Args:
        db: Where to store it.
        actor: Who makes it; they hold all that it grants, for all customers.
        new: The role.
        directory: The process's.

    Raises:
        BadRequest: If something about it is wrong.
        Conflict: If the name is taken.
        Forbidden: With code `escalation`, if it would grant more than `actor` holds.
    """
    if not _NAME.fullmatch(new.name):
        raise BadRequest(text("The name of a role has small letters, digits, _ and -, at most 50"), code="name")
    granted = Grants(new.permissions, new.rules)
    _check(granted, new.label, directory)
    require_grantable(actor, granted)
    async with db.transaction() as connection:
        made = new.name not in ROLES and await connection.fetchval(
            "INSERT INTO role (name, label) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true", new.name, new.label
        )
        if not made:
            raise Conflict(text("There is a role {role} already", role=new.name))
        await _store(connection, new.name, granted, directory)
        await audit.record(connection, actor, "role.create", f"role:{new.name}", msgspec.structs.asdict(new))
    directory.forget()  # a user may have had a role of that name all along
    return _role(granted, name=new.name, label=new.label)


async def change(db: Database, actor: Actor, name: str, change: RoleChange, directory: Directory) -> Role:
    """Change a role of the installation's own.

    Args:
        db: Where it is.
        actor: Who changes it; they hold all that it grants, before and after.
        name: The role.
        change: What is to be another way.
        directory: Finds everybody anew afterwards.

    Raises:
        BadRequest: If something about the change is wrong.
        Conflict: With code `version`, if somebody has changed it since; with code `shipped`, if it is a shipped one.
        Forbidden: With code `escalation`, if it grants more than `actor` holds.
        NotFound: If there is no such role.
    """
    if name in ROLES:
        raise Conflict(text("The role {role} comes with Zhike and stays as it is", role=name), code="shipped")
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT name, label, version, archived_at FROM role WHERE name = $1 FOR NO KEY UPDATE", name
        )
        if row is None:
            raise NotFound(text("There is no role {role!r}", role=name))
        old = _role((await directory.grants(connection, [name], archived=True))[name], **row)
        require_version(old.version, change.version)
        given = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        if "archived" in given:
            given["archived_at"] = (old.archived_at or clock.now()) if given.pop("archived") else None
        new = msgspec.structs.replace(old, **{**given, "version": old.version + 1})
        granted = Grants(new.permissions, new.rules)
        _check(granted, new.label, directory)
        require_grantable(actor, Grants(old.permissions, old.rules))
        require_grantable(actor, granted)
        await connection.execute(
            "UPDATE role SET label = $2, version = $3, archived_at = $4 WHERE name = $1",
            *(name, new.label, new.version, new.archived_at),
        )
        if {"permissions", "rules"} & given.keys():
            await _store(connection, name, granted, directory)
        await audit.record(connection, actor, "role.change", f"role:{name}", given)
    directory.forget()
    return new


def _role(granted: Grants, **told: Any) -> Role:
    return Role(**{"shipped": False, "permissions": granted.scopes, "rules": granted.rules, **told})


def _check(granted: Grants, label: str, directory: Directory) -> None:
    """Refuse permissions and fields that are none."""
    if not label.isprintable() or label.isspace():
        raise BadRequest(text("The label of a role has 1 to 200 printable characters"), code="label")
    if unknown := sorted(granted.scopes.keys() - directory.permissions):
        raise BadRequest(text("permissions: there is no permission {permission!r}", permission=unknown[0]))
    if partly := sorted(key for key in directory.whole & granted.scopes.keys() if granted.scopes[key] != "all"):
        raise BadRequest(
            text('permissions: {permission} is granted for all customers ("all") or not at all', permission=partly[0])
        )
    for field in granted.rules:
        if field not in COLUMNS and not _FIELD.fullmatch(field):
            raise BadRequest(
                text(
                    "rules: {field!r} is no field; expected one of {columns}, attributes.… or identities.…",
                    field=field,
                    columns=", ".join(sorted(COLUMNS)),
                )
            )


async def _store(connection: Connection, name: str, granted: Grants, directory: Directory) -> None:
    # What plugins that do not run at the moment let the role do stays.
    known = list(directory.permissions)
    await connection.execute("DELETE FROM role_permission WHERE role = $1 AND permission = ANY ($2)", name, known)
    await connection.execute("DELETE FROM field_rule WHERE role = $1", name)
    await connection.execute(_PERMISSIONS, name, list(granted.scopes), list(granted.scopes.values()))
    await connection.execute(_RULES, name, list(granted.rules), list(granted.rules.values()))
