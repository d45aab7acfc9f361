"""Rows of plugins that a merge has changed: how many there are before it, and putting them back afterwards."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from zhike.orm import Connection
from zhike.plugins.rows import DECLARED

_COUNT = "SELECT {column} AS id, count(*) AS n FROM {relation} WHERE {column} = ANY($1::bigint[]) GROUP BY 1"

# What was set to NULL stands with nobody; what was moved stands with the winner.
_BACK = """
UPDATE {relation} SET {column} = $2::bigint FROM customer_merge_row AS zhike_row
WHERE zhike_row.customer_merge_id = $1 AND zhike_row.table_name = '{table_name}'
  AND zhike_row.column_name = '{column_name}' AND zhike_row.row IS NULL
  AND {relation}.{column} IS NOT DISTINCT FROM {stands} AND {key} = zhike_row.key
"""
_RESTORE = """
INSERT INTO {relation} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM (
  SELECT (jsonb_populate_record(NULL::{relation}, zhike_row.row)).* FROM customer_merge_row AS zhike_row
  WHERE zhike_row.customer_merge_id = $1 AND zhike_row.table_name = '{table_name}'
    AND zhike_row.column_name = '{column_name}' AND zhike_row.row IS NOT NULL ORDER BY zhike_row.id
) AS restored
ON CONFLICT DO NOTHING
"""
_NOTED = """
SELECT DISTINCT table_name, column_name, "row" IS NOT NULL AS deleted FROM customer_merge_row
WHERE customer_merge_id = $1
"""
_FORGET = "DELETE FROM customer_merge_row WHERE customer_merge_id = $1"


class TableRows(msgspec.Struct, frozen=True):
    """What a plugin keeps about customers that are to be merged.

    Args:
        table: Its table.
        plugin: The plugin.
        on_merge: What happens to the rows of losers.
        rows: Number of rows by the customer's id.
    """

    table: str
    plugin: str
    on_merge: str
    rows: dict[int, int]


async def count_rows(connection: Connection, customers: Collection[int]) -> list[TableRows]:
    """Return the tables with rows about customers, and how many about each.

    Args:
        connection: To the database.
        customers: Their ids.
    """
    found = []
    for table in await connection.fetch(DECLARED):
        rows = dict(map(tuple, await connection.fetch(_COUNT.format_map(table), list(customers))))
        if rows:
            found.append(TableRows(table["table_name"], table["plugin"], table["on_merge"], rows))
    return found


async def put_back(connection: Connection, merge: int, winner: int, loser: int) -> None:
    """Give a loser the rows again that a merge has moved, and store again those that it has deleted.

    What a plugin has done itself in `merge_customer_data` is the plugin's: it is told by the event
    `customer.unmerged`.

    Args:
        connection: In the transaction that undoes the merge.
        merge: Its id in customer_merge.
        winner: The customer they were moved to.
        loser: Whose they were.
    """
    noted: Sequence[tuple[str, str, bool]] = [tuple(row) for row in await connection.fetch(_NOTED, merge)]
    if not noted:
        return
    declared = {(row["table_name"], row["column_name"]): row for row in await connection.fetch(DECLARED)}
    for table, column, deleted in sorted(noted):
        if (row := declared.get((table, column))) is None:  # the table is gone
            continue
        if deleted:
            await connection.execute(_RESTORE.format_map(row), merge)
        else:
            stands = "NULL::bigint" if row["on_merge"] == "null" else str(winner)
            await connection.execute(_BACK.format_map({**row, "stands": stands}), merge, loser)
    await connection.execute(_FORGET, merge)
