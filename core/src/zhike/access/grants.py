"""What roles grant, and whether somebody may give that to others: nobody gives what they do not have themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import rules_of
from zhike.access.roles import RULES, Roles, Rule, Scope
from zhike.errors import Forbidden
from zhike.i18n import text
from zhike.orm import Connection

_SCOPES: tuple[Scope, ...] = ("own", "team", "all")
_RULES: tuple[Rule | None, ...] = (None, "mask", "hide")
_OWN = """
SELECT r.name,
  (SELECT jsonb_object_agg(p.permission, p.scope) FROM role_permission AS p WHERE p.role = r.name)::text AS scopes,
  (SELECT jsonb_object_agg(f.field, f.rule) FROM field_rule AS f WHERE f.role = r.name)::text AS rules
FROM role AS r WHERE r.name = ANY ($1::text[]) AND ($2 OR r.archived_at IS NULL)
"""


class Grants(msgspec.Struct, frozen=True):
    """What a role grants.

    Args:
        scopes: Permission to the customers it is granted for.
        rules: Field of customers to whether it is masked or hidden.
    """

    scopes: Mapping[str, Scope] = {}
    rules: Mapping[str, Rule] = RULES["viewer"]

    def within(self, other: Grants) -> Grants:
        """Return what is left of these grants within those of another role: of both, the less."""
        scopes = {
            key: min(scope, other.scopes[key], key=_SCOPES.index)
            for key, scope in self.scopes.items()
            if key in other.scopes
        }
        hidden: dict[str, Rule] = dict.fromkeys(_hidden(self) | _hidden(other), "hide")
        rules = {**self.rules, **other.rules, **hidden}
        return Grants(scopes, rules)

    def only(self, permissions: Iterable[str]) -> Grants:
        """Return these grants without all other permissions."""
        return Grants({key: self.scopes[key] for key in permissions if key in self.scopes}, self.rules)


NOTHING = Grants()
"""What a role grants that was archived, or that nobody knows."""


def _hidden(grants: Grants) -> set[str]:
    return {field for field, rule in grants.rules.items() if rule == "hide"}


def of_shipped(roles: Roles) -> dict[str, Grants]:
    """Return what the shipped roles grant: always for all customers."""
    return {name: Grants(dict.fromkeys(granted, "all"), dict(RULES[name])) for name, granted in roles.items()}


async def load(
    connection: Connection, names: Iterable[str], known: Mapping[str, bool], *, archived: bool = False
) -> dict[str, Grants]:
    """Return what roles of the installation's own grant.

    Args:
        connection: To the database.
        names: Their names; those that are not there are left out of the answer.
        known: The permissions there are, each with whether it is granted for all customers or not at all; those of a
            plugin that does not run are passed over.
        archived: Whether also of those that are archived.
    """
    found = {}
    for row in await connection.fetch(_OWN, list(names), archived):
        scopes = msgspec.json.decode(row["scopes"] or "{}", type=dict[str, Scope])
        rules = msgspec.json.decode(row["rules"] or "{}", type=dict[str, Rule])
        held = {key: each for key, each in sorted(scopes.items()) if key in known and (each == "all" or not known[key])}
        found[row["name"]] = Grants(held, rules)
    return found


def grantable(actor: Actor, grants: Grants) -> bool:
    """Tell whether `actor` may give `grants` to somebody: to users of their own teams at least."""
    team_id = next(iter(sorted(actor.teams)), None)
    try:
        require_grantable(actor, grants, team_id=team_id)
    except Forbidden:
        return False
    return True


def require_grantable(actor: Actor, grants: Grants, *, user_id: int | None = None, team_id: int | None = None) -> None:
    """Refuse to give somebody what `actor` does not have: a permission, a scope, or the sight of a field.

    Args:
        actor: Who gives.
        grants: What is given, or already there and about to be changed.
        user_id: Who gets it; None for whoever has a role or a token that is nobody's.
        team_id: The user's team.

    Raises:
        Forbidden: With code `escalation`.
    """
    inside = team_id is not None and team_id in actor.teams
    oneself = user_id is not None and user_id == actor.user_id
    for key, scope in sorted(grants.scopes.items()):
        mine = actor.scope(key)
        mine_alone = scope == "own" and oneself and mine is not None
        if not (mine == "all" or mine_alone or (mine == "team" and scope != "all" and inside)):
            raise Forbidden(
                text(
                    "{name} cannot give {permission} to others ({scope})", name=actor.name, permission=key, scope=scope
                ),
                code="escalation",
            )
    for field, rule in sorted(rules_of(actor).items()):
        if _RULES.index(grants.rules.get(field)) < _RULES.index(rule):
            raise Forbidden(
                text("{name} does not see {field} whole and cannot let others see it", name=actor.name, field=field),
                code="escalation",
            )
