"""The upgrade of the event log from the version without positions, with data in it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import asyncpg

from zhike._host.db import migrate
from zhike._host.db.apps import CORE, App

# Committed in another order than their ids, with a gap where one was rolled back.
OLD = """
INSERT INTO log_batch (batch_id, names, shards, size)
SELECT n, '{a}', 1, 1 FROM unnest('{5,2,9,1,7}'::bigint[]) AS n;
INSERT INTO event (
  batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at, recorded_at, properties,
  source, origin, live
)
SELECT batch_id, 'm' || batch_id, 'a', true, 64, 64, 0, now(), now(), '{}', '', 'token:1', true FROM log_batch;
"""


def first_only(app: App, folder: Path) -> App:
    """Return an app as it was at its first migration."""
    shutil.copytree(app.folder, folder, ignore=lambda _, names: [name for name in names if "_0001_" not in name])
    return replace(app, folder=folder)


async def test_batches_get_positions_in_the_order_of_their_ids(empty_database_url: str, tmp_path: Path) -> None:
    apps = [first_only(app, tmp_path / app.name) for app in CORE if app.name in {"customers", "events"}]
    await migrate.forwards(empty_database_url, apps)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(OLD)
        before = await connection.fetch("SELECT * FROM event ORDER BY id")
        ran = await migrate.forwards(empty_database_url)
        assert "events_0002_log" in ran
        rows = await connection.fetch("SELECT batch_id, position FROM log_batch ORDER BY position")
        assert list(map(tuple, rows)) == [(1, 1), (2, 2), (5, 3), (7, 4), (9, 5)]
        after = await connection.fetch("SELECT * FROM event ORDER BY id")
        assert [dict(row) for row in after] == [dict(row) | {"causation_id": None, "depth": 0} for row in before]
        # New batches wait for theirs.
        new = "INSERT INTO log_batch (names, shards, size) VALUES ('{}', 0, 0) RETURNING position"
        assert (
            await connection.fetchval(new.replace("(names", "(batch_id, names").replace("('{}'", "(10, '{}'")) is None
        )
    finally:
        await connection.close()
    assert await migrate.forwards(empty_database_url) == []


async def test_an_empty_log_is_upgraded(empty_database_url: str) -> None:
    assert "events_0002_log" in await migrate.forwards(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM log_batch") == 0
    finally:
        await connection.close()
