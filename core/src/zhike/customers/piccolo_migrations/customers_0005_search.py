"""The token index by which customers are searched."""

from zhike.orm import MigrationManager, sql_migration

ID = "customers_0005_search"
VERSION = "1.38.0"
DESCRIPTION = "the index of search"

# Without fastupdate nobody has to read a list of pending entries, and the tokens of new customers lie side by side.
# Customers from before are indexed by a job; in a new installation there are none.
SQL = """
CREATE TABLE customer_search (
  customer_id bigint PRIMARY KEY,
  tokens text[] COLLATE "C" NOT NULL,
  name text NOT NULL,
  company text NOT NULL,
  email text NOT NULL,
  phone text NOT NULL
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX customer_search_tokens ON customer_search USING gin (tokens) WITH (fastupdate = off);
DO $$
BEGIN
  IF to_regclass('job') IS NOT NULL AND EXISTS (SELECT FROM customer) THEN
    INSERT INTO job (name, key, payload) VALUES ('customers.index', 'customers.index', '{"after": 0}');
  END IF;
END $$;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "customers", SQL)
