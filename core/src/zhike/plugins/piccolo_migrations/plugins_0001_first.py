"""The first tables of plugins."""

from zhike.orm import MigrationManager, sql_migration

ID = "plugins_0001_first"
VERSION = "1.38.0"
DESCRIPTION = "plugins, their circuits, processes, declared customer rows"

SQL = """
CREATE TABLE plugin (
  name text COLLATE "C" PRIMARY KEY,
  distribution text NOT NULL DEFAULT '',
  version text NOT NULL DEFAULT '',
  installed boolean NOT NULL DEFAULT true,
  enabled boolean NOT NULL,
  claims text[] NOT NULL DEFAULT '{}',
  stage text,
  problem text,
  hint text,
  fingerprint text,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE plugin_generation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  generation bigint NOT NULL
);
CREATE TABLE circuit (
  plugin text COLLATE "C",
  hook text COLLATE "C",
  failures int NOT NULL,
  opened_at timestamptz,
  last_error text NOT NULL,
  PRIMARY KEY (plugin, hook)
);
CREATE TABLE process (
  id text COLLATE "C" PRIMARY KEY,
  kind text NOT NULL,
  host text NOT NULL,
  pid int NOT NULL,
  generation bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE customer_rows (
  plugin text COLLATE "C" NOT NULL,
  table_name text COLLATE "C",
  column_name text COLLATE "C",
  on_merge text NOT NULL CHECK (on_merge IN ('move', 'delete', 'null', 'hook')),
  on_erase text NOT NULL CHECK (on_erase IN ('delete', 'null', 'hook')),
  PRIMARY KEY (table_name, column_name)
);
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "plugins", SQL)
