"""What consumers need: the order of the log's batches, and what made an event happen."""

from zhike.orm import MigrationManager, sql_migration

ID = "events_0002_log"
VERSION = "1.38.0"
DESCRIPTION = "positions of batches; causes and depths of events"

# All batches are committed while this runs alone, so that the order of their ids is as good as any other.
SQL = """
ALTER TABLE event ADD COLUMN causation_id bigint, ADD COLUMN depth smallint NOT NULL DEFAULT 0;
ALTER TABLE log_batch ADD COLUMN position bigint;
UPDATE log_batch AS b SET position = n.position
FROM (SELECT batch_id, row_number() OVER (ORDER BY batch_id) AS position FROM log_batch) AS n
WHERE b.batch_id = n.batch_id;
CREATE UNIQUE INDEX log_batch_position ON log_batch (position);
CREATE INDEX log_batch_unplaced ON log_batch (batch_id) WHERE position IS NULL;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "events", SQL)
