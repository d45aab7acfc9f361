"""What access registers: the core's permissions."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import PERMISSION_LABELS, ROLES
from zhike.contracts import Permission
from zhike.hooks import hookimpl


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register what the core's own routes and commands need."""
    return [
        Permission(key=key, label=label, roles=tuple(role for role, granted in ROLES.items() if key in granted))
        for key, label in PERMISSION_LABELS.items()
    ]
