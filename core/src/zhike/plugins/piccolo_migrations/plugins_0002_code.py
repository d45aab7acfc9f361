"""What plugins each process runs, so that all of them come to run the same."""

from zhike.orm import MigrationManager, sql_migration

ID = "plugins_0002_code"
VERSION = "1.38.0"
DESCRIPTION = "the code of plugins that processes run"

SQL = """
ALTER TABLE process ADD COLUMN plugins jsonb NOT NULL DEFAULT '{}';
ALTER TABLE plugin_generation ADD COLUMN tried text[] NOT NULL DEFAULT '{}';
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "plugins", SQL)
