"""The fields that conditions of one installation may ask about: the core's own and those that plugins register."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.access.roles import CONDITIONS_COUNT
from zhike.access.scope import visible_customers
from zhike.conditions.check import ops_of
from zhike.conditions.checked import Attribute, Column, Measure, Property, Relation
from zhike.conditions.comparison import Comparison
from zhike.conditions.problems import BadCondition
from zhike.conditions.values import Kind
from zhike.customers.field import Field
from zhike.customers.fields import CustomerFields
from zhike.events.schemas import PLATFORM_EVENTS
from zhike.events.sight import unseen
from zhike.i18n import Text, say, text
from zhike.orm import Connection
from zhike.registry import Registry

CUSTOMER = "customer."
ATTRIBUTE = "customer.attributes."
ANY_KEY = "<key>"

_COLUMNS: dict[str, tuple[Kind, Text]] = {
    "id": ("number", text("Customer number")),
    "kind": ("text", text("Person or company")),
    "name": ("text", text("Name")),
    "phone": ("text", text("Phone")),
    "email": ("text", text("E-mail")),
    "company": ("text", text("Company")),
    "stage": ("text", text("Stage")),
    "owner": ("number", text("Owner")),
    "team": ("number", text("Team")),
    "created_at": ("instant", text("First seen")),
    "updated_at": ("instant", text("Last changed")),
}

_TYPES: dict[str, Kind] = {"number": "number", "money": "number", "date": "instant", "boolean": "boolean"}
"""What values of a field of some type are compared as; those of all others are texts."""
_KINDS: dict[str, Kind] = {"string": "text", "number": "number", "boolean": "boolean"}
_NEWEST = 1000
_IN_USE = """
SELECT key, mode() WITHIN GROUP (ORDER BY jsonb_typeof(value)) AS type
FROM (SELECT attributes FROM customer AS c WHERE {visible} ORDER BY c.id DESC LIMIT $2) AS newest,
  jsonb_each(attributes)
