"""Tells whose fault it is when a condition cannot be answered because a plugin's relation is not as it was declared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from zhike.conditions.checked import Checked, FieldTest, Relation, leaves
from zhike.conditions.problems import BadCondition
from zhike.conditions.values import Kind
from zhike.i18n import text
from zhike.orm import Connection

_WHOLE = frozenset({"int2", "int4", "int8"})
_VALUES: dict[Kind, frozenset[str]] = {
    "text": frozenset({"text", "varchar"}),
    "number": _WHOLE | {"numeric"},
    "boolean": frozenset({"bool"}),
    "instant": frozenset({"timestamptz"}),
}
# The statement's own parts do not fail in such a way: a view divides by zero, calls what is no longer there or raises
# an error of its own, finds two rows where it takes one, or was not filled yet.
_FAILURES = (
    asyncpg.DataError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.PLPGSQLError,
    asyncpg.CardinalityViolationError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.FDWError,
)
_COLUMNS = """
SELECT name, a.attname, t.typname
FROM unnest($1::text[]) AS name
JOIN pg_attribute AS a ON a.attrelid = to_regclass(name) AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS d ON d.oid = a.atttypid
JOIN pg_type AS t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
"""


@asynccontextmanager
async def relations_read(connection: Connection, checked: Checked) -> AsyncIterator[None]:
    """Check the relations that a condition reads, and blame them for what its statement fails on inside.

    Args:
        connection: Where the statement will run.
        checked: The condition.

    Raises:
        BadCondition: With the code `condition_field`, naming field and plugin.
    """
    tests = [(leaf, leaf.field) for leaf in leaves(checked) if isinstance(leaf, FieldTest)]
    related = [(test, field) for test, field in tests if isinstance(field, Relation)]
    if not related:
        yield
        return
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in await connection.fetch(_COLUMNS, sorted({field.table for _, field in related})):
        columns.setdefault(table, {})[column] = kind
    for test, field in related:
        _check(test, field, columns.get(field.table, {}))
    try:
        yield
    except _FAILURES as error:
        raise BadCondition(
            text(
                "{fields}: {plugins} cannot tell the values at present (error {state} of the database)",
                fields=", ".join(dict.fromkeys(test.key for test, _ in related)),
                plugins=", ".join(dict.fromkeys(field.plugin for _, field in related)),
                state=error.sqlstate,
            ),
            code="condition_field",
        ) from error


def _check(test: FieldTest, relation: Relation, columns: dict[str, str]) -> None:
    expected = {"customer_id": _WHOLE, "value": _VALUES[relation.kind]}
    if relation.history:
        expected |= dict.fromkeys(("valid_from", "valid_to"), _VALUES["instant"])
    for column, types in expected.items():
        if columns.get(column) not in types:
            raise BadCondition(
                text(
                    "{path}.field {key} cannot be asked: {table} of the plugin {plugin} has no column {column} of type"
                    " {types}",
                    path=test.path,
                    key=test.key,
                    table=relation.table,
                    plugin=relation.plugin,
                    column=column,
                    types=" / ".join(sorted(types)),
                ),
                code="condition_field",
            )
