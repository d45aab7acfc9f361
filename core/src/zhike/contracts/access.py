"""Who may do what."""

from __future__ import annotations

from datetime import datetime

import msgspec

from zhike.contracts._names import Label, Name


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """Something a role may grant.

    Args:
        key: Such as `tagging.write`; it begins with the plugin's name.
        label: Name for people.
        roles: Roles shipped with Zhike that grant it; admin always does.
        whole: Whether it is granted for all customers or not at all, since what it allows concerns everybody.
    """

    key: Name
    label: Label
    roles: tuple[str, ...] = ()
    whole: bool = False


class TokenDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An API token that is about to be made.

    Args:
        name: Name for people.
        role: The role it will act with.
        expires_at: From when it will be refused, or None for never.
    """

    name: str
    role: str
    expires_at: datetime | None
