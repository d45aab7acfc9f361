"""Says in memory whether a condition over one event holds, or one comparison of one value, as the SQL would."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from zhike.conditions.checked import AllOf, Checked, EventColumn, FieldTest, Moment, Negation, OneOf, Property
from zhike.conditions.comparison import POSITIVE, Comparison
from zhike.conditions.durations import anniversaries
from zhike.conditions.values import INSTANT, Kind
from zhike.contracts import RecordedEvent
from zhike.money import EXPONENTS

_INSTANT = re.compile(INSTANT)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # walls of any zone are measured from it
_MICROSECOND = timedelta(microseconds=1)
_CYCLE = timedelta(days=146_097)  # 400 years, after which the Gregorian calendar repeats


def holds(where: Checked, event: RecordedEvent, moment: Moment) -> bool:
    """Return whether a condition over the event itself holds.

    Args:
        where: What `check_where` made, or the `where` of a measure.
        event: The event.
        moment: What counts as now, for `within_last` and `anniversary`, and where dates without offset are meant.

    Raises:
        TypeError: If the condition is about a customer.
    """
    return _Reader(event, moment).holds(where)


def compares(comparison: Comparison, value: Any, moment: Moment) -> bool:
    """Return whether a value compares as asked.

    Args:
        comparison: Operator and values.
        value: A JSON value, with exact numbers as `int` or `Decimal`, or an aware `datetime`. None and values of
            another kind than the comparison's are missing.
        moment: See `holds`.
    """
    if comparison.op == "is_set":
        return (value is not None) is not comparison.negated
    zone = ZoneInfo(moment.zone)
    left = _typed(value, comparison.kind, zone)
    return (left is not None and _positive(comparison, left, moment.now, zone)) is not comparison.negated


class _Reader:
    """One event, whose properties are decoded once."""

    def __init__(self, event: RecordedEvent, moment: Moment) -> None:
        self._event = event
        self._moment = moment

    @cached_property
    def _properties(self) -> dict[str, Any]:
        return self._event.properties

    def holds(self, node: Checked) -> bool:
        match node:
            case AllOf():
                return all(map(self.holds, node.parts))
            case OneOf():
                return any(map(self.holds, node.parts))
            case Negation():
                return not self.holds(node.part)
            case FieldTest(field=Property() as field):
                return compares(node.comparison, self._properties.get(field.key), self._moment)
            case FieldTest(field=EventColumn() as field):
                return compares(node.comparison, self._column(field), self._moment)
        raise TypeError(f"{node.path} is not about an event")

    def _column(self, field: EventColumn) -> Any:
        event = self._event
        if field.name == "amount":
            if event.amount is None or field.currency is None or event.currency != field.currency:
                return None
            return event.amount.scaleb(EXPONENTS[field.currency])
        # A source that was not given is stored as an empty text.
        return getattr(event, field.name) or None


def _typed(value: Any, kind: Kind, zone: ZoneInfo) -> Any:
    """Return a value as it is compared, instants as microseconds since the epoch; None if it is of another kind."""
    match value, kind:
        case (str(), "text") | (bool(), "boolean"):
            return value
        case (int() | Decimal(), "number") if not isinstance(value, bool):
            return Decimal(value)
        case (datetime(), "instant"):
            return _since_epoch(value, zone)
        case (str(), "instant") if _INSTANT.fullmatch(value):
            return _since_epoch(datetime.fromisoformat(value), zone)
    return None


def _positive(comparison: Comparison, left: Any, now: datetime, zone: ZoneInfo) -> bool:
    values = comparison.values
    if comparison.op == "within_last":
        start, end = _since_epoch(values[0].before(now, zone), zone), _since_epoch(now, zone)
        return bool(start < left <= end)
    if comparison.op == "anniversary":
        wall, today = _wall(left, zone), now.astimezone(zone).date()
        return wall.month * 100 + wall.day in anniversaries(today, values[0] if values else None)
    if comparison.kind == "instant":
        values = tuple(_since_epoch(value, zone) for value in values)
    return POSITIVE[comparison.op](left, *values)


def _since_epoch(instant: datetime, zone: ZoneInfo) -> int:
    """Return the microseconds; without offset it is the later one at which clocks in the zone show it.

    Unlike `datetime`, whole numbers and PostgreSQL know instants whose year is 0 or 10000 in UTC.
    """
    wall = instant.replace(tzinfo=None)
    walls = [instant] if instant.tzinfo else [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    return max((wall - _EPOCH - (each.utcoffset() or timedelta())) // _MICROSECOND for each in walls)


def _wall(micros: int, zone: ZoneInfo) -> datetime:
    """Return what clocks in the zone show at an instant, give or take 400 years beyond the years 1 to 9999."""
    since = micros * _MICROSECOND
    try:
        return (_EPOCH.replace(tzinfo=UTC) + since).astimezone(zone)
    except OverflowError:
        year, cycle = (1, _CYCLE) if micros < 0 else (9999, -_CYCLE)
        return _EPOCH + (since + cycle + (datetime(year, 1, 1, tzinfo=zone).utcoffset() or timedelta()))
