"""Makes the staff: teams, roles of the company's own, and people who can log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from zhike.access import audit, own_roles, passwords, teams
from zhike.access.actor import Actor
from zhike.access.own_roles import NewRole
from zhike.access.roles import (
    CALENDARS_READ,
    CONDITIONS_COUNT,
    CUSTOMERS_EXPORT,
    CUSTOMERS_READ,
    CUSTOMERS_REVEAL,
    CUSTOMERS_WRITE,
    EVENTS_READ,
    TASKS_READ,
    TASKS_WRITE,
    Scope,
)
from zhike.access.teams import NewTeam
from zhike.config import saving
from zhike.config.groups import General
from zhike_sample.words.staff import COMPANY, STAFF, TEAMS

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

ACTOR = Actor.command("demo")
_AT_CUSTOMERS = (CUSTOMERS_READ, CUSTOMERS_WRITE, EVENTS_READ, TASKS_READ, TASKS_WRITE)
_TEAMS: dict[str, Scope] = dict.fromkeys((*_AT_CUSTOMERS, CUSTOMERS_REVEAL, CONDITIONS_COUNT), "team")
_ALL: dict[str, Scope] = dict.fromkeys(_AT_CUSTOMERS, "all")
_READ: dict[str, Scope] = dict.fromkeys((CUSTOMERS_READ, EVENTS_READ, CONDITIONS_COUNT, CUSTOMERS_EXPORT), "all")
_OF_PLUGINS = ("tagging.read", "tagging.assign")
"""What everybody may do as well, for the customers they see, where the plugin is there."""
_HIRE = """
INSERT INTO app_user (login, name, role, team_id, password_hash)
SELECT n.*, $1 FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS n
ON CONFLICT (login) DO NOTHING RETURNING id, login, role
"""
ROLES = (
    NewRole(
        name="advisor",
        label="客户顾问（仅本团队客户）",
        permissions={**_TEAMS, CALENDARS_READ: "all"},
        rules={"phone": "mask", "attributes.billing_account": "mask"},
    ),
    NewRole(
        name="service",
        label="客服专员（手机号脱敏）",
        permissions={**_ALL, CALENDARS_READ: "all"},
        rules={"phone": "mask", "email": "mask", "attributes.billing_account": "hide"},
    ),
    NewRole(
        name="analyst",
        label="数据分析师（看不到联系方式）",
        permissions={**_READ, CALENDARS_READ: "all"},
        rules={"phone": "hide", "email": "hide", "attributes.billing_account": "hide"},
    ),
)


async def make(company: DemoContext) -> None:
    """Make teams, roles and users; those that are there already stay as they are."""
    platform = company.platform
    company.say("建立团队与账号 · teams and logins")
    ids = {team.name: team.id for team in await teams.list_(platform.db)}
    for name in (COMPANY, *TEAMS):
        if name not in ids:
            above = None if name == COMPANY else ids[COMPANY]
            ids[name] = (await teams.create(platform.db, ACTOR, NewTeam(name, above))).id
    roles = {role.name for role in await own_roles.list_(platform.db, platform.directory)}
    for role in ROLES:
        if role.name not in roles:
            seen = role.permissions[CUSTOMERS_READ]
            more = {key: seen for key in _OF_PLUGINS if key in platform.registry.permissions}
            whole = msgspec.structs.replace(role, permissions={**role.permissions, **more})
            await own_roles.create(platform.db, ACTOR, whole, platform.directory)
    if not platform.config.get(General).company:
        await saving.save(platform, ACTOR, "general", {"company": COMPANY}, platform.config.versions.get("general", 0))
    await _hire(company, ids)


async def _hire(company: DemoContext, teams_by_name: Mapping[str, int]) -> None:
    """Make the users with one hash of the one password: 25 hashes would take as long as a third of the events."""
    hashed = await passwords.chosen(company.password, login="", name=COMPANY)
    people = [[*each] for each in zip(*[(p.login, p.name, p.role, teams_by_name[p.team]) for p in STAFF], strict=True)]
    async with company.platform.db.transaction() as connection:
        made = await connection.fetch(_HIRE, hashed, *people)
        notes = [(f"user:{row['id']}", {"login": row["login"], "role": row["role"]}) for row in made]
        await audit.record_many(connection, ACTOR, "user.create", notes)
