"""Says why a condition holds for one customer or not: of every node whether it did, on which value.

One statement answers for all nodes. Whether a leaf holds comes from the very SQL that evaluates it for few customers,
so that the explanation cannot contradict a search.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import HIDDEN
from zhike.access.roles import CONDITIONS_COUNT
from zhike.access.scope import visible_customers
from zhike.conditions.checked import (
    AllOf,
    Attribute,
    Checked,
    Column,
    EventTest,
    FieldTest,
    Leaf,
    Moment,
    Negation,
    OneOf,
    Relation,
    TrendTest,
    leaves,
)
from zhike.conditions.compiler.context import Context
from zhike.conditions.compiler.few import PLANNING, few_sql
from zhike.conditions.compiler.measures import number_sql, rows_sql, trend_values, value_sql, window_sql
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Not, Trend
from zhike.conditions.turns import turn
from zhike.customers.service import not_found, winner_of
from zhike.money import to_major
from zhike.orm import Database

MOST_VALUES = 100
"""How many values of a field with many are shown."""

_STATEMENT = """
SELECT customer.id, ARRAY[{held}]::boolean[], ARRAY[{values}]::jsonb[], ARRAY[{left_out}]::bigint[]
FROM customer WHERE customer.id = ${place}::bigint AND {visible}
"""
_read = msgspec.json.Decoder(float_hook=Decimal).decode


class Expected(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a value was compared with, as it was sent.

    Args:
        op: The operator.
        value: What stands to its right; left out for operators that take nothing.
    """

    op: str
    value: Any = None


class ExplainedNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why one node holds or not; what does not apply to it is left out.

    Args:
        path: Its place, such as `condition.of[0]`; a part comes after what it is part of.
        type: The node's.
        held: Whether it held.
        expected: What the value was compared with.
        value: What was found: a field's value, a list of those of a field with many (the first 100), a measure, or
            the change of one as a share of the earlier value. Null if it is missing. Money is in major units, times
            are RFC 3339.
        later: For a trend, the measure in the window that ends now.
        earlier: For a trend, the measure in the window before.
        currency: ISO 4217 code of amounts.
        left_out: How many events that would have counted were left out, being of other currencies.
    """

    path: str
    type: Literal["all", "any", "not", "field", "event", "trend"]
    held: bool
    expected: Expected | msgspec.UnsetType = msgspec.UNSET
    value: Any = msgspec.UNSET
    later: Any = msgspec.UNSET
    earlier: Any = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    left_out: int | msgspec.UnsetType = msgspec.UNSET


class Explained(msgspec.Struct, frozen=True):
    """Why a condition holds for a customer or not.

    Args:
        customer_id: Whom this is about: the winner, for a customer who was merged away.
        held: Whether the condition held.
        nodes: Every node of the condition, the whole first; what stands in a `where` is part of its node.
    """

    customer_id: int
    held: bool
    nodes: list[ExplainedNode]


async def explain(
    db: Database, actor: Actor, condition: Condition, checked: Checked, customer_id: int, moment: Moment
) -> Explained:
    """Return why a condition holds for a customer or not.

    Args:
        db: The process's database.
        actor: Who asks.
        condition: The condition as it was sent.
        checked: Its checked form, which `actor` may ask about.
        customer_id: Whom it is about.
        moment: What counts as now.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see them.
        BadCondition: With code `condition_cost`, if it takes too long.
        TooMany: If too many questions about conditions are being answered already.
    """
    asked = list(leaves(checked))
    sql, values = _statement(asked, moment, visible_customers(actor, permission=CONDITIONS_COUNT))
    async with turn(db, checked) as connection:
        await connection.execute(PLANNING)
        row = await connection.fetchrow(sql, *values, customer_id)
        if row is None and (winner := await winner_of(connection, customer_id)) is not None:
            row = await connection.fetchrow(sql, *values, winner)
    if row is None:
        raise not_found(customer_id)
    found = {leaf.path: each for leaf, *each in zip(asked, row[1], map(_json, row[2]), row[3], strict=True)}
    nodes = _Nodes(found)
    nodes.add(condition, checked)
    return Explained(row[0], nodes.done[0].held, nodes.done)


class _Nodes:
    """Collects what is said about the nodes, those that are parts of others behind them.

    Args:
        found: Path of a leaf to whether it held, the value, and how many events were left out.
    """

    def __init__(self, found: dict[str, list[Any]]) -> None:
        self.done: list[ExplainedNode] = []
        self._found = found

    def add(self, node: Condition, checked: Checked) -> bool:
        """Add a node with its parts and return whether it held."""
        place = len(self.done)
        match node, checked:
            case (All() | AnyOf(), AllOf() | OneOf()):
                parts = [self.add(*pair) for pair in zip(node.of, checked.parts, strict=True)]
                held = all(parts) if isinstance(node, All) else any(parts)
                said = ExplainedNode(path=checked.path, type="all" if isinstance(node, All) else "any", held=held)
            case (Not(), Negation()):
                held = not self.add(node.of, checked.part)
                said = ExplainedNode(path=checked.path, type="not", held=held)
            case (Field() | Event() | Trend(), FieldTest() | EventTest() | TrendTest()):
                said = _leaf(node, checked, *self._found[checked.path])
            case _:
                raise TypeError("the checked condition is another one")
        self.done.insert(place, said)
        return said.held


def _leaf(node: Field | Event | Trend, leaf: Leaf, held: bool, value: Any, left_out: int | None) -> ExplainedNode:
    expected = Expected(node.op, node.value)
    if isinstance(leaf, FieldTest):
        return ExplainedNode(path=leaf.path, type="field", held=held, expected=expected, value=value)
    more: dict[str, Any] = {}
    currency = leaf.measure.currency
    if currency is not None:
        more = {"currency": currency, "left_out": left_out}
    shown = [_shown(each, leaf) for each in value]
    if isinstance(leaf, EventTest):
        return ExplainedNode(path=leaf.path, type="event", held=held, expected=expected, value=shown[0], **more)
    later, earlier = shown
    change = None if later is None or not earlier else (later - earlier) / abs(earlier)
    more |= {"later": later, "earlier": earlier}
    return ExplainedNode(path=leaf.path, type="trend", held=held, expected=expected, value=change, **more)


def _shown(value: Any, leaf: EventTest | TrendTest) -> Decimal | None:
    """Return a measure as it is shown: amounts, which are stored in minor units, in major ones."""
    if value is None:
        return None
    number = Decimal(value)
    if leaf.measure.currency is None or leaf.measure.name == "distinct":
        return number
    return number * to_major(1, leaf.measure.currency)


def _statement(asked: list[Leaf], moment: Moment, visible: str) -> tuple[str, list[Any]]:
    """Return the statement that asks for all leaves, and the values of its places but the last, the customer's id."""
    context = Context(moment)
    sql = _STATEMENT.format(
        held=", ".join(f"({few_sql(leaf, context, negated=False).predicate}) IS TRUE" for leaf in asked),
        values=", ".join(_value_sql(leaf, context) for leaf in asked),
        left_out=", ".join(_left_out_sql(leaf, context) for leaf in asked),
        place=len(context.params.values) + 1,
        visible=visible,
    )
    return sql, context.params.values


