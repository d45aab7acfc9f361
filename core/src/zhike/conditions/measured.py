"""Checks what a node measures: which events count, what is made of them, and what the result is compared with."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from zhike.conditions import comparison, durations, values
from zhike.conditions.checked import (
    MISSING,
    Checked,
    EventColumn,
    EventTest,
    Measure,
    MeasureName,
    Property,
    TrendTest,
)
from zhike.conditions.comparison import EQUALITY, ORDER, PRESENCE
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Condition, Event, Trend
from zhike.i18n import text
from zhike.money import EXPONENTS

BEHAVIOURS = "*"
PROPERTY = "event.properties."
_AMOUNTS = ("amount", "event.amount")
_PLAIN: tuple[MeasureName, ...] = ("count", "days_since_first", "days_since_last", "active_days")
_OF_NUMBERS: tuple[MeasureName, ...] = ("sum", "avg", "min", "max")
MEASURES: tuple[MeasureName, ...] = (*_PLAIN, *_OF_NUMBERS, "distinct")
_TREND_MEASURES = tuple(measure for measure in MEASURES if not measure.startswith("days_since"))
_TREND_OPS = ("gt", "gte", "lt", "lte", "between")
_MAX_NAME = 200

Where = Callable[[Condition, str, str], Checked]
"""Checks a condition over one event, given the currency of its amounts and its place."""


def measured(node: Event | Trend, path: str, *, default: str, where: Where) -> EventTest | TrendTest:
    """Return the checked form of a node that measures events.

    Args:
        node: The node.
        path: Its place.
        default: ISO 4217 code of the amounts that count when the node names none.
        where: Checks the node's `where`.

    Raises:
        BadCondition: If its parts are unknown or do not fit each other.
    """
    known = MEASURES if isinstance(node, Event) else _TREND_MEASURES
    name = next((each for each in known if each == node.measure), None)
    if name is None:
        raise BadCondition(
            text(
                "{path}.measure is {value!r}; expected one of {allowed}",
                path=path,
                value=node.measure,
                allowed=", ".join(known),
            )
        )
    measure = _measure(node, name, path, default, where)
    if isinstance(node, Trend):
        comparison.check_op(node.op, _TREND_OPS, path)
        compared = comparison.comparison(node.op, "number", node.value, path, values.number)
        return TrendTest(measure, durations.parse(node.within, f"{path}.within"), compared, path)
    within = None if node.within is None else durations.parse(node.within, f"{path}.within")
    comparison.check_op(node.op, EQUALITY + ORDER + (PRESENCE if name in MISSING else ()), path)

    def read(value: Any, place: str) -> Decimal:
        if measure.currency is None or name == "distinct":
            return values.number(value, place)
        return values.minor_units(value, measure.currency, place)

    return EventTest(measure, within, comparison.comparison(node.op, "number", node.value, path, read), path)


def _measure(node: Event | Trend, name: MeasureName, path: str, default: str, where: Where) -> Measure:
    events = _names(node.event, f"{path}.event")
    currency = _currency(default if node.currency is None else node.currency, f"{path}.currency")
    of = _of(node.of, name, currency, path)
    of_amount = isinstance(of, EventColumn)
    if node.currency is not None and not of_amount and node.where is None:
        raise _superfluous("currency", name, path)
    checked = None if node.where is None else where(node.where, currency, f"{path}.where")
    return Measure(name, events, of, currency if of_amount else None, checked)


def _names(event: str | list[str], path: str) -> tuple[str, ...]:
    names = [event] if isinstance(event, str) else event
    if names == [BEHAVIOURS]:
        return ()
    if not names:
        raise BadCondition(text("{path} must name at least one event", path=path))
    for name in names:
        if name == BEHAVIOURS:
            raise BadCondition(text("{path} must hold * alone or names alone", path=path))
        if not 0 < len(name.encode()) <= _MAX_NAME:
            raise BadCondition(text("{path} must be a name of 1 to {limit} bytes", path=path, limit=_MAX_NAME))
    return tuple(dict.fromkeys(names))


def _currency(currency: str, path: str) -> str:
    if currency not in EXPONENTS:
        raise BadCondition(
            text("{path} is {value!r}; expected an ISO 4217 code such as CNY", path=path, value=currency)
        )
    return currency


def _of(of: str | None, measure: MeasureName, currency: str, path: str) -> EventColumn | Property | None:
    if measure in _PLAIN:
        if of is not None:
            raise _superfluous("of", measure, path)
        return None
    if of is None:
        raise BadCondition(text("{path}.of is missing; expected amount or event.properties.…", path=path))
    if of in _AMOUNTS:
        return EventColumn("amount", "number", currency)
    if of.startswith(PROPERTY) and of != PROPERTY:
        return Property(of.removeprefix(PROPERTY))
    raise BadCondition(text("{path}.of is {value!r}; expected amount or event.properties.…", path=path, value=of))


def _superfluous(key: str, measure: str, path: str) -> BadCondition:
    return BadCondition(
        text("{path}.{key} must be left out: {measure} takes none", path=path, key=key, measure=measure)
    )
