"""The table of runs gets the name that a plugin's tables have."""

from zhike.orm import MigrationManager, sql_migration

ID = "imports_0002_name"
VERSION = "1.38.0"
DESCRIPTION = "import_run becomes imports_run"

SQL = """
ALTER TABLE import_run RENAME TO imports_run;
ALTER INDEX import_run_pkey RENAME TO imports_run_pkey;
ALTER SEQUENCE import_run_id_seq RENAME TO imports_run_id_seq;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "imports", SQL)