def _value_sql(leaf: Leaf, context: Context) -> str:
    match leaf:
        case FieldTest(field=Column() as column):
            return f"to_jsonb(customer.{column.name})"
        case FieldTest(field=Attribute(sealed=True) as attribute):
            known = f"customer.attributes ? {context.params.bind(attribute.key, 'text')}"
            return f"CASE WHEN {known} THEN to_jsonb('{HIDDEN}'::text) END"
        case FieldTest(field=Attribute() as attribute):
            return f"customer.attributes -> {context.params.bind(attribute.key, 'text')}"
        case FieldTest(field=Relation() as relation):
            return _relation_sql(relation, context)
        case EventTest(measure=measure):
            numbers = [number_sql(measure.name, value_sql(measure, context), context)]
        case TrendTest(measure=measure):
            numbers = [number_sql(measure.name, side, context) for side in trend_values(leaf, context)]
        case _:
            raise TypeError(f"{leaf.path} is not about a customer")
    events = _events_sql(rows_sql(measure, context), window_sql(leaf, context))
    return f"(SELECT jsonb_build_array({', '.join(numbers)}) {events})"


def _left_out_sql(leaf: Leaf, context: Context) -> str:
    if isinstance(leaf, FieldTest) or leaf.measure.currency is None:
        return "NULL"
    rows = rows_sql(msgspec.structs.replace(leaf.measure, name="count", of=None, currency=None), context)
    currency = context.params.bind(leaf.measure.currency, "text")
    return f"(SELECT count(*) {_events_sql(rows, window_sql(leaf, context))} AND event.currency <> {currency})"


def _events_sql(rows: str, window: str) -> str:
    return f"FROM event WHERE event.customer_id = customer.id AND {rows} AND {window}"


def _relation_sql(relation: Relation, context: Context) -> str:
    valid = ""
    if relation.history:
        now = context.params.bind(context.now, "timestamptz")
        valid = f" AND valid_from <= {now} AND (valid_to IS NULL OR valid_to > {now})"
    rows = f"FROM {relation.table} WHERE customer_id = customer.id{valid} AND value IS NOT NULL"
    if not relation.many:
        return f"(SELECT to_jsonb(value) {rows} LIMIT 1)"
    shown = f"SELECT value {rows} ORDER BY value LIMIT {MOST_VALUES}"
    return f"(SELECT coalesce(jsonb_agg(value), '[]') FROM ({shown}) AS shown)"


def _json(value: str | None) -> Any:
    return None if value is None else _read(value)
