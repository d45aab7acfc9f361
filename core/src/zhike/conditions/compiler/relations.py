"""The SQL of a field whose values stand in a relation of a plugin, for both plans.

What is asked of a customer's rows is put so that finding some answers it, or finding none. For everybody the customers
with such rows are one set, joined once; for a few customers each one's rows are looked up by themselves.
"""

from __future__ import annotations

import msgspec

from zhike.conditions.checked import FieldTest, Relation
from zhike.conditions.compiler.comparisons import positive_sql
from zhike.conditions.compiler.context import Context, Fragment


class _Search(msgspec.Struct, frozen=True):
    """Which rows answer a test.

    Args:
        rows: Source and condition of the rows.
        having: What must be true of a customer's rows together; empty when one is enough.
        absent: Whether the test holds for those without such rows.
        since: Place of the instant at which a customer without them must have been known already, or empty.
    """

    rows: str
    having: str
    absent: bool
    since: str = ""

    def predicate(self, found: str, missing: str, *, negated: bool) -> str:
        """Return what holds for the right customers, given what holds for those with such rows and for the others."""
        if not self.since:
            return found if self.absent is negated else missing
        if negated:
            return f"({found} OR customer.created_at > {self.since})"
        return f"({missing} AND customer.created_at <= {self.since})"


def relation_sql(test: FieldTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a test of a relation, or of its negation, over all customers.

    Args:
        test: The test; its field is a relation.
        context: The statement's.
        negated: Whether the node stands under an odd number of `not`.
    """
    search = _search(test, context)
    customers = f"SELECT customer_id FROM {search.rows} GROUP BY customer_id{search.having}"
    alias = context.alias(customers)
    join = f"LEFT JOIN ({customers}) AS {alias} ON {alias}.customer_id = customer.id"
    found, missing = f"{alias}.customer_id IS NOT NULL", f"{alias}.customer_id IS NULL"
    return Fragment(search.predicate(found, missing, negated=negated), (join,))


def few_relation_sql(test: FieldTest, context: Context, *, negated: bool) -> Fragment:
    """Return the same for few customers; arguments are those of `relation_sql`."""
    search = _search(test, context)
    # With OFFSET it stays a query per customer, whose id is pushed down into the views of the plugin.
    found = f"EXISTS (SELECT FROM {search.rows} AND customer_id = customer.id{search.having} OFFSET 0)"
    return Fragment(search.predicate(found, f"NOT {found}", negated=negated))


def _search(test: FieldTest, context: Context) -> _Search:
    relation = test.field
    if not isinstance(relation, Relation):
        raise TypeError(f"the values of {test.key} stand in no relation")
    matches = _matches(test, relation, context)
    absent = test.comparison.negated
    if not relation.history:
        return _Search(f"{relation.table} WHERE {matches}", "", absent)
    now = context.params.bind(context.now, "timestamptz")
    lasts = f"(valid_to IS NULL OR valid_to > {now})"
    if test.held_for is None:
        return _Search(f"{relation.table} WHERE {matches} AND valid_from <= {now} AND {lasts}", "", absent)
    start = context.params.bind(test.held_for.before(context.now, context.zone), "timestamptz")
    # All rows that were valid at some instant from `start` to now; such as begin and end at once never were.
    rows = (
        f"{relation.table} WHERE valid_from <= {now} AND (valid_to IS NULL OR valid_to > greatest(valid_from, {start}))"
    )
    if relation.many and absent:
        return _Search(f"{rows} AND {matches}", "", absent, since=start)
    if relation.many:
        covered = f"range_agg(tstzrange(valid_from, valid_to)) @> tstzrange({start}, {now})"
        return _Search(f"{rows} AND {matches}", f" HAVING {covered} AND bool_or({lasts})", absent)
    known = f" HAVING bool_or(valid_from <= {start})"
    if absent:
        return _Search(rows, f"{known} AND bool_or({matches}) IS NOT TRUE", absent=False)
    always = f"bool_and(({matches}) IS TRUE) FILTER (WHERE valid_from < {now})"
    return _Search(rows, f"{known} AND {always} AND bool_or({matches} AND {lasts})", absent)


def _matches(test: FieldTest, relation: Relation, context: Context) -> str:
    """Return the SQL of the positive comparison with `value`, which is null where that is."""
    comparison = test.comparison
    if relation.many and comparison.op == "contains":
        comparison = msgspec.structs.replace(comparison, op="eq")
    # Texts are equal in every collation or in none; without another one than its own, an index on `value` serves.
    ordered = relation.kind == "text" and comparison.op not in ("eq", "in")
    return positive_sql(comparison, 'value COLLATE "C"' if ordered else "value", context)
