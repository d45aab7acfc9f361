"""Who somebody is by now who started something earlier: nobody is left with more than they had, or have."""

from __future__ import annotations

import msgspec

from zhike import clock
from zhike.access import finding
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.grants import Grants
from zhike.access.masking import rules_of
from zhike.orm import Database

_HASH = "SELECT hash FROM api_token WHERE id = $1"


async def again(db: Database, directory: Directory, actor: Actor) -> Actor | None:
    """Return an actor with what their roles grant at this moment, as far as it was granted before.

    Args:
        db: Where tokens, users and roles are stored.
        directory: The process's.
        actor: As they were; a command and the system stay as they are.

    Returns:
        The actor, or None if the user is disabled, the token expired or revoked, or it is somebody whom only a plugin
        knows.
    """
    if actor.unbound:
        return actor
    key: int | bytes | None = actor.id
    async with db.connection() as connection:
        if actor.kind == "token":
            key = await connection.fetchval(_HASH, actor.id)
        found, expires_at = (None, None) if key is None else await finding.load(connection, key, directory)
    if found is None or (expires_at is not None and expires_at <= clock.now()):
        return None
    left = _grants(found).within(_grants(actor))
    scopes = {name: scope for name, scope in left.scopes.items() if scope != "all"}
    return msgspec.structs.replace(found, permissions=frozenset(left.scopes), scopes=scopes, rules=left.rules)


def _grants(actor: Actor) -> Grants:
    return Grants({name: actor.scope(name) or "own" for name in actor.permissions}, rules_of(actor))
