"""The fields that conditions of one installation may ask about: the core's own and those that plugins register."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.access.scope import visible_customers
from zhike.conditions.check import ops_of
from zhike.conditions.checked import Attribute, Column, Relation
from zhike.conditions.problems import BadCondition
from zhike.conditions.values import Kind
from zhike.i18n import Text, text

if TYPE_CHECKING:
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
        label = self.label.render(locale) if isinstance(self.label, Text) else self.label
        kind = "text" if isinstance(self.source, Attribute) else self.source.kind
        return FieldItem(key, label, kind, ops_of(self.source))


class Fields:
    """The fields there are.

    Args:
        registry: What the plugins have registered.
    """

    def __init__(self, registry: Registry) -> None:
        self._known = {
            f"{CUSTOMER}{name}": Known(Column(name, kind), label) for name, (kind, label) in _COLUMNS.items()
        }
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
            return Known(Attribute(key.removeprefix(ATTRIBUTE)), key)
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

    def listed(self, actor: Actor, locale: str) -> list[FieldItem]:
        """Return the fields that `actor` may ask about, the core's first.

        Args:
            actor: Who asks.
            locale: The language of the labels.
        """
        attribute = Known(Attribute(ANY_KEY), text("Attribute"))
        hidden = masked_fields(actor)
        return [
            known.item(key, locale)
            for key, known in [*self._known.items(), (ATTRIBUTE + ANY_KEY, attribute)]
            if key.removeprefix(CUSTOMER) not in hidden
        ]


async def attributes_in_use(connection: Connection, actor: Actor) -> list[FieldItem]:
    """Return the attributes that the newest customers have: looking at all of them would take seconds.

    Args:
        connection: To the database.
        actor: Who asks; only the customers they see are looked at.
    """
    rows = await connection.fetch(_IN_USE.format(visible=visible_customers(actor, "c")), list(_KINDS), _NEWEST)
    hidden = masked_fields(actor)
    return [
        FieldItem(ATTRIBUTE + key, key, _KINDS[kind], ops_of(Attribute(key)))
        for key, kind in rows
        if f"attributes.{key}" not in hidden
    ]
