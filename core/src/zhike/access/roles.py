"""The roles that are shipped and the permissions each one grants.

| role    | reads customers, events | counts conditions | writes events | manages tokens and users |
|---------|-------------------------|-------------------|---------------|--------------------------|
| viewer  | yes                     | yes               |               |                          |
| agent   | yes                     | yes               |               |                          |
| manager | yes                     | yes               | yes           |                          |
| admin   | yes                     | yes               | yes           | yes                      |

A permission is a string `<noun>.<verb>`; every route names the one it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CUSTOMERS_READ = "customers.read"
EVENTS_READ = "events.read"
EVENTS_WRITE = "events.write"
CONDITIONS_COUNT = "conditions.count"
ADMIN_TOKENS = "admin.tokens"
ADMIN_USERS = "admin.users"

_READER = frozenset({CUSTOMERS_READ, EVENTS_READ, CONDITIONS_COUNT})

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "admin": _READER | {EVENTS_WRITE, ADMIN_TOKENS, ADMIN_USERS},
        "manager": _READER | {EVENTS_WRITE},
        "agent": _READER,
        "viewer": _READER,
    }
)
PERMISSIONS = ROLES["admin"]
