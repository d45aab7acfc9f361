"""Shows somebody what they see masked of one customer, for a reason; the audit trail keeps which fields, and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import wire
from zhike.access import audit
from zhike.access.masking import COLUMNS, hidden_fields
from zhike.access.roles import CUSTOMERS_REVEAL
from zhike.api import Call, Route
from zhike.customers import service
from zhike.customers.showing import ATTRIBUTES
from zhike.errors import BadRequest, Forbidden
from zhike.i18n import text

_Field = Annotated[str, Meta(max_length=250, pattern=r"\A[^\x00]+\Z")]
_Reason = Annotated[str, Meta(max_length=500, pattern=r"\A[^\x00]*[^\x00\s][^\x00]*\Z")]


class RevealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /customers/{customer_id}/reveal` takes.

    Args:
        fields: What is to be seen: `phone`, `attributes.city`, `identities.wecom_unionid`.
        reason: Why; it is kept in the audit trail.
    """

    fields: Annotated[list[_Field], Meta(min_length=1, max_length=50)]
    reason: _Reason


class Revealed(msgspec.Struct, frozen=True):
    """What was asked for.

    Args:
        id: The customer's id.
        fields: Field to its value, null if there is none; `identities.…` to the list of them.
        identities: Namespace to values, of the columns among the fields.
    """

    id: int
    fields: dict[str, Any]
    identities: dict[str, list[str]]


async def reveal(call: Call) -> Revealed:
    """Show fields of a customer that the caller sees masked, but not those hidden from them; it is audited."""
    return await revealed(call, call.id("customer_id"), wire.decode(call.body, call.body_type, RevealRequest))


async def revealed(call: Call, customer_id: int, request: RevealRequest) -> Revealed:
    """Return fields of a customer whole, and write to the audit trail who has seen which, and why.

    Args:
        call: Who asks.
        customer_id: The customer.
        request: What is to be seen.

    Raises:
        Forbidden: If a field is hidden from the caller's role.
        NotFound: If there is no such customer, or it is none of whom the caller may see fields whole.
    """
    hidden = hidden_fields(call.actor)
    if denied := sorted(hidden & set(request.fields)):
        raise Forbidden(text("{field} is hidden from your role", field=denied[0]), code="hidden")
    seeing = msgspec.structs.replace(call.actor, rules=dict.fromkeys(hidden, "hide"))
    customer = await service.get(call.db, seeing, customer_id, permission=CUSTOMERS_REVEAL)
    customer = call.host.platform.customer_fields.opened(customer)
    found = {field: _value(customer, field) for field in request.fields}
    details = {"fields": sorted(found), "reason": request.reason}
    async with call.db.transaction() as connection:
        await audit.record(connection, call.actor, "customer.reveal", f"customer:{customer.id}", details)
    same = {namespace: values for namespace, values in customer.identities.items() if namespace in found}
    return Revealed(customer.id, found, same)


def _value(customer: service.Customer, field: str) -> Any:
    """Return the value of a field; there is none of a field that nobody knows."""
    if field.startswith(ATTRIBUTES):
        return msgspec.json.decode(customer.attributes, type=dict[str, msgspec.Raw]).get(field.removeprefix(ATTRIBUTES))
    if field.startswith("identities."):
        return customer.identities.get(field.removeprefix("identities."), [])
    if field not in COLUMNS:
        raise BadRequest(text("fields: there is no field {field!r}", field=field), code="field")
    return getattr(customer, field)


ROUTES = (
    Route(
        method="POST",
        path="/customers/{customer_id}/reveal",
        handler=reveal,
        permission=CUSTOMERS_REVEAL,
        summary="See masked fields of a customer",
        body=RevealRequest,
        answer=Revealed,
    ),
)
