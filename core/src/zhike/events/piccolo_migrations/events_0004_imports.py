"""The events of an import are found again, and deleted ones forgotten."""

from zhike.orm import MigrationManager, sql_migration

ID = "events_0004_imports"
VERSION = "1.38.0"
DESCRIPTION = "index of imported events, number of rewrites"

# The sequence counts up when events have been deleted, so that nobody goes on with those that were read before.
SQL = """
CREATE INDEX event_import ON event (import_id, customer_id) WHERE import_id IS NOT NULL;
CREATE SEQUENCE log_rewrite MINVALUE 0;
SELECT setval('log_rewrite', 0);
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "events", SQL)
