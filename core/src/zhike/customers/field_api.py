"""Routes of the fields of customers."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access.roles import CUSTOMERS_READ, FIELDS_MANAGE
from zhike.api import Call, Route
from zhike.customers import defining, layout
from zhike.customers.field import BUILT_IN, Field
from zhike.customers.field_schemas import FieldChange, NewField
from zhike.customers.layout import Layout
from zhike.i18n import say


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


async def get_layout(call: Call) -> Layout:
    """Return in which order and under which headings fields stand."""
    return await layout.get(call.host.platform)


async def arrange_fields(call: Call) -> Layout:
    """Put all fields and their headings into an order at once."""
    wanted = wire.decode(call.body, call.body_type, Layout)
    return await layout.arrange(call.host.platform, call.actor, wanted)


def _labelled(call: Call, field: Field) -> Field:
    """Return a field with the label that people are shown."""
    return msgspec.structs.replace(field, label=say(field.shown, call.locale))


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
    Route(
        method="GET",
        permission=CUSTOMERS_READ,
        path="/customers/fields/layout",
        handler=get_layout,
        summary="Order and headings of fields",
        answer=Layout,
    ),
    Route(
        method="PUT",
        permission=FIELDS_MANAGE,
        path="/customers/fields/layout",
        handler=arrange_fields,
        summary="Put fields and headings into an order",
        body=Layout,
        answer=Layout,
        statuses=(409,),
    ),
)
