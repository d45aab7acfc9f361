"""Imports of customers, and the undo of imports."""

from zhike.orm import MigrationManager, sql_migration

ID = "imports_0003_customers"
VERSION = "1.38.0"
DESCRIPTION = "rows of customers that were taken; imports that are undone"

SQL = """
CREATE TABLE imports_row (
  message_id text COLLATE "C" PRIMARY KEY,
  import_id bigint NOT NULL
);
CREATE INDEX imports_row_import ON imports_row (import_id);
ALTER TABLE imports_run
  ADD COLUMN undo_started_at timestamptz,
  ADD COLUMN undone_at timestamptz,
  ADD COLUMN undone jsonb NOT NULL DEFAULT '{}';
-- What was brought in before the plugin's tables were given up keeps its number.
SELECT setval(pg_get_serial_sequence('imports_run', 'id'), greatest(
  (SELECT max(id) FROM imports_run), (SELECT max(import_id) FROM event WHERE import_id IS NOT NULL),
  (SELECT max(import_id) FROM import_change)
));
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "imports", SQL)
