"""The groups that fields of customers stand in; until now a group was but a word in each of its fields."""

from zhike.orm import MigrationManager, sql_migration

ID = "customers_0008_layout"
VERSION = "1.38.0"
DESCRIPTION = "groups of fields of customers"

SQL = """
CREATE TABLE customer_field_group (
  key text COLLATE "C" PRIMARY KEY,
  label text NOT NULL,
  position int NOT NULL
);
INSERT INTO customer_field_group (key, label, position)
SELECT group_name, group_name, row_number() OVER (ORDER BY min(position), group_name) FROM customer_field
WHERE group_name <> '' GROUP BY group_name;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "customers", SQL)
