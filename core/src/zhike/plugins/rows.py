"""Rows about customers in plugins' tables: what is declared, what is not, and moving them when customers merge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import asyncpg
import msgspec

from zhike.contracts import CustomerRows
from zhike.errors import Conflict
from zhike.i18n import Text, text
from zhike.orm import Connection

# A table that is gone has no rows to move. Of each unique key with the column in it: its other parts, whether rows
# with NULL in them are equal there, and the condition of a partial one; all as SQL that names no table. `key` is what
# tells a row from others of the same customer, as JSON: the primary key, or all columns where there is none.
DECLARED = """
SELECT d.plugin, d.table_name, d.column_name, d.on_merge, quote_ident(d.table_name) AS relation,
  quote_ident(d.column_name) AS column, (
    SELECT 'jsonb_build_object(' || coalesce(string_agg(format('%1$L, %2$I.%1$I', k.attname, d.table_name), ', '
      ORDER BY k.attnum) FILTER (WHERE k.attnum <> a.attnum AND (p.indkey IS NULL OR k.attnum = ANY (p.indkey))), '')
      || ')'
    FROM pg_attribute AS k LEFT JOIN pg_index AS p ON p.indrelid = k.attrelid AND p.indisprimary
    WHERE k.attrelid = a.attrelid AND k.attnum > 0 AND NOT k.attisdropped
  ) AS key, (
    SELECT string_agg(quote_ident(k.attname), ', ') FROM pg_attribute AS k
    WHERE k.attrelid = a.attrelid AND k.attnum > 0 AND NOT k.attisdropped AND k.attgenerated = ''
  ) AS columns, (
    SELECT jsonb_agg(jsonb_build_object(
      'parts', (
        SELECT coalesce(jsonb_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k), '[]')
        FROM generate_series(1, i.indnkeyatts) AS k WHERE i.indkey[k - 1] <> a.attnum
      ),
      'nulls_equal', i.indnullsnotdistinct, 'condition', pg_get_expr(i.indpred, i.indrelid, true)
    ))
    FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique
      AND EXISTS (SELECT FROM generate_series(1, i.indnkeyatts) AS k WHERE i.indkey[k - 1] = a.attnum)
  ) AS keys
FROM customer_rows AS d
JOIN pg_attribute AS a ON a.attrelid = to_regclass(quote_ident(d.table_name)) AND a.attname = d.column_name
WHERE NOT a.attisdropped AND d.on_merge <> 'keep' ORDER BY d.table_name, d.column_name
"""

# Of rows that would be equal the winner's own is kept, else the first of a loser's.
_DELETE_DOUBLES = """
  DELETE FROM {relation} WHERE ctid = ANY (ARRAY(
    SELECT place FROM (
      SELECT {relation}.ctid AS place, zhike_from, row_number() OVER (
        PARTITION BY coalesce(zhike_to, {column}){parts} ORDER BY zhike_from NULLS FIRST, {relation}.ctid
      ) AS n
      FROM {relation} LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS pair (zhike_from, zhike_to)
        ON zhike_from = {column}
      WHERE {column} = ANY ($1 || $2){conditions}
    ) AS ranked WHERE n > 1 AND zhike_from IS NOT NULL
  ))
  RETURNING {column} AS zhike_from, {key} AS key, to_jsonb({relation}) AS row
"""
_MOVE = """
  UPDATE {relation} SET {column} = zhike_to
  FROM unnest($1::bigint[], $2::bigint[]) AS pair (zhike_from, zhike_to) WHERE {column} = zhike_from
  RETURNING zhike_from, {key} AS key, NULL::jsonb AS row
"""
_DELETE = """
  DELETE FROM {relation} WHERE {column} = ANY ($1::bigint[])
  RETURNING {column} AS zhike_from, {key} AS key, to_jsonb({relation}) AS row
