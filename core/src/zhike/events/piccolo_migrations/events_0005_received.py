"""A batch of the log notes when it came in here, whatever day its events are recorded under."""

from zhike.orm import MigrationManager, sql_migration

ID = "events_0005_received"
VERSION = "1.38.0"
DESCRIPTION = "when a batch came in"

# A history that is stored as of its own days does not keep a consumer waiting for as long as it is old.
SQL = "ALTER TABLE log_batch ADD COLUMN received_at timestamptz NOT NULL DEFAULT now()"


async def forwards() -> MigrationManager:
    return sql_migration(ID, "events", SQL)
