"""Checks that the parts of a condition's nodes fit each other, and gives the checked form that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from zhike.access.actor import Actor
from zhike.conditions import comparison, durations, values
from zhike.conditions.checked import (
    AllOf,
    Attribute,
    Checked,
    Column,
    EventColumn,
    EventTest,
    FieldTest,
    Negation,
    OneOf,
    Property,
    Relation,
    TrendTest,
)
from zhike.conditions.comparison import ATTRIBUTE_OPS, EQUALITY, MEMBERSHIP, OPS, ORDER, PRESENCE, SEARCH, TIME
from zhike.conditions.decode import ROOT
from zhike.conditions.measured import PROPERTY, measured
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Not, Trend
from zhike.conditions.values import Kind
from zhike.errors import BadRequest
from zhike.i18n import text
from zhike.settings import Settings

if TYPE_CHECKING:
    from zhike.conditions.catalog import Fields

EVENT_FIELDS = {
    f"event.{column.name}": column
    for column in (
        EventColumn("name", "text"),
        EventColumn("amount", "number"),
        EventColumn("currency", "text"),
        EventColumn("source", "text"),
        EventColumn("occurred_at", "instant"),
    )
}

Source = Column | Attribute | Relation | EventColumn | Property


class Catalog(Protocol):
    """Knows fields by the keys they are sent with."""

    def find(self, key: str, path: str) -> Source:
        """Return where a field's value comes from, or raise `BadCondition` with the keys there are."""


def check(condition: Condition, *, fields: Fields, settings: Settings, actor: Actor | None = None) -> Checked:
    """Return the checked form of a condition over customers.

    Args:
        condition: A decoded condition.
        fields: The installation's fields of a customer.
        settings: The deployment's zone and currency are used.
        actor: Who asks, and must see every field unmasked; None for rules that were checked when they were saved.

    Raises:
        BadCondition: If a node's parts are unknown or do not fit each other; the message has its path.
    """
    return _CustomerChecker(fields, settings, actor).node(condition, ROOT)


def check_where(condition: Condition, *, settings: Settings, currency: str | None = None, path: str = ROOT) -> Checked:
    """Return the checked form of a condition over one event.

    Args:
        condition: A decoded condition.
        settings: The deployment's zone and currency are used.
        currency: ISO 4217 code that amounts are compared in; the deployment's when None.
        path: The condition's place.

    Raises:
        BadCondition: If a node's parts are unknown or do not fit each other; the message has its path.
    """
    return _EventChecker(_EventFields(settings.currency if currency is None else currency), settings).node(
        condition, path
    )


def ops_of(field: Source) -> tuple[str, ...]:
    """Return the operators that fit a field."""
    match field:
        case Attribute(sealed=True):
            return EQUALITY + PRESENCE
        case Attribute(many=True):
            return MEMBERSHIP + PRESENCE
        case Property() | Attribute(kind=None):
            return ATTRIBUTE_OPS
        case Relation() if field.ops:
            return field.ops
        case Relation(many=True):
            return MEMBERSHIP + PRESENCE
    return OPS[field.kind or "text"]


class _EventFields:
    """The fields of one event."""

    def __init__(self, currency: str) -> None:
        self._known = EVENT_FIELDS | {"event.amount": EventColumn("amount", "number", currency)}

    def find(self, key: str, path: str) -> EventColumn | Property:
        if key.startswith(PROPERTY) and key != PROPERTY:
            return Property(key.removeprefix(PROPERTY))
        if column := self._known.get(key):
            return column
        known = ", ".join([*self._known, PROPERTY + "…"])
        raise BadCondition(
            text(
                "{path}.field is {key!r}, no field of an event; expected one of {known}",
                path=path,
                key=key,
                known=known,
            )
        )


class _EventChecker:
    """Walks over the nodes of a condition over one event."""

    def __init__(self, fields: Catalog, settings: Settings) -> None:
        self._fields = fields
        self._zone = settings.zone

    def node(self, node: Condition, path: str) -> Checked:
        match node:
            case All():
                return AllOf(tuple(self.node(part, f"{path}.of[{n}]") for n, part in enumerate(node.of)), path)
            case AnyOf():
                return OneOf(tuple(self.node(part, f"{path}.of[{n}]") for n, part in enumerate(node.of)), path)
            case Not():
                return Negation(self.node(node.of, f"{path}.of"), path)
            case Field():
                return self.field(node, path)
            case Event() | Trend():
                return self.measured(node, path)

    def field(self, node: Field, path: str) -> FieldTest:
        field = self._fields.find(node.field, path)
        comparison.check_op(node.op, ops_of(field), path)
        kind = (None if isinstance(field, Property) else field.kind) or _json_kind(node, path)
        currency = field.currency if isinstance(field, EventColumn) else None

        def read(value: Any, place: str) -> Any:
            if currency is not None:
                return values.minor_units(value, currency, place)
            return values.literal(value, kind, place, self._zone)

        compared = comparison.comparison(node.op, kind, node.value, path, read)
        held_for = None
        if node.for_ is not None:
            if isinstance(field, Column) and field.history:
                field = Relation(field.history, field.kind, history=True)
            if not (isinstance(field, Relation) and field.history):
                raise BadCondition(
                    text("{path}.for must be left out: {field} keeps no history", path=path, field=node.field)
                )
            held_for = durations.parse(node.for_, f"{path}.for")
        return FieldTest(node.field, field, compared, path, held_for)

    def measured(self, node: Event | Trend, path: str) -> Checked:
        raise BadCondition(
            text("{path}.type must be all, any, not or field: the condition is about one event", path=path)
        )


class _CustomerChecker(_EventChecker):
    """Walks over the nodes of a condition over customers."""

    def __init__(self, fields: Fields, settings: Settings, actor: Actor | None) -> None:
        super().__init__(fields, settings)
        self._customer_fields = fields
        self._settings = settings
        self._actor = actor

    def field(self, node: Field, path: str) -> FieldTest:
        if node.field in EVENT_FIELDS or node.field.startswith(PROPERTY):
            raise BadCondition(
                text("{path}.field is {key!r}, which stands only inside where", path=path, key=node.field)
            )
        test = super().field(node, path)
        if self._actor is not None:
            self._customer_fields.require_readable(node.field, path, self._actor)
        if isinstance(test.field, Attribute) and test.field.sealed:
            try:
                return replace(test, comparison=self._customer_fields.hashed(test.field.key, test.comparison))
            except BadRequest as error:
                raise BadCondition(text("{path}.value: {detail}", path=path, detail=error.message)) from None
        return test

    def measured(self, node: Event | Trend, path: str) -> EventTest | TrendTest:
        """Return the checked form of a node that measures events."""

        def where(condition: Condition, currency: str, place: str) -> Checked:
            return check_where(condition, settings=self._settings, currency=currency, path=place)

        test = measured(node, path, default=self._settings.currency, where=where)
        if self._actor is not None:
            self._customer_fields.require_seen(test.measure, path, self._actor)
        return test


def _json_kind(node: Field, path: str) -> Kind:
    """Return what a value of any JSON type is compared as: the operator decides, else the type of the literal."""
    if node.op in SEARCH or node.op in PRESENCE:
        return "text"
    if node.op in TIME:
        return "instant"
    kinds = {values.kind_of(value, place) for value, place in comparison.operands(node.op, node.value, path)}
    if len(kinds) > 1:
        raise BadCondition(text("{path}.value mixes types; expected values of one type", path=path))
    kind = kinds.pop()
    if kind == "boolean" and node.op in ORDER:
        raise BadCondition(text("{path}.value must be a text or a number for {op}", path=path, op=node.op))
    return kind
