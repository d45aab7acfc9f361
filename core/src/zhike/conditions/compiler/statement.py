"""The statement of a whole condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zhike.conditions.checked import Checked, EventTest, FieldTest, Leaf, Moment, TrendTest, leaves
from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.compiler.events import event_sql, trend_sql
from zhike.conditions.compiler.few import few_sql
from zhike.conditions.compiler.fields import field_sql
from zhike.conditions.compiler.scans import scans_of
from zhike.conditions.compiler.tree import tree_sql

PLANNING = (
    "SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB';"
    " SET LOCAL plan_cache_mode = force_custom_plan"
)
"""Settings of the transaction that a set-based statement made here runs in.

PostgreSQL cannot estimate how many customers a comparison leaves. Where it expects one row it nests
loops and reads a set of thousands once per customer; hashing costs the same whatever it expects.
"""
_ONE_WINDOW = PLANNING.replace("SET LOCAL enable_nestloop = off; ", "")


def planning(checked: Checked) -> str:
    """Return the settings of the transaction that a condition's set-based statement runs in.

    Where the condition is one test of events in a window, there is one set to join and nothing to expect too little
    of: if the window is short, its few customers may be looked up instead of reading all there are.

    Args:
        checked: The condition.
    """
    tests = list(leaves(checked))
    alone = len(tests) == 1 and isinstance(tests[0], EventTest | TrendTest) and tests[0].within is not None
    return _ONE_WINDOW if alone else PLANNING


def compile_members(
    checked: Checked, *, select: str, moment: Moment, visible: str, among: Sequence[int] | None = None
) -> tuple[str, list[Any]]:
    """Return the statement over the customers for whom a condition holds.

    Customers merged into another are never among them.

    Args:
        checked: A checked condition.
        select: SQL of what is selected from `customer`, each member being one row.
        moment: What counts as now, and the deployment's zone.
        visible: SQL predicate over `customer` that the reader's scope gives.
        among: Ids of the few customers that are asked about, each of whom is then looked at apart; None for
            everybody, by sets.

    Returns:
        The SQL and the values of its places. The SQL ends with its WHERE clause, to which an AND, ORDER BY
        or LIMIT may be added with further places.
    """
    context = Context(moment)
    where = f"customer.merged_into IS NULL AND ({visible})"
    if among is None:
        fragment = tree_sql(checked, lambda leaf, negated: leaf_sql(leaf, context, negated=negated))
    else:
        where += f" AND customer.id = ANY({context.params.bind(tuple(among), 'bigint[]')})"
        fragment = tree_sql(checked, lambda leaf, negated: few_sql(leaf, context, negated=negated))
    source = " ".join(["customer", *dict.fromkeys(fragment.joins)])
    return f"SELECT {select} FROM {source} WHERE {where} AND {fragment.predicate}", context.params.values


def compile_each(asked: Sequence[tuple[Checked, Sequence[int]]], moment: Moment) -> tuple[str, list[Any]]:
    """Return the statement that answers several conditions, each among a few customers of its own.

    Every customer is read once, as are the events of a name that several measures are about, and values that
    conditions share are bound once.

    Args:
        asked: The conditions, each with the ids of those it is asked about.
        moment: What counts as now, and the deployment's zone.

    Returns:
        The SQL, whose rows have the columns `id` and `held` (of each condition whether it holds), and the values of
        its places.
    """
    context, scans = Context(moment), scans_of(asked)
    held = []
    for checked, among in asked:
        fragment = tree_sql(checked, lambda leaf, negated: few_sql(leaf, context, negated=negated, scans=scans))
        ids = context.params.bind(tuple(among), "bigint[]")
        held.append(f"CASE WHEN customer.id = ANY({ids}) THEN {fragment.predicate} IS TRUE ELSE false END")
    everybody = context.params.bind(tuple({each: None for _, among in asked for each in among}), "bigint[]")
    source = "customer" + "".join(scan.sql(context) for scan in scans.values())
    return (
        f"SELECT customer.id, ARRAY[{', '.join(held)}]::boolean[] AS held FROM {source}"
        f" WHERE customer.merged_into IS NULL AND customer.id = ANY({everybody})"
    ), context.params.values


def leaf_sql(leaf: Leaf, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a leaf, or of its negation, over all customers.

    Args:
        leaf: The leaf.
        context: The statement's.
        negated: Whether it stands under an odd number of `not`.
    """
    match leaf:
        case FieldTest():
            return field_sql(leaf, context, negated=negated)
        case EventTest():
            return event_sql(leaf, context, negated=negated)
        case _:
            return trend_sql(leaf, context, negated=negated)
