"""How files of one shape are read, kept under a name and offered when such a file comes again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.errors import NotFound
from zhike.i18n import text
from zhike_imports.schemas import Options

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Database

_SHOWN = "id, name, header, options::text, created_by, updated_at"
_LIST = f"SELECT {_SHOWN} FROM imports_profile ORDER BY name"
_FITTING = f"SELECT {_SHOWN} FROM imports_profile WHERE header = $1 ORDER BY updated_at DESC"
_SAVE = f"""
INSERT INTO imports_profile (name, header, options, created_by, updated_at) VALUES ($1, $2, $3::jsonb, $4, $5)
ON CONFLICT (name) DO UPDATE SET header = $2, options = $3::jsonb, updated_at = $5
RETURNING {_SHOWN}
"""
_DELETE = "DELETE FROM imports_profile WHERE id = $1 RETURNING name"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile.

    Args:
        id: Its id.
        name: Its name.
        header: The columns of the files it is for, in their order.
        options: What is said of such a file.
        created_by: Who made it.
        updated_at: When it was saved.
    """

    id: int
    name: str
    header: list[str]
    options: Options
    created_by: str
    updated_at: datetime


async def list_(db: Database) -> list[Profile]:
    """Return all profiles, by name."""
    async with db.connection() as connection:
        return [_profile(row) for row in await connection.fetch(_LIST)]


async def fitting(db: Database, header: Sequence[str]) -> list[Profile]:
    """Return the profiles of files with these columns, the one saved last first."""
    async with db.connection() as connection:
        return [_profile(row) for row in await connection.fetch(_FITTING, list(header))]


async def save(db: Database, actor: Actor, name: str, header: Sequence[str], options: Options) -> Profile:
    """Make a profile, or put another in the place of the one with this name."""
    given = msgspec.json.encode(options).decode()
    async with db.transaction() as connection:
        row = await connection.fetchrow(_SAVE, name, list(header), given, actor.origin, clock.now())
        assert row is not None  # noqa: S101  # INSERT … RETURNING gives its row
        await audit.record(connection, actor, "import.profile.save", f"import_profile:{row['id']}", {"name": name})
    return _profile(row)


async def delete(db: Database, actor: Actor, profile_id: int) -> None:
    """Delete a profile; raises `NotFound` if there is none."""
    async with db.transaction() as connection:
        name = await connection.fetchval(_DELETE, profile_id)
        if name is None:
            raise NotFound(text("There is nothing with the id {id}", id=profile_id))
        await audit.record(connection, actor, "import.profile.delete", f"import_profile:{profile_id}", {"name": name})


def _profile(row: Record) -> Profile:
    return Profile(**{**dict(row), "options": msgspec.json.decode(row["options"], type=Options)})
