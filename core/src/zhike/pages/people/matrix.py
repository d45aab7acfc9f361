"""What a role may do, as a matrix: permissions by noun, fields of customers, and who else has changed what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from zhike.access.roles import Rule, Scope
from zhike.customers.identities import LABELS, STRONG
from zhike.errors import BadRequest
from zhike.i18n import Text, text
from zhike.ui.formats import label_of_plugin

if TYPE_CHECKING:
    from zhike.ui import PageCall

SCOPES: Mapping[str, Text] = {
    "": text("Not granted"),
    "own": text("Their own"),
    "team": text("Their team's"),
    "all": text("All"),
}
"""How far a permission reaches; "" is not at all."""
RULES: Mapping[str, Text] = {"": text("Shown"), "mask": text("Masked"), "hide": text("Hidden")}
"""How a field is shown."""
_NOUNS: Mapping[str, Text] = {
    "customers": text("Customers"),
    "fields": text("Customer fields"),
    "events": text("Events"),
    "conditions": text("Conditions"),
    "tasks": text("Tasks"),
    "calendars": text("Calendars"),
    "desk": text("Saved views"),
    "settings": text("Settings"),
    "admin": text("People and audit"),
    "plugins": text("Plugins"),
    "consumers": text("Consumers and dead letters"),
    "jobs": text("Jobs"),
    "files": text("Files"),
}
_WHOLE = frozenset({"fields", "calendars", "desk", "settings", "plugins", "consumers", "jobs"})
_WHOLE_KEYS = frozenset({"admin.roles", "admin.audit"})
"""What concerns neither customers nor users, and is granted whole with any scope."""
_COLUMNS: Mapping[str, Text] = {
    "name": text("Name"),
    "phone": text("Phone"),
    "email": text("E-mail"),
    "company": text("Company"),
    "stage": text("Stage"),
    "owner": text("Owner"),
    "team": text("Team"),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A permission, or a field.

    Args:
        key: Its key.
        label: Its name for people.
        value: What is chosen; "" for no, or shown.
        offered: What can be chosen, in the order of the columns; None where nothing stands.
        held: Whether the reader may change it.
        theirs: What somebody else has chosen meanwhile; None if that is the same.
    """

    key: str
    label: Text | str
    value: str
    offered: tuple[str | None, ...]
    held: bool = True
    theirs: Text | None = None


class Group(msgspec.Struct, frozen=True):
    """The permissions of one noun.

    Args:
        label: Its name for people.
        rows: The permissions.
    """

    label: Text | str
    rows: list[Row]


def permissions(call: PageCall, granted: Mapping[str, str], theirs: Mapping[str, str] | None = None) -> list[Group]:
    """Return all permissions there are, by noun, with what a role grants.

    Args:
        call: Who reads; what they do not hold for all customers they cannot give.
        granted: Permission to scope.
        theirs: What is stored by now, if somebody was quicker.
    """
    found: dict[str, list[Row]] = {}
    for key, permission in call.host.platform.registry.permissions.items():
        noun = key.partition(".")[0]
        whole = permission.whole or noun in _WHOLE or key in _WHOLE_KEYS
        value = granted.get(key, "")
        row = Row(
            key=key,
            label=permission.label,
            value="all" if whole and value else value,
            offered=("", None, None, "all") if whole else tuple(SCOPES),
            held=call.actor.scope(key) == "all",
            theirs=_other(SCOPES, granted, theirs, key),
        )
        found.setdefault(noun, []).append(row)
    order = list(_NOUNS)
    known = sorted(found, key=lambda noun: (order.index(noun) if noun in _NOUNS else len(order), noun))
    platform = call.host.platform
    named = {noun: label_of_plugin(platform, noun) for noun in found}
    named |= {item.key.partition(".")[0]: item.label for item in platform.registry.nav_items.values()} | dict(_NOUNS)
    return [Group(named[noun], found[noun]) for noun in known]


async def fields(call: PageCall, rules: Mapping[str, str], theirs: Mapping[str, str] | None = None) -> list[Row]:
    """Return the fields of customers, with whether a role sees them masked or not at all."""
    known = (await call.host.platform.customer_fields.renew()).known
    labels: dict[str, Text | str] = dict(_COLUMNS)
    labels |= {f"attributes.{each.key}": each.label or each.key for each in known.values() if not each.built_in}
    labels |= {f"identities.{name}": LABELS[name] for name in STRONG if name not in _COLUMNS}
    for key in (*rules, *(theirs or ())):
        labels.setdefault(key, text("Identity {name}", name=key.partition(".")[2] or key))
    return [
        Row(
            key=key,
            label=label,
            value=rules.get(key, ""),
            offered=tuple(RULES),
            theirs=_other(RULES, rules, theirs, key),
        )
        for key, label in labels.items()
    ]


def posted_permissions(call: PageCall, kept: Mapping[str, Scope]) -> dict[str, Scope]:
    """Return what the form grants; of what it leaves out, what is stored.

    Raises:
        BadRequest: If a scope is none.
    """
    found: dict[str, Scope] = {}
    for key in call.host.platform.registry.permissions:
        scope = call.field(f"p.{key}", kept.get(key, ""))
        if scope not in SCOPES:
            raise BadRequest(text("{name} is {value!r}, which does not fit", name=key, value=scope[:100]))
        if scope:
            found[key] = cast(Scope, scope)
    return found


def posted_rules(call: PageCall, kept: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return the rules of the form; of fields that it leaves out, those that are stored.

    Raises:
        BadRequest: If a rule is none.
    """
    found: dict[str, Rule] = dict(kept)
    for name, values in call.form.items():
        if name.startswith("f."):
            if values[-1] not in RULES:
                raise BadRequest(text("{name} is {value!r}, which does not fit", name=name, value=values[-1][:100]))
            found.pop(name[2:], None)
            if values[-1]:
                found[name[2:]] = cast(Rule, values[-1])
    return found


def compared(call: PageCall, roles: Sequence[Any]) -> list[tuple[Text | str, list[tuple[Text | str, list[str]]]]]:
    """Return by noun each permission with what each of some roles grants."""
    return [
        (group.label, [(row.label, [role.permissions.get(row.key, "") for role in roles]) for row in group.rows])
        for group in permissions(call, {})
    ]


def _other(
    words: Mapping[str, Text], mine: Mapping[str, str], theirs: Mapping[str, str] | None, key: str
) -> Text | None:
    if theirs is None or theirs.get(key, "") == mine.get(key, ""):
        return None
    return words[theirs.get(key, "")]
