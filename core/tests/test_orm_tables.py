"""The Piccolo tables say the same as the schema that the migrations make."""

from __future__ import annotations

import importlib

import pytest
from piccolo.columns import Array, Boolean, Bytea, Date, Integer, SmallInt, Text, Timestamptz
from piccolo.columns.base import Column
from piccolo.columns.column_types import JSONB, BigInt, BigSerial

from zhike._host.db.apps import CORE

MODULES = [importlib.import_module(f"zhike.{app.name}.tables") for app in CORE]
TABLES = {getattr(module, name)._meta.tablename: getattr(module, name) for module in MODULES for name in module.__all__}
TYPES = {
    Array: "ARRAY",
    BigInt: "bigint",
    BigSerial: "bigint",
    Boolean: "boolean",
    Bytea: "bytea",
    Date: "date",
    Integer: "integer",
    JSONB: "jsonb",
    SmallInt: "smallint",
    Text: "text",
    Timestamptz: "timestamp with time zone",
}


def as_stored(column: Column) -> tuple[str, bool]:
    return TYPES[type(column)], column._meta.null


async def test_every_table_has_its_class(database):
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in rows} == {*TABLES, "migration"}


@pytest.mark.parametrize("name", sorted(TABLES))
async def test_columns(database, name):
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = $1",
            name,
        )
        keys = await connection.fetch(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY (i.indkey) WHERE i.indrelid = $1::text::regclass AND i.indisprimary",
            name,
        )
        # It can be read, and its own name is not one of Piccolo's.
        assert len(await TABLES[name].select()) == await TABLES[name].count()
    stored = {row["column_name"]: (row["data_type"], row["is_nullable"] == "YES") for row in rows}
    assert {c._meta.db_column_name: as_stored(c) for c in TABLES[name]._meta.columns} == stored
    assert TABLES[name]._meta.primary_key._meta.db_column_name in {row["attname"] for row in keys}


async def test_text_keys_compare_by_code_point(database):
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND collation_name = 'C'"
        )
    assert {row["name"] for row in rows} == {
        *("identity.namespace", "identity.value", "customer_field.key", "customer_relation.kind"),
        *("event.message_id", "event.name", "event.currency"),
        *("customer_event_stat.name", "customer_event_stat.currency", "event_type.name"),
        *("consumer.name", "consumer_cursor.consumer", "consumer_attempt.consumer"),
        *("dead_letter.consumer", "dead_letter.message_id", "dead_letter.event_name"),
        *("job.name", "job.queue", "job.key", "job.state", "job.plugin"),
        *("calendar.name", "calendar_day.calendar"),
        *("schedule.name", "schedule.job", "schedule.plugin", "task.key", "task.status"),
        *("plugin.name", "circuit.plugin", "circuit.hook", "process.id"),
        *("role.name", "role_permission.role", "role_permission.permission", "field_rule.role", "field_rule.field"),
        *("secret.plugin", "secret.name", "setting_group.key", "notice.key", "saved_view.page"),
        "customer_field_group.key",
        "customer_search.tokens",
        *("file.owner", "file.permission"),
        *("customer_rows.plugin", "customer_rows.table_name", "customer_rows.column_name"),
        *("customer_merge_row.table_name", "customer_merge_row.column_name"),
    }
