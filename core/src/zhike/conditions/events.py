"""An event node in its checked form: which events count, what is measured, and the comparison."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from zhike.conditions import comparison, durations, values
from zhike.conditions.comparison import EQUALITY, ORDER, Comparison
from zhike.conditions.durations import Duration
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Event
from zhike.i18n import text
from zhike.money import EXPONENTS

BEHAVIOURS = "*"
MEASURES = ("count", "sum")
_OPS = EQUALITY + ORDER
_AMOUNT = ("amount", "event.amount")
_MAX_NAME = 200


class EventTest(msgspec.Struct, frozen=True):
    """An event node whose parts are known to fit each other.

    Args:
        names: Events that count; none stands for all behaviours.
        currency: The one whose amounts are added up, in minor units; None where events are counted.
        within: How long before now events count; None for all time.
        comparison: What the measure is compared with, in minor units for amounts.
    """

    names: tuple[str, ...]
    currency: str | None
    within: Duration | None
    comparison: Comparison


def event_test(node: Event, path: str, currency: str) -> EventTest:
    """Return the checked form of an event node.

    Args:
        node: The node.
        path: Its place.
        currency: The deployment's.

    Raises:
        BadCondition: If one of its parts is unknown or does not fit the others.
    """
    if node.measure not in MEASURES:
        measures = ", ".join(MEASURES)
        raise BadCondition(
            text(
                "{path}.measure is {value!r}; expected one of {allowed}",
                path=path,
                value=node.measure,
                allowed=measures,
            )
        )
    names = _names(node.event, f"{path}.event")
    counted = _currency(node, path, currency)
    comparison.check_op(node.op, _OPS, path)

    def read(value: Any, place: str) -> Decimal:
        if counted is None:
            return values.number(value, place)
        return _scaled(values.major_units(value, place), EXPONENTS[counted])

    return EventTest(
        names=names,
        currency=counted,
        within=None if node.within is None else durations.parse(node.within, f"{path}.within"),
        comparison=comparison.comparison(node.op, "number", node.value, path, read),
    )


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


def _currency(node: Event, path: str, default: str) -> str | None:
    if node.measure == "count":
        for key in ("of", "currency"):
            if getattr(node, key) is not None:
                raise BadCondition(text("{path}.{key} must be left out: count takes none", path=path, key=key))
        return None
    if node.of is None:
        raise BadCondition(text("{path}.of is missing; expected amount", path=path))
    if node.of not in _AMOUNT:
        raise BadCondition(text("{path}.of is {value!r}; expected amount", path=path, value=node.of))
    currency = default if node.currency is None else node.currency
    if currency not in EXPONENTS:
        raise BadCondition(
            text(
                "{path}.currency is {value!r}; expected an ISO 4217 code such as CNY",
                path=path,
                value=currency,
            )
        )
    return currency


def _scaled(amount: Decimal, digits: int) -> Decimal:
    """Return `amount` times ten to the power of `digits`, exactly: Decimal's own arithmetic would round."""
    sign, figures, exponent = amount.as_tuple()
    return Decimal((sign, figures, int(exponent) + digits))
