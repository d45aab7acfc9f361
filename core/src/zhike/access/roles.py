"""The roles that are shipped and the permissions each one grants.

| role    | reads, counts conditions | writes tasks | writes events, sees plugins, jobs | manages all these, access |
|---------|--------------------------|--------------|-----------------------------------|---------------------------|
| viewer  | yes                      |              |                                   |                           |
| agent   | yes                      | yes          |                                   |                           |
| manager | yes                      | yes          | yes                               |                           |
| admin   | yes                      | yes          | yes                               | yes                       |

A permission is a string `<noun>.<verb>`; every route names the one it needs. Those of plugins come on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from zhike.i18n import Text, text

if TYPE_CHECKING:
    from zhike.contracts import Permission

CUSTOMERS_READ = "customers.read"
CUSTOMERS_WRITE = "customers.write"
CUSTOMERS_REVEAL = "customers.reveal"
CUSTOMERS_MERGE = "customers.merge"
FIELDS_MANAGE = "fields.manage"
CUSTOMERS_ERASE = "customers.erase"
CUSTOMERS_EXPORT = "customers.export"
EVENTS_READ = "events.read"
EVENTS_WRITE = "events.write"
CONDITIONS_COUNT = "conditions.count"
CALENDARS_READ = "calendars.read"
CALENDARS_MANAGE = "calendars.manage"
TASKS_READ = "tasks.read"
TASKS_WRITE = "tasks.write"
ADMIN_TOKENS = "admin.tokens"
ADMIN_USERS = "admin.users"
ADMIN_ROLES = "admin.roles"
ADMIN_AUDIT = "admin.audit"
PLUGINS_READ = "plugins.read"
PLUGINS_MANAGE = "plugins.manage"
CONSUMERS_READ = "consumers.read"
CONSUMERS_MANAGE = "consumers.manage"
JOBS_READ = "jobs.read"
JOBS_MANAGE = "jobs.manage"
SETTINGS_OPEN = "settings.open"
SETTINGS_MANAGE = "settings.manage"
DESK_SHARE = "desk.share"

_READER = frozenset({CUSTOMERS_READ, EVENTS_READ, CONDITIONS_COUNT, CALENDARS_READ, TASKS_READ})
_AGENT = _READER | {CUSTOMERS_WRITE, TASKS_WRITE}
_MANAGER = _AGENT | {
    EVENTS_WRITE,
    CUSTOMERS_MERGE,
    CUSTOMERS_REVEAL,
    CUSTOMERS_EXPORT,
    PLUGINS_READ,
    CONSUMERS_READ,
    JOBS_READ,
    SETTINGS_OPEN,
    DESK_SHARE,
}

Scope = Literal["all", "team", "own"]
"""For which customers a permission is granted; see `zhike.access.scope`."""
Rule = Literal["mask", "hide"]
"""What a role is shown of a field instead of its value; see `zhike.access.masking`."""
Roles = Mapping[str, frozenset[str]]
"""Name of a role to the permissions it grants."""

ROLES: Roles = MappingProxyType(
    {
        "admin": _MANAGER
        | {
            CUSTOMERS_ERASE,
            FIELDS_MANAGE,
            ADMIN_TOKENS,
            ADMIN_USERS,
            ADMIN_ROLES,
            ADMIN_AUDIT,
            PLUGINS_MANAGE,
            CONSUMERS_MANAGE,
            JOBS_MANAGE,
            CALENDARS_MANAGE,
            SETTINGS_MANAGE,
        },
        "manager": _MANAGER,
        "agent": _AGENT,
        "viewer": _READER,
    }
)

ROLE_LABELS: Mapping[str, Text] = MappingProxyType(
    {
        "admin": text("Administrator"),
        "manager": text("Manager"),
        "agent": text("Agent"),
        "viewer": text("Viewer"),
    }
)
"""Names of the shipped roles for people."""

RULES: Mapping[str, Mapping[str, Rule]] = MappingProxyType(
    {"admin": {}, "manager": {}, "agent": {}, "viewer": MappingProxyType({"phone": "mask", "email": "mask"})}
)
"""Name of a shipped role to the fields it does not see whole."""

PERMISSION_LABELS: Mapping[str, Text] = MappingProxyType(
    {
        CUSTOMERS_READ: text("Read customers"),
        CUSTOMERS_WRITE: text("Write customers"),
        FIELDS_MANAGE: text("Say which fields customers have"),
        CUSTOMERS_ERASE: text("Erase customers"),
        CUSTOMERS_EXPORT: text("Export what is stored about a customer"),
        CUSTOMERS_MERGE: text("Merge customers and undo that"),
        CUSTOMERS_REVEAL: text("See masked fields of a customer, for a reason that is noted"),
        EVENTS_READ: text("Read events"),
        EVENTS_WRITE: text("Record events"),
        CONDITIONS_COUNT: text("Count customers by conditions"),
        CALENDARS_READ: text("See working calendars"),
        CALENDARS_MANAGE: text("Manage working calendars"),
        TASKS_READ: text("Read tasks"),
        TASKS_WRITE: text("Make and change tasks"),
        ADMIN_TOKENS: text("Manage API tokens"),
        ADMIN_USERS: text("Manage users and teams"),
        ADMIN_ROLES: text("Manage roles"),
        ADMIN_AUDIT: text("Read the audit trail"),
        PLUGINS_READ: text("See plugins"),
        PLUGINS_MANAGE: text("Manage plugins"),
        CONSUMERS_READ: text("See consumers and dead letters"),
        CONSUMERS_MANAGE: text("Manage consumers and dead letters"),
        JOBS_READ: text("See jobs"),
        JOBS_MANAGE: text("Manage jobs"),
        SETTINGS_OPEN: text("Open the settings"),
        SETTINGS_MANAGE: text("Change the settings of the installation"),
        DESK_SHARE: text("Share saved views with everybody"),
    }
)


def with_permissions(permissions: Iterable[Permission]) -> Roles:
    """Return the roles with what plugins let them do besides.

    Args:
        permissions: Registered ones; each names the roles that grant it, and admin always does.
    """
    roles = {role: set(granted) for role, granted in ROLES.items()}
    for permission in permissions:
        for role in {"admin", *permission.roles} & roles.keys():
            roles[role].add(permission.key)
    return {role: frozenset(granted) for role, granted in roles.items()}
