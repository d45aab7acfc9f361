"""What forms about people offer to choose from."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from zhike.access import own_roles, teams
from zhike.access.finding import narrowed
from zhike.access.grants import Grants, grantable
from zhike.access.own_roles import Role
from zhike.access.roles import ADMIN_USERS, ROLE_LABELS
from zhike.access.teams import Team
from zhike.i18n import Text, as_text
from zhike.ui import Form, PageCall

Options = list[tuple[str, Text | str]]
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_INDENT = "\u3000"


def role_label(role: Role) -> Text | str:
    """Return a role's name for people."""
    return ROLE_LABELS[role.name] if role.shipped else role.label


async def all_roles(call: PageCall) -> list[Role]:
    """Return the roles there are, shipped ones first."""
    found = await own_roles.list_(call.db, call.host.platform.directory)
    order = list(ROLE_LABELS)
    return sorted(found, key=lambda role: (order.index(role.name) if role.shipped else len(order), role.name))


def givable(call: PageCall, roles: Sequence[Role], *, kept: str = "", kind: str = "admin") -> Options:
    """Return the roles that the reader may give, and the one that is there already.

    Args:
        call: Who reads.
        roles: All there are.
        kept: Name of the role that the user has.
        kind: What a token of the role would be for.
    """
    return [
        (role.name, role_label(role))
        for role in roles
        if role.name == kept
        or (role.archived_at is None and grantable(call.actor, narrowed(Grants(role.permissions, role.rules), kind)))
    ]


def tree(found: Sequence[Team]) -> list[tuple[Team, int]]:
    """Return teams as a tree is read: each with its depth, followed by those below it."""
    below: dict[int | None, list[Team]] = {}
    for team in sorted(found, key=lambda each: (each.name, each.id)):
        below.setdefault(team.parent_id, []).append(team)
    ordered: list[tuple[Team, int]] = []
    waiting = [(team, 0) for team in reversed(below.get(None, []))]
    while waiting:
        team, depth = waiting.pop()
        ordered.append((team, depth))
        waiting += [(each, depth + 1) for each in reversed(below.get(team.id, []))]
    return ordered


async def team_options(call: PageCall, *, without: int | None = None) -> Options:
    """Return the teams whose users the reader manages, indented as a tree.

    Args:
        call: Who reads.
        without: A team that is left out, with all below it.
    """
    everywhere = call.actor.scope(ADMIN_USERS) == "all"
    offered: Options = []
    cut: int | None = None
    for team, depth in tree(await teams.list_(call.db)):
        if cut is not None and depth > cut:
            continue
        cut = depth if team.id == without else None
        if cut is None and (everywhere or team.id in call.actor.teams):
            offered.append((str(team.id), _INDENT * depth + team.name))
    return offered


def offering(form: Form, **options: Options) -> Form:
    """Return a form whose fields of these names offer `options`, as do those of the form that it differs from."""
    for name, offered in options.items():
        for each in (form, form.theirs or form):
            each[name].options[:] = [(key, as_text(label)) for key, label in offered]
    return form


def made_password() -> str:
    """Return a password that can be read out: four groups of four letters and digits that look like no other."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def here(call: PageCall) -> dict[str, Any]:
    """Return what this process knows of roles, and asks of passwords."""
    from zhike.config.groups import Security

    platform = call.host.platform
    return {"directory": platform.directory, "least": platform.config.get(Security).password_length}
