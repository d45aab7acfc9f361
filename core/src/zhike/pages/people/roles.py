"""Roles: the list with who has them, what each may do, making one, changing one, taking one out of use."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access import members, own_roles
from zhike.access.grants import Grants, require_grantable
from zhike.access.own_roles import NewRole, Role, RoleChange
from zhike.errors import Forbidden, NotFound
from zhike.i18n import Text, text
from zhike.pages.people import choices, matrix
from zhike.ui import Form, Html, PageCall, Redirect, asked, submit
from zhike.ui.tables import Table, TableColumn

_BESIDE = {"conflict": "name"}


class NewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the form for a new role.

    Args:
        copy: The role whose permissions it begins with.
    """

    copy: Annotated[str, Meta(max_length=50)] = ""


class NewForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a new role is called.

    Args:
        label: Name for people.
        name: What programs name it by.
    """

    label: Annotated[str, asked("What it is called", placeholder="Front desk", min_length=1, max_length=200)]
    name: Annotated[
        str,
        asked(
            "Identifier",
            help="For the API and the command line: small letters, digits, _ and -; it stays for ever",
            placeholder="front-desk",
            max_length=50,
            pattern=r"\A(?!new\Z)",  # which is the address of this form
        ),
    ]


class LabelForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is called.

    Args:
        label: Name for people.
    """

    label: Annotated[str, asked("What it is called", min_length=1, max_length=200)]


async def show(call: PageCall) -> Html:
    """List the roles, who has them, and what they may do side by side."""
    roles, counted = await choices.all_roles(call), await members.by_role(call.db)
    rows = [_row(role, *counted.get(role.name, (0, 0))) for role in roles]
    table = Table(id="roles", path="/roles", columns=_COLUMNS, rows=rows)
    used = [role for role in roles if role.archived_at is None]
    return await call.render(
        "people/roles.html",
        fragment="list",
        table=table,
        labels=[choices.role_label(role) for role in used],
        compared=matrix.compared(call, used),
        scopes=matrix.SCOPES,
    )


async def make(call: PageCall, query: NewQuery) -> Html | Redirect:
    """Ask for a new role, which may begin as a copy, and make it."""
    roles = {role.name: role for role in await choices.all_roles(call)}
    pattern = roles.get(query.copy)
    number = next(n for n in range(1, len(roles) + 2) if f"role-{n}" not in roles)
    label = text("Copy of {name}", name=choices.role_label(pattern)).render(call.locale) if pattern else ""
    granted = Grants(pattern.permissions, pattern.rules) if pattern else Grants(rules={})
    if call.posted:
        granted = Grants(matrix.posted_permissions(call, {}), matrix.posted_rules(call, {}))

    async def save(typed: NewForm) -> Redirect:
        new = NewRole(name=typed.name, label=typed.label, permissions=dict(granted.scopes), rules=dict(granted.rules))
        await own_roles.create(call.db, call.actor, new, call.host.platform.directory)
        return call.redirect("/roles", toast=text("The role {name} is there", name=typed.label))

    first = {"name": f"role-{number}", "label": label[:200]}
    return await submit(call, NewForm, save, partial(_new, call, granted), first, beside=_BESIDE)


async def change(call: PageCall) -> Html | Redirect:
    """Show a role, and change it, unless somebody else was quicker: then both are shown."""
    role = await _role(call)
    granted = Grants(role.permissions, role.rules)
    if call.posted:
        granted = Grants(matrix.posted_permissions(call, role.permissions), matrix.posted_rules(call, role.rules))

    async def save(typed: LabelForm) -> Redirect:
        scopes, rules = dict(granted.scopes), dict(granted.rules)
        said = RoleChange(version=call.version, label=typed.label, permissions=scopes, rules=rules)
        await own_roles.change(call.db, call.actor, role.name, said, call.host.platform.directory)
        return call.redirect("/roles", toast=text("The role {name} is saved", name=typed.label))

    return await submit(call, LabelForm, save, partial(_page, call, role, granted), role, beside=_BESIDE)


async def archive(call: PageCall) -> Redirect:
    """Take a role out of use, or into it again: whoever has it may do nothing meanwhile."""
    role = await _role(call)
    archived = role.archived_at is None
    change = RoleChange(version=call.version, archived=archived)
    await own_roles.change(call.db, call.actor, role.name, change, call.host.platform.directory)
    gone, back = (
        text("The role {name} grants nothing any more", name=role.label),
        text("{name} is in use again", name=role.label),
    )
    return call.redirect("/roles", toast=gone if archived else back)


_COLUMNS = (
    TableColumn(key="name", label=text("Role"), kind="custom"),
    TableColumn(key="kind", label=text("Kind"), kind="badge"),
    TableColumn(key="users", label=text("Users"), kind="custom"),
    TableColumn(key="tokens", label=text("Tokens"), kind="number"),
    TableColumn(key="permissions", label=text("Permissions"), kind="number"),
    TableColumn(key="rules", label=text("Fields not shown whole"), kind="number"),
    TableColumn(key="copy", label="", kind="custom"),
)


def _row(role: Role, users: int, tokens: int) -> dict[str, Any]:
    kind: dict[str, Any] = {"label": text("Shipped"), "color": "gray"}
    if not role.shipped:
        kind = {"label": text("Own"), "color": "blue"}
    if role.archived_at is not None:
        kind = {"label": text("Out of use"), "color": "yellow"}
    return {
        "id": role.name,
        "path": f"/roles/{role.name}",
        "name": choices.role_label(role),
        "kind": kind,
        "users": users,
        "tokens": tokens,
        "permissions": len(role.permissions),
        "rules": len(role.rules),
        "copy": role.name,
    }


async def _role(call: PageCall) -> Role:
    name = call.path["role"]
    role = next((each for each in await choices.all_roles(call) if each.name == name), None)
    if role is None:
        raise NotFound(text("There is no role {role!r}", role=name))
    return role


async def _new(call: PageCall, granted: Grants, form: Form) -> Html:
    groups, rows = matrix.permissions(call, granted.scopes), await matrix.fields(call, granted.rules)
    return await call.render(
        "people/role_new.html", fragment="form", status=form.status, form=form, groups=groups, fields=rows, **_WORDS
    )


async def _page(call: PageCall, role: Role, granted: Grants, form: Form) -> Html:
    meanwhile = form.theirs is not None
    users, tokens = (await members.by_role(call.db)).get(role.name, (0, 0))
    return await call.render(
        "people/role.html",
        fragment="form",
        status=form.status,
        role=role,
        label=choices.role_label(role),
        form=form,
        users=users,
        tokens=tokens,
        groups=matrix.permissions(call, granted.scopes, role.permissions if meanwhile else None),
        fields=await matrix.fields(call, granted.rules, role.rules if meanwhile else None),
        meanwhile=meanwhile,
        kept=None if role.shipped else _kept(call, role),
        **_WORDS,
    )


_WORDS = {"scopes": matrix.SCOPES, "rules": matrix.RULES}


def _kept(call: PageCall, role: Role) -> Text | None:
    """Return why the reader cannot change the role, which grants more than they hold; None if they can."""
    try:
        require_grantable(call.actor, Grants(role.permissions, role.rules))
    except Forbidden as error:
        return error.message
    return None