WHERE jsonb_typeof(value) = ANY ($1::text[]) GROUP BY key ORDER BY key COLLATE "C" LIMIT $2
"""


class FieldItem(msgspec.Struct, frozen=True):
    """A field as it is offered to people who write conditions.

    Args:
        field: Its key; in that of an attribute, `<key>` stands for any name.
        label: Its name for people.
        type: What its values are.
        ops: The operators it takes.
    """

    field: str
    label: str
    type: Kind
    ops: tuple[str, ...]


class Known(msgspec.Struct, frozen=True):
    """A field with what is said about it.

    Args:
        source: Where its values come from.
        label: Its name for people.
        changed_by: Names of the events after which a plugin's field may have another value.
    """

    source: Column | Attribute | Relation
    label: Text | str
    changed_by: tuple[str, ...] = ()

    def item(self, key: str, locale: str) -> FieldItem:
        """Return what people are offered, in their language."""
        return FieldItem(key, say(self.label, locale), self.source.kind or "text", ops_of(self.source))


class Fields:
    """The fields there are.

    Args:
        registry: What the plugins have registered.
        customer: What the installation says about fields of customers; nothing when absent.
    """

    def __init__(self, registry: Registry, customer: CustomerFields | None = None) -> None:
        self._customer = customer
        self._registry = registry
        self._known = {
            f"{CUSTOMER}{name}": Known(Column(name, kind), label) for name, (kind, label) in _COLUMNS.items()
        }
        stage = Column("stage", "text", history="customer_stage")
        self._known[f"{CUSTOMER}stage"] = Known(stage, _COLUMNS["stage"][1], ("customer.updated",))
        for key, field in registry.condition_fields.items():
            plugin = registry.owner("condition_fields", key) or ""
            source = Relation(field.relation, field.type, field.many, field.history, tuple(field.ops), plugin)
            self._known[key] = Known(source, field.label, field.changed_by)

    def known(self, key: str, path: str) -> Known:
        """Return a field with what is said about it.

        Args:
            key: The field's key.
            path: The place of the node that names it.

        Raises:
            BadCondition: If there is no such field; it names those there are.
        """
        if key.startswith(ATTRIBUTE) and key != ATTRIBUTE:
            name = key.removeprefix(ATTRIBUTE)
            field = self._customer.known.get(name) if self._customer else None
            return Known(Attribute(name), key) if field is None else _known(field)
        if known := self._known.get(key):
            return known
        raise BadCondition(
            text(
                "{path}.field is {key!r}, an unknown field; expected one of {known}",
                path=path,
                key=key,
                known=", ".join([*self._known, ATTRIBUTE + "…"]),
            )
        )

    def find(self, key: str, path: str) -> Column | Attribute | Relation:
        """Return where a field's values come from; arguments and errors are those of `known`."""
        return self.known(key, path).source

    def require_readable(self, key: str, path: str, actor: Actor) -> None:
        """Refuse a field that `actor` sees masked: what may not be read may not be asked about.

        Args:
            key: The field's key.
            path: The place that names it, such as that of a node, or `sort`.
            actor: Who asks.

        Raises:
            BadCondition: With the code `masked`.
        """
        if key.removeprefix(CUSTOMER) in masked_fields(actor):
            raise BadCondition(
                text("{path} asks about {key}, which your role sees masked", path=path, key=key), code="masked"
            )

    def require_seen(self, measure: Measure, path: str, actor: Actor) -> None:
        """Refuse events whose type `actor` does not see, and those that tell what they see masked.

        Args:
            measure: What is made of which events.
            path: The place of the node.
            actor: Who asks.

        Raises:
            BadCondition: With the code `unseen`, or `masked`.
        """
        hidden = unseen(actor, self._registry)
        if measure.events:
            if names := sorted(hidden.keys() & set(measure.events)):
                raise BadCondition(
                    text("{path} asks about {name}, which your role does not see", path=path, name=names[0]),
                    code="unseen",
                )
        elif any(hidden.values()):
            raise BadCondition(
                text("{path}.event is *, but your role does not see all events; name those you mean", path=path),
                code="unseen",
            )
        looks_in = measure.where is not None or isinstance(measure.of, Property)
        if looks_in and masked_fields(actor) and (names := sorted(PLATFORM_EVENTS & set(measure.events))):
            raise BadCondition(
                text("{path} looks into {name}, which tells what your role sees masked", path=path, name=names[0]),
                code="masked",
            )

    def listed(self, actor: Actor, locale: str) -> list[FieldItem]:
        """Return the fields that `actor` may ask about, the core's first.

        Args:
            actor: Who asks.
            locale: The language of the labels.
        """
        defined = self._customer.known.values() if self._customer else ()
        own = {ATTRIBUTE + each.key: _known(each) for each in defined if not each.built_in and not each.archived}
        called = {CUSTOMER + each.key: each.shown for each in defined if each.built_in}
        columns = {key: replace(known, label=called.get(key, known.label)) for key, known in self._known.items()}
        attribute = {ATTRIBUTE + ANY_KEY: Known(Attribute(ANY_KEY), text("Attribute"))}
        hidden = masked_fields(actor)
        return [
            known.item(key, locale)
            for key, known in (columns | own | attribute).items()
            if key.removeprefix(CUSTOMER) not in hidden
        ]

    def defined(self, key: str) -> bool:
        """Say whether the installation has a field for an attribute, so that it is known how to offer it."""
        return self._customer is not None and key.removeprefix(ATTRIBUTE) in self._customer.known

    def hashed(self, key: str, comparison: Comparison) -> Comparison:
        """Return the comparison of hashes that stands for one of the values of an encrypted field.

        Args:
            key: The field's key among the attributes.
            comparison: One for equality, of texts.
        """
        if self._customer is None:
            raise RuntimeError("only the fields of an installation are encrypted")
        return replace(comparison, values=tuple(self._customer.hash(key, value) for value in comparison.values))


def _known(field: Field) -> Known:
    if field.encrypted:
        return Known(Attribute(field.key, "text", sealed=True), field.shown)
    return Known(Attribute(field.key, _TYPES.get(field.type, "text"), field.type == "multi_choice"), field.shown)


async def attributes_in_use(connection: Connection, actor: Actor) -> list[FieldItem]:
    """Return the attributes that the newest customers have: looking at all of them would take seconds.

    Args:
        connection: To the database.
        actor: Who asks; only the customers they see are looked at.
    """
    rows = await connection.fetch(
        _IN_USE.format(visible=visible_customers(actor, "c", CONDITIONS_COUNT)), list(_KINDS), _NEWEST
    )
    hidden = masked_fields(actor)
    return [
        FieldItem(ATTRIBUTE + key, key, _KINDS[kind], ops_of(Attribute(key)))
        for key, kind in rows
        if f"attributes.{key}" not in hidden
    ]
