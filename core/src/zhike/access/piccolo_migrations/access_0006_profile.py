"""What users have chosen for themselves."""

from zhike.orm import MigrationManager, sql_migration

ID = "access_0006_profile"
VERSION = "1.38.0"
DESCRIPTION = "language, time zone, colours and preferences of users"

SQL = """
ALTER TABLE app_user
  ADD COLUMN locale text CHECK (locale IN ('zh_CN', 'en')),
  ADD COLUMN zone text,
  ADD COLUMN theme text NOT NULL DEFAULT 'auto' CHECK (theme IN ('light', 'dark', 'auto')),
  ADD COLUMN preferences jsonb NOT NULL DEFAULT '{}';
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "access", SQL)
