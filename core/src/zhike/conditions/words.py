"""Conditions in words: what each node of one asks for, for people who read a rule."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from zhike.access.actor import Actor
from zhike.conditions.catalog import ATTRIBUTE
from zhike.conditions.check import check
from zhike.conditions.decode import ROOT, decode
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Not, Trend
from zhike.events.usual import LABELS
from zhike.i18n import Text, as_text, text
from zhike.platform import Platform
from zhike.ui.people import People

_OPS = {
    "eq": text("is"),
    "ne": text("is not"),
    "gt": text("greater than"),
    "gte": text("at least"),
    "lt": text("less than"),
    "lte": text("at most"),
    "between": text("between"),
    "in": text("is one of"),
    "not_in": text("is none of"),
    "contains": text("contains"),
    "not_contains": text("does not contain"),
    "starts_with": text("begins with"),
    "ends_with": text("ends with"),
    "is_set": text("is set"),
    "is_not_set": text("is not set"),
    "before": text("before"),
    "after": text("after"),
    "within_last": text("within the last"),
    "anniversary": text("has its anniversary within"),
}
_MEASURES = {
    "count": text("how often"),
    "sum": text("sum of"),
    "avg": text("average of"),
    "min": text("least"),
    "max": text("greatest"),
    "distinct": text("different values of"),
    "active_days": text("active days"),
    "days_since_first": text("days since the first"),
    "days_since_last": text("days since the last"),
}
_UNITS = {
    "D": text("{n} {n:day|days}"),
    "W": text("{n} {n:week|weeks}"),
    "M": text("{n} {n:month|months}"),
    "Y": text("{n} {n:year|years}"),
    "TH": text("{n} {n:hour|hours}"),
    "TM": text("{n} {n:minute|minutes}"),
}
_DURATION = re.compile(r"P(T?)(\d+)([DWMYH])")
_EVENT_AMOUNT = {"amount", "event.amount"}


class Said(msgspec.Struct, frozen=True):
    """A node in words.

    Args:
        path: Its place in the condition, as `Explained` names it.
        text: What it asks for.
        parts: What it is made of.
        unknown: The key of the field it asks for, if there is none of that name any longer.
        kept: Whether it is kept from the reader what it asks for, or what one of its parts does.
    """

    path: str
    text: Text
    parts: list[Said] = []
    unknown: str | None = None
    kept: bool = False

    @property
    def gone(self) -> list[str]:
        """The keys of fields that it and its parts ask for in vain."""
        return ([self.unknown] if self.unknown else []) + [key for part in self.parts for key in part.gone]


def describe(
    platform: Platform, condition: object, people: People | None = None, *, actor: Actor | None = None
) -> Said:
    """Return a condition in words.

    Args:
        platform: Its fields and event types have the names.
        condition: A decoded condition, JSON text as bytes, or the builtin objects that it stands for.
        people: Names of users and teams; ids are shown without it.
        actor: The reader, who is not told what they could not have asked themselves; nothing is kept back without.

    Raises:
        BadCondition: If it is none.
    """
    return _Words(platform, people, actor).node(decode(condition), ROOT)


def duration(iso: str) -> Text:
    """Return an ISO 8601 duration of one unit in words; others as they are."""
    found = _DURATION.fullmatch(iso)
    unit = found[1] + found[3] if found is not None else ""
    if found is None or unit not in _UNITS:
        return text("{what}", what=iso)
    n = int(found[2])
    return Text(_UNITS[unit].msgid, {"n": n})


class _Words:
    def __init__(self, platform: Platform, people: People | None, actor: Actor | None) -> None:
        self._platform = platform
        self._people = people
        self._actor = actor

    def node(self, node: Condition, path: str) -> Said:
        match node:
            case All(of=[]):
                return Said(path, text("everybody"))
            case All() | AnyOf():
                head = text("all of these hold") if isinstance(node, All) else text("any of these holds")
                parts = [self.node(part, f"{path}.of[{n}]") for n, part in enumerate(node.of)]
                kept = any(part.kept for part in parts)
                return parts[0] if len(parts) == 1 else Said(path, head, parts, kept=kept)
            case Not():
                part = self.node(node.of, f"{path}.of")
                return Said(path, text("none of these holds"), [part], kept=part.kept)
        if self._actor is not None and self._keeps(node, self._actor):
            return Said(path, text("something that you do not see"), kept=True)
        return self._field(node, path) if isinstance(node, Field) else self._measured(node, path)

    def _keeps(self, node: Field | Event | Trend, actor: Actor) -> bool:
        fields = self._platform.fields
        try:
            if isinstance(node, Field):
                fields.require_readable(node.field, ROOT, actor)
            else:
                check(node, fields=fields, settings=self._platform.settings, actor=actor)
        except BadCondition as error:
            return error.code in {"masked", "unseen"}
        return False

    def _field(self, node: Field, path: str) -> Said:
        said, unknown = self._compared(self._named(node.field), node), None
        if node.for_ is not None:
            said = text("{what}, for {duration}", what=said, duration=duration(node.for_))
        if not node.field.startswith("event."):
            try:
                self._platform.fields.known(node.field, path)
            except BadCondition:
                unknown = node.field
                said = text("{what} (there is no such field any longer)", what=said)
            own = self._platform.customer_fields.known.get(node.field.removeprefix(ATTRIBUTE))
            if own is not None and own.archived:
                said = text("{what} (the field is archived; values still come in from elsewhere)", what=said)
            elif node.field.startswith(ATTRIBUTE) and own is None:  # any name will do, also one that is mistyped
                said = text("{what} (no field of this name is defined)", what=said)
        return Said(path, said, unknown=unknown)

    def _measured(self, node: Event | Trend, path: str) -> Said:
        names = [node.event] if isinstance(node.event, str) else node.event
        measure: Text = _MEASURES.get(node.measure, text("{what}", what=node.measure))
        if node.of is not None:
            of = text("amount") if node.of in _EVENT_AMOUNT else self._named(node.of)
            measure = text("{measure} {of}", measure=measure, of=of)
        parts = {"event": text("{what}", what=[self._event(name) for name in names]), "measure": measure}
        if isinstance(node, Trend):
            change = self._share(node.value)
            said = text(
                "{event}: change of {measure} from the {duration} before to the last {duration} {op} {value}",
                **parts, duration=duration(node.within), op=_op(node.op), value=change,
            )  # fmt: skip
        else:
            said = self._compared(text("{event}: {measure}", **parts), node)
            if node.within is not None:
                said = text("in the last {duration}, {what}", duration=duration(node.within), what=said)
        where = [self.node(node.where, f"{path}.where")] if node.where is not None else []
        return Said(path, said, where)

    def _compared(self, what: Text, node: Field | Event) -> Text:
        if node.op in {"is_set", "is_not_set"}:
            return text("{what} {op}", what=what, op=_op(node.op))
        return text("{what} {op} {value}", what=what, op=_op(node.op), value=self._value(node))

    def _value(self, node: Field | Event) -> Text:
        if node.op in {"within_last", "anniversary"} and isinstance(node.value, str):
            return duration(node.value)
        key = node.field if isinstance(node, Field) else ""
        values = node.value if isinstance(node.value, list) else [node.value]
        return text("{what}", what=[self._one(key, value) for value in values])

    def _one(self, key: str, value: Any) -> str | Text:
        name = key.removeprefix("customer.").removeprefix("attributes.")
        if self._people is not None and isinstance(value, int) and name in {"owner", "team"}:
            return (self._people.users if name == "owner" else self._people.teams).get(value, str(value))
        if isinstance(value, bool):
            return text("yes") if value else text("no")
        if isinstance(value, int | float):
            return f"{value:,}"
        field = self._platform.customer_fields.known.get(name)
        labels = {choice.key: choice.label for choice in field.choices} if field else {}
        return labels.get(value) or str(value)

    def _share(self, value: Any) -> Text:
        values = value if isinstance(value, list) else [value]
        return text("{what}", what=[f"{float(each):+.0%}" for each in values])

    def _named(self, key: str) -> Text:
        label: Text | str = key.removeprefix("event.properties.")
        if key in _EVENT_AMOUNT:
            label = text("amount")
        elif not key.startswith("event."):
            try:
                label = self._platform.fields.known(key, "").label
            except BadCondition:
                label = key
        return as_text(label)

    def _event(self, name: str) -> Text:
        kind = self._platform.registry.event_types.get(name)
        label = text("any behaviour") if name == "*" else kind.label if kind else LABELS.get(name, name)
        return as_text(label)


def _op(op: str) -> Text:
    return _OPS.get(op, text("{what}", what=op))
