"""Users, as the API and the commands take and give them."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from zhike.api import Id


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A stored user, without the password.

    Args:
        id: The user's id.
        login: Name to log in with, in small letters.
        name: Name for people to read.
        role: What they may do: a shipped role or one of the installation's own.
        team_id: Their team, or None.
        created_at: When the user was made.
        disabled_at: Since when the user cannot log in, or None.
        version: Goes up with each change of the above.
    """

    id: int
    login: str
    name: str
    role: str
    team_id: int | None
    created_at: datetime
    disabled_at: datetime | None
    version: int


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /users` takes.

    Args:
        login: Name to log in with; capital letters count as small ones.
        name: Name for people to read.
        role: What they may do.
        password: The first password.
        team_id: Id of their team, or null.
    """

    login: str
    name: str
    role: str
    password: str
    team_id: Id | None = None


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way about a user; what is left out stays as it is.

    Args:
        name: Name for people to read, 1 to 200 characters.
        role: What they may do.
        team_id: Id of their team; null for none.
        password: The new one.
        disabled: Whether they are kept from logging in, and their tokens from acting.
        version: That of the user who is changed; if they have another one by now, nothing is changed (409). Left out,
            it is not asked for.
    """

    name: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    team_id: Id | UnsetType | None = UNSET
    password: str | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    version: int | UnsetType = UNSET
