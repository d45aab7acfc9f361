"""How events are told to people: what a type is called, what one event says in a line, and which day it was on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from zhike.events.usual import LABELS
from zhike.i18n import Text, say

if TYPE_CHECKING:
    from zhike.contracts import EventType
    from zhike.events.service import TimelineEvent
    from zhike.registry import Registry

MOST = 3
"""Properties that a line quotes when nobody has said which."""
_LONGEST = 60
_TELLING = (
    *("title", "subject", "product", "product_name", "item", "name", "sku", "tag", "channel", "store", "page", "url"),
    *("status", "reason", "content", "text"),
)
"""Properties that say most about events of types that nobody has registered."""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Told(NamedTuple):
    """An event for people.

    Args:
        event: The event.
        label: What its type is called.
        summary: What it says, in a line of plain text; "" if it says nothing.
    """

    event: TimelineEvent
    label: str
    summary: str


class Day(NamedTuple):
    """The events of a day.

    Args:
        day: In the reader's zone.
        events: In the order of the list.
    """

    day: date
    events: list[Told]


def told(registry: Registry, events: Iterable[TimelineEvent], locale: str) -> list[Told]:
    """Return events as a reader is told them; what is masked in them stays so."""
    known = registry.event_types
    return [Told(each, label_of(registry, each.name, locale), _summary(each, known, locale)) for each in events]


def by_day(events: Iterable[Told], zone: ZoneInfo) -> list[Day]:
    """Group events, which are in the order of time, by the days of a zone."""
    days: list[Day] = []
    for each in events:
        day = each.event.occurred_at.astimezone(zone).date()
        if not days or days[-1].day != day:
            days.append(Day(day, []))
        days[-1].events.append(each)
    return days


def label_of(registry: Registry, name: str, locale: str) -> str:
    """Return what a type is called in a language: its name, if nobody has registered it and it is no usual one."""
    types = registry.event_types
    known = types.get(name) or next((each for each in types.values() if name in each.replaces), None)
    if known is None:
        return LABELS[name].render(locale) if name in LABELS else name
    return say(known.label, locale) or name


def names_called(registry: Registry, words: str, locale: str) -> list[str]:
    """Return the names of types that are called so."""
    wanted = words.strip().casefold()
    names = {**registry.event_types, **LABELS}
    return [name for name in names if wanted in label_of(registry, name, locale).casefold()]


def _summary(event: TimelineEvent, known: Mapping[str, EventType], locale: str) -> str:
    properties = _decode(event.properties)
    kind = known.get(event.name)
    if kind is not None and kind.summary:
        template = kind.summary if isinstance(kind.summary, Text) else Text(kind.summary)
        values = {name: _value(value) for name, value in properties.items()}
        values |= {"amount": _value(event.amount), "currency": event.currency or "", "source": event.source}
        return _filled(template, values, locale)
    fields = () if kind is None or kind.payload is None else kind.payload.__struct_fields__
    return " · ".join(_quoted(properties, fields))


def _filled(template: Text, values: Mapping[str, str], locale: str) -> str:
    """Fill in a line; what the event does not say is left out."""
    places = {name: values.get(name, "") for _, name, _, _ in Formatter().parse(template.msgid) if name}
    return Text(template.msgid, {**template.params, **places}).render(locale).strip()


def _quoted(properties: Mapping[str, Any], fields: Sequence[str]) -> Iterator[str]:
    names = [name for name in dict.fromkeys((*fields, *_TELLING, *properties)) if name in properties]
    values = (_value(properties[name]) for name in names)
    yield from [value for value in values if value][:MOST]


def _value(value: Any) -> str:
    """Return a property in a few words: of an object what says most, or its names; of a list its first entries."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, dict) and (telling := next((name for name in _TELLING if value.get(name)), None)):
        return _value(value[telling])
    if isinstance(value, dict | list):
        return ", ".join([each for each in map(_value, [*value][:MOST]) if each])[:_LONGEST]
    shown = format(value, "f") if isinstance(value, Decimal) else str(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
