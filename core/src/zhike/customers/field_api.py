"""Routes of the fields of customers."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access.roles import CUSTOMERS_READ, FIELDS_MANAGE
from zhike.api import Call, Route
from zhike.customers import defining
from zhike.customers.field import BUILT_IN, Field
from zhike.customers.field_schemas import FieldChange, NewField
from zhike.i18n import Text


class FieldsAnswer(msgspec.Struct, frozen=True):
    """The fields of customers.

    Args:
        items: Columns of the core first, the others by position.
    """

    items: list[Field]


async def list_fields(call: Call) -> FieldsAnswer:
    """List the fields of customers, archived ones too."""
    known = (await call.host.platform.customer_fields.renew()).known
    columns = [known.get(key, Field(key=key, built_in=True)) for key in BUILT_IN]
    own = [field for field in known.values() if not field.built_in]
    return FieldsAnswer([_labelled(call, field) for field in [*columns, *own]])


async def create_field(call: Call) -> Field:
    """Make a field; customers who have the attribute already keep their values as they are."""
    new = wire.decode(call.body, call.body_type, NewField)
    return _labelled(call, await defining.create(call.host.platform, call.actor, new))


async def change_field(call: Call) -> Field:
    """Change a field; what is left out of the body stays as it is."""
    said = wire.decode(call.body, call.body_type, FieldChange)
    return _labelled(call, await defining.change(call.host.platform, call.actor, call.path["key"], said))


def _labelled(call: Call, field: Field) -> Field:
    """Return a field with the label that people are shown."""
    label = field.shown.render(call.locale) if isinstance(field.shown, Text) else field.shown
    return msgspec.structs.replace(field, label=label)


_manage = partial(Route, permission=FIELDS_MANAGE, answer=Field, statuses=(409,))

ROUTES = (
    Route(
        method="GET",
        permission=CUSTOMERS_READ,
        path="/customers/fields",
        handler=list_fields,
        summary="Fields of customers",
        answer=FieldsAnswer,
    ),
    _manage(method="POST", path="/customers/fields", handler=create_field, summary="Make a field", body=NewField),
    _manage(
        method="PATCH",
        path="/customers/fields/{key}",
        handler=change_field,
        summary="Change a field",
        body=FieldChange,
        places={"key": "The field's key"},
    ),
)
