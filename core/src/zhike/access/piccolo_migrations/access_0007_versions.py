"""Versions of users and teams, by which an old form is known."""

from zhike.orm import MigrationManager, sql_migration

ID = "access_0007_versions"
VERSION = "1.38.0"
DESCRIPTION = "versions of users and teams"

SQL = """
ALTER TABLE app_user ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE team ADD COLUMN version integer NOT NULL DEFAULT 1;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "access", SQL)
