"""The table of settings."""

from zhike.orm import MigrationManager, sql_migration

ID = "config_0001_first"
VERSION = "1.38.0"
DESCRIPTION = "groups of settings"

SQL = """
CREATE TABLE setting_group (
  key text COLLATE "C" PRIMARY KEY,
  data jsonb NOT NULL,
  sealed jsonb NOT NULL DEFAULT '{}',
  version int NOT NULL,
  updated_at timestamptz NOT NULL
);
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "config", SQL)
