"""Brings the sample company into an empty database, once."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from zhike._host.demo import company
from zhike.access import audit, tokens
from zhike.access.actor import Actor
from zhike.events import ingest
from zhike.events.decode import decode_events
from zhike.orm import Database
from zhike.settings import Settings

BATCH = 2_000
TOKEN_NAME = "demo"  # noqa: S105  # a name, not a secret
_ACTOR = Actor.command("demo")


async def import_company(db: Database, settings: Settings, now: datetime, *, customers: int = company.CUSTOMERS) -> int:
    """Store the events of the sample company, unless there are customers.

    What was cut off goes on with the same events.

    Args:
        db: A migrated database.
        settings: The deployment's settings.
        now: The present instant; the events end on the day before.
        customers: How many customers to make.

    Returns:
        How many events were stored; 0 if there was nothing to do.
    """
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT action, object FROM audit WHERE actor = $1", _ACTOR.origin)
        done: dict[str, str] = {row["action"]: row["object"] for row in rows}
        foreign = not done and await connection.fetchval("SELECT EXISTS (SELECT FROM customer)")
    if foreign or "demo.end" in done:
        return 0
    subject = done.get("demo.begin") or f"demo:{now.astimezone(settings.zone).date()}"
    items = company.events(date.fromisoformat(subject.removeprefix("demo:")), settings.zone, customers=customers)
    stored = 0
    for start in range(0, len(items), BATCH):
        body = msgspec.json.encode({"events": items[start : start + BATCH]})
        events, _ = decode_events(body, "json", now=now, settings=settings)
        async with db.transaction() as connection:
            if not done and start == 0:
                await audit.record(connection, _ACTOR, "demo.begin", subject, {})
            ingested = await ingest.store(connection, events, origin=_ACTOR.origin, live=False, now=now)
            if start + BATCH >= len(items):
                await audit.record(connection, _ACTOR, "demo.end", subject, {})
        stored += ingested.accepted
    return stored


async def first_token(db: Database) -> str | None:
    """Make a token for the sample company's administrator at the first start, else return None.

    A database whose customers do not come from here gets none: no command but `token` opens a company's own
    data.
    """
    async with db.connection() as connection:
        due = await connection.fetchval(
            """SELECT EXISTS (SELECT FROM audit WHERE actor = $1 AND action = 'demo.begin')
                  AND NOT EXISTS (SELECT FROM api_token WHERE name = $2)""",
            _ACTOR.origin,
            TOKEN_NAME,
        )
    if not due:
        return None
    _, secret = await tokens.create(db, _ACTOR, TOKEN_NAME, "admin", expires_at=None)
    return secret