"""
_NULL = """
  UPDATE {relation} SET {column} = NULL FROM unnest($1::bigint[]) AS n (zhike_from) WHERE {column} = zhike_from
  RETURNING zhike_from, {key} AS key, NULL::jsonb AS row
"""
# What unmerge needs. A row that moves through several merges at once is noted for each, a deleted one for its own.
_RECORD_MOVES = """
WITH changed AS ({changing})
INSERT INTO customer_merge_row (customer_merge_id, table_name, column_name, key, "row")
SELECT m.id, '{table_name}', '{column_name}', changed.key, changed.row
FROM changed JOIN unnest($3::bigint[], $4::bigint[], $5::boolean[]) AS m (loser_id, id, first)
  ON m.loser_id = changed.zhike_from AND (m.first OR changed.row IS NULL)
"""
_AFFECTED = "EXISTS (SELECT FROM {relation} WHERE {column} = ANY ($1::bigint[]))"

_COLUMNS = """
SELECT c.relname AS table_name, a.attname AS column_name, a.attnotnull AS not_null,
  format_type(a.atttypid, NULL) AS type
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
  AND (starts_with(c.relname, $1 || '_') OR c.relname = ANY ($2::text[]))
ORDER BY c.relname, a.attnum
"""
_RECORD = """
INSERT INTO customer_rows (plugin, table_name, column_name, on_merge, on_erase)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
"""


class _Key(msgspec.Struct, frozen=True):
    parts: list[str]
    nulls_equal: bool
    condition: str | None


async def move_rows(
    connection: Connection,
    pairs: Sequence[tuple[int, int]],
    merges: Mapping[int, Sequence[int]] = MappingProxyType({}),
    *,
    duties: Collection[str] = (),
) -> None:
    """Do what plugins have declared about the rows of customers that are merged into others.

    That holds also for plugins that are off or gone. The number of statements depends on the tables with rows of
    the losing customers, not on the number of pairs.

    Args:
        connection: Inside the transaction of the merge, which has locked both sides of each pair.
        pairs: The losing customer's id and the winner's; no winner loses in another pair.
        merges: Of losing customers the ids in customer_merge that lead to the winner, its own first; with them is
            noted what has changed.
        duties: The plugins whose `merge_customer_data` is called in the same transaction, as named by
            `platform.hooks.implementers("merge_customer_data")`.

    Raises:
        Conflict: If a losing customer has rows in a table declared as `hook` whose plugin is not among `duties`;
            nothing has been changed then.
    """
    declared = await connection.fetch(DECLARED) if pairs else []
    if not declared:
        return
    losers, winners = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    questions = ", ".join(_AFFECTED.format_map(row) for row in declared)
    # As JSON, since asyncpg would ask each connection what kind of array it is.
    affected = msgspec.json.decode(await connection.fetchval(f"SELECT to_jsonb(ARRAY[{questions}])", losers))
    concerned = [row for row, has_rows in zip(declared, affected, strict=True) if has_rows]
    for row in concerned:
        if row["on_merge"] == "hook" and row["plugin"] not in duties:
            raise Conflict(
                text(
                    "Customers with rows in {table} can be merged only while the plugin {plugin} runs; enable it, or "
                    "give its data up with `zhike plugin purge {plugin}`",
                    table=row["table_name"],
                    plugin=row["plugin"],
                )
            )
    noted = [(loser, merge, n == 0) for loser, each in merges.items() for n, merge in enumerate(each)]
    places = [[each[part] for each in noted] for part in range(3)]
    for row in concerned:
        for changing in _changes(row):
            sql = _RECORD_MOVES.format_map({**row, "changing": changing})
            # Not all of them name the winners, of whom PostgreSQL would not know the type.
            sql += "" if "$2" in changing else " AND $2::bigint[] IS NOT NULL"
            await connection.execute(sql, losers, winners, *places)


def _changes(row: asyncpg.Record) -> Iterator[str]:
    if row["on_merge"] == "move":
        yield from _moves(row)
    elif row["on_merge"] != "hook":
        yield (_NULL if row["on_merge"] == "null" else _DELETE).format_map(row)


def _moves(row: asyncpg.Record) -> Iterator[str]:
    for key in msgspec.json.decode(row["keys"] or "[]", type=list[_Key]):
        conditions = [] if key.nulls_equal else [f"({part}) IS NOT NULL" for part in key.parts]
        conditions += [f"({key.condition})"] if key.condition else []
        yield _DELETE_DOUBLES.format(
            relation=row["relation"],
            column=row["column"],
            key=row["key"],
            parts="".join(f", ({part})" for part in key.parts),
            conditions="".join(f" AND {condition}" for condition in conditions),
        )
    yield _MOVE.format_map(row)


async def undeclared(connection: Connection, plugin: str, rows: Sequence[CustomerRows]) -> Text | None:
    """Say what is wrong with a plugin's declarations of customer rows, or return None.

    Wrong is a declared table or column that does not exist or cannot be treated as declared, and a column
    `customer_id` or `…_customer_id` of a table `<plugin>_…` that is not declared.

    Args:
        connection: Where the plugin's migrations have run.
        plugin: Its name.
        rows: What it registers.
    """
    found = await connection.fetch(_COLUMNS, plugin, [each.table for each in rows])
    columns = {(column["table_name"], column["column_name"]): column for column in found}
    for each in rows:
        if wrong := _wrong(plugin, each, columns):
            return wrong
    declared = {(each.table, each.column) for each in rows}
    for table, name in columns.keys() - declared:
        if name == "customer_id" or name.endswith("_customer_id"):
            return text("{place} holds customers, but no CustomerRows declares it", place=f"{table}.{name}")
    return None


def _wrong(plugin: str, each: CustomerRows, columns: Mapping[tuple[str, str], asyncpg.Record]) -> Text | None:
    """Say what is wrong with one declaration, or return None."""
    place = f"{each.table}.{each.column}"
    column = columns.get((each.table, each.column))
    if not each.table.startswith(f"{plugin}_"):
        return text("the customer rows of {place} are declared, but its table is another's", place=place)
    if column is None:
        return text("the customer rows of {place} are declared, but there is no such column", place=place)
    if column["type"] not in {"bigint", "integer"}:
        return text("{place} has the type {type}; expected bigint", place=place, type=column["type"])
    if column["not_null"] and "null" in {each.on_merge, each.on_erase}:
        return text("{place} is to become null, but it is NOT NULL", place=place)
    flag = columns.get((each.table, each.derived)) if each.derived else None
    if each.derived and (flag is None or flag["type"] != "boolean"):
        return text("{place} is to tell derived rows, but is no boolean", place=f"{each.table}.{each.derived}")
    return None


async def declare(connection: Connection, plugin: str, rows: Sequence[CustomerRows]) -> bool:
    """Record a plugin's declarations in place of those it made before; return whether they differ.

    Args:
        connection: Inside a transaction.
        plugin: Its name.
        rows: What it registers, without anything that `undeclared` finds wrong.
    """
    new = sorted((each.table, each.column, each.on_merge, each.on_erase) for each in rows)
    if await recorded(connection, plugin) == new:
        return False
    await connection.execute("DELETE FROM customer_rows WHERE plugin = $1", plugin)
    await connection.execute(_RECORD, plugin, *(list(part) for part in zip(*new, strict=True)) if new else [[]] * 4)
    return True


async def recorded(connection: Connection, plugin: str) -> list[tuple[str, str, str, str]]:
    """Return a plugin's recorded declarations, sorted: table, column, on_merge, on_erase."""
    sql = "SELECT table_name, column_name, on_merge, on_erase FROM customer_rows WHERE plugin = $1"
    return sorted(tuple(row) for row in await connection.fetch(sql, plugin))
