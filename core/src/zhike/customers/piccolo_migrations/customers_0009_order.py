"""The indexes that the list of customers is read in the order of."""

from zhike.orm import MigrationManager, sql_migration

ID = "customers_0009_order"
VERSION = "1.38.0"
DESCRIPTION = "indexes for the list of customers"

# None on updated_at: it changes with every trait, which PostgreSQL then could not write in place (HOT). Those without
# a name come last in either direction, which one index cannot do. The expressions are those of zhike.conditions.search.
SQL = """
CREATE INDEX customer_name ON customer (left(name, 100) COLLATE "C", id);
CREATE INDEX customer_name_down ON customer (left(name, 100) COLLATE "C" DESC NULLS LAST, id);
CREATE INDEX customer_created ON customer (created_at, id);
CREATE INDEX customer_merge_chosen ON customer_merge (merge_id) WHERE reason = 'chosen';
CREATE INDEX customer_at_stage ON customer (stage, id) WHERE stage IS NOT NULL;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "customers", SQL)
