"""What is kept of erased events: hashes of their message ids, so that the same message is never stored again."""

from zhike.orm import MigrationManager, sql_migration

ID = "events_0003_erase"
VERSION = "1.38.0"
DESCRIPTION = "message ids of erased events"

SQL = """
CREATE TABLE erased_message (
  hash bytea PRIMARY KEY
);
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "events", SQL)
