"""What chains the rows of the audit trail together, so that nobody can change it unnoticed."""

from zhike.orm import MigrationManager, sql_migration

ID = "access_0004_audit"
VERSION = "1.38.0"
DESCRIPTION = "sealed audit"

# What is there already gets salts of 122 random bits.
SQL = """
ALTER TABLE audit
  ADD COLUMN salt bytea,
  ADD COLUMN digest bytea,
  ADD COLUMN sequence bigint,
  ADD COLUMN chain bytea,
  ADD CHECK ((sequence IS NULL) = (chain IS NULL)),
  ALTER COLUMN details DROP NOT NULL,
  ALTER COLUMN details DROP DEFAULT;
UPDATE audit SET salt = uuid_send(gen_random_uuid());
UPDATE audit SET digest = sha256(salt || convert_to(details::text, 'UTF8'));
ALTER TABLE audit ALTER COLUMN digest SET NOT NULL;
CREATE UNIQUE INDEX audit_sequence ON audit (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (id) WHERE sequence IS NULL;
CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);
CREATE INDEX audit_action ON audit (action, at, id);
CREATE INDEX audit_object ON audit (object, at, id);
CREATE TABLE audit_head (
  id bigint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  sequence bigint NOT NULL,
  chain bytea NOT NULL,
  at timestamptz NOT NULL,
  mac bytea NOT NULL
);
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "access", SQL)
