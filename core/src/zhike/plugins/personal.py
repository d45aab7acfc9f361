"""Rows about customers in plugins' tables: erasing them, also of plugins that are off or gone, and showing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from zhike.orm import Connection

CHUNK = 2_000
"""Rows that are deleted by one statement."""
PAGE = 200
"""Rows that are read at a time."""

# A table that is gone has no rows.
DECLARED = """
SELECT
  d.plugin, d.table_name, d.column_name, d.on_erase,
  quote_ident(d.table_name) AS relation, quote_ident(d.column_name) AS column
FROM customer_rows AS d
JOIN pg_attribute AS a ON a.attrelid = to_regclass(quote_ident(d.table_name)) AND a.attname = d.column_name
WHERE NOT a.attisdropped ORDER BY d.table_name, d.column_name
"""
"""The columns of plugins' tables that hold customers, as they are declared."""
_SOME = "ctid = ANY (ARRAY(SELECT ctid FROM {relation} WHERE {column} = ANY ($1::bigint[]) LIMIT $2))"
_ERASE = {
    "delete": f"DELETE FROM {{relation}} AS r WHERE {_SOME} RETURNING to_jsonb(r) ->> 'id'",
    "null": f"UPDATE {{relation}} AS r SET {{column}} = NULL WHERE {_SOME} RETURNING NULL",
}
_LEFT = "SELECT EXISTS (SELECT FROM {relation} WHERE {column} = ANY ($1::bigint[]))"
_ROWS = "SELECT to_jsonb(r)::text FROM {relation} AS r WHERE {column} = ANY ($1::bigint[])"


class Part(NamedTuple):
    """What of plugins' rows was erased by one call.

    Args:
        more: Whether there are more rows to be erased.
        objects: The rows as the audit trail calls them: `<table>:<id>`.
    """

    more: bool
    objects: list[str]


async def erase_rows(connection: Connection, customers: Sequence[int]) -> Part:
    """Erase rows as they are declared, those that need a hook left aside, up to `CHUNK` of a table.

    Args:
        connection: In a transaction.
        customers: Ids.
    """
    more, objects = False, []
    for row in await connection.fetch(DECLARED):
        if statement := _ERASE.get(row["on_erase"]):
            gone = await connection.fetch(statement.format_map(row), customers, CHUNK)
            # A row that somebody else has just changed is another one now: the statement passes it over.
            more = more or await connection.fetchval(_LEFT.format_map(row), customers)
            objects += [f"{row['table_name']}:{each[0]}" for each in gone if each[0] is not None]
    return Part(more, objects)


async def hook_rows(connection: Connection, customers: Sequence[int]) -> set[tuple[str, str]]:
    """Return the plugins and tables with rows of customers that only these plugins' hooks can erase."""
    return {
        (row["plugin"], row["table_name"])
        for row in await connection.fetch(DECLARED)
        if row["on_erase"] == "hook" and await connection.fetchval(_LEFT.format_map(row), customers)
    }


async def rows_of(connection: Connection, customers: Sequence[int]) -> AsyncIterator[tuple[str, str, str]]:
    """Read all rows about customers, those of plugins that are off or gone too.

    Args:
        connection: In a transaction.
        customers: Ids.

    Yields:
        Plugin, table, and the row as JSON text.
    """
    for row in await connection.fetch(DECLARED):
        async for (shown,) in connection.cursor(_ROWS.format_map(row), customers, prefetch=PAGE):
            yield row["plugin"], row["table_name"], shown
