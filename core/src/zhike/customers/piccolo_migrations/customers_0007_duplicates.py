"""Duplicates that are looked for: by what customers are compared, how alike pairs are, and who decided on them."""

from zhike.orm import MigrationManager, sql_migration

ID = "customers_0007_duplicates"
VERSION = "1.38.0"
DESCRIPTION = "detection of duplicates and its review"

# What ingest finds and what detection finds are one queue: a pair stands in it once. Without fastupdate a look into the
# index never reads a list of pending entries. Customers from before are compared by a job.
SQL = """
ALTER TABLE duplicate_candidate
  DROP CONSTRAINT duplicate_candidate_state_check,
  ADD COLUMN rules text[] NOT NULL DEFAULT '{}',
  ADD COLUMN score smallint NOT NULL DEFAULT 0,
  ADD COLUMN decided_by text,
  ADD COLUMN decided_at timestamptz;
UPDATE duplicate_candidate SET
  state = CASE state WHEN 'dismissed' THEN 'distinct' ELSE state END,
  score = CASE reason WHEN 'strong_identity' THEN 90 ELSE 60 END;
ALTER TABLE duplicate_candidate
  ADD CONSTRAINT duplicate_candidate_state_check CHECK (state IN ('open', 'later', 'distinct', 'merged'));
CREATE INDEX duplicate_candidate_queue ON duplicate_candidate (state, score DESC, id DESC);
CREATE TABLE customer_match (
  customer_id bigint PRIMARY KEY,
  keys bigint[] NOT NULL
);
CREATE INDEX customer_match_keys ON customer_match USING gin (keys) WITH (fastupdate = off);
CREATE TABLE duplicate_block (
  key bigint PRIMARY KEY,
  rule text NOT NULL,
  seen_at timestamptz NOT NULL
);
CREATE TABLE duplicate_scan (
  id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  position bigint NOT NULL,
  scan_after bigint,
  scan_until bigint,
  compared bigint NOT NULL DEFAULT 0,
  started_at timestamptz,
  ended_at timestamptz
);
INSERT INTO duplicate_scan (position) SELECT 0;
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('log_batch') AND attname = 'position'
  ) THEN
    UPDATE duplicate_scan SET position = (SELECT coalesce(max(b.position), 0) FROM log_batch AS b);
  END IF;
  IF to_regclass('job') IS NOT NULL AND EXISTS (SELECT FROM customer) THEN
    INSERT INTO job (name, key, payload) VALUES ('customers.duplicates', 'scan', '{"scan": true}');
  END IF;
END $$;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "customers", SQL)
