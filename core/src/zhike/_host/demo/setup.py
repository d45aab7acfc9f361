"""Brings the sample company into an empty database, once."""

from __future__ import annotations

import tempfile
from contextlib import closing
from datetime import datetime
from pathlib import Path

from zhike._host.demo import company
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.imports import importer
from zhike.imports.plan import Options, prepare
from zhike.imports.rejects import RejectFile
from zhike.orm import Database
from zhike.settings import Settings

FILE_NAME = "qinghe.jsonl"
TOKEN_NAME = "demo"  # noqa: S105  # a name, not a secret


async def import_company(db: Database, settings: Settings, now: datetime, *, customers: int = company.CUSTOMERS) -> int:
    """Import the sample company through the same door as any file, unless there are customers.

    An import that was cut off goes on with the same events.

    Args:
        db: A migrated database.
        settings: The deployment's settings.
        now: The present instant; the events end on the day before.
        customers: How many customers to make.

    Returns:
        How many events were stored; 0 if there was nothing to do.
    """
    async with db.connection() as connection:
        begun: datetime | None = await connection.fetchval(
            "SELECT started_at FROM import_run WHERE file_name = $1 AND finished_at IS NULL LIMIT 1", FILE_NAME
        )
        if begun is None and await connection.fetchval("SELECT EXISTS (SELECT FROM customer)"):
            return 0
    items = company.events((begun or now).astimezone(settings.zone).date(), settings.zone, customers=customers)
    with tempfile.TemporaryDirectory(prefix="zhike-demo-") as folder:
        path = Path(folder) / FILE_NAME
        with path.open("wb") as file:
            file.writelines(company.lines(items))
        plan = prepare(path, Options(), settings)
        with closing(RejectFile(path.with_suffix(".rejected.csv"), plan.header, settings.locale)) as rejects:
            run, _ = await importer.run(db, plan, settings, rejects)
    return run.accepted


async def first_token(db: Database) -> str | None:
    """Make a token for the sample company's administrator at the first start, else return None.

    A database whose customers do not come from here gets none: no command but `token` opens a company's own
    data.
    """
    async with db.connection() as connection:
        due = await connection.fetchval(
            """SELECT EXISTS (SELECT FROM import_run WHERE file_name = $1)
                  AND NOT EXISTS (SELECT FROM api_token WHERE name = $2)""",
            FILE_NAME,
            TOKEN_NAME,
        )
    if not due:
        return None
    _, secret = await tokens.create(db, Actor.command("demo"), TOKEN_NAME, "admin", expires_at=None)
    return secret
