"""What an import has changed, so that it can be undone."""

from zhike.orm import MigrationManager, sql_migration

ID = "customers_0006_undo"
VERSION = "1.38.0"
DESCRIPTION = "what imports have changed"

# A field: value and provenance before, value and provenance that the import gave it.
SQL = """
CREATE TABLE import_change (
  import_id bigint NOT NULL,
  customer_id bigint NOT NULL,
  created boolean NOT NULL,
  fields jsonb NOT NULL DEFAULT '{}',
  identities jsonb NOT NULL DEFAULT '[]',
  PRIMARY KEY (import_id, customer_id)
);
CREATE INDEX import_change_customer ON import_change (customer_id);
CREATE INDEX customer_merge_import ON customer_merge (origin, id) WHERE origin LIKE 'import:%' AND unmerged_at IS NULL;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "customers", SQL)
