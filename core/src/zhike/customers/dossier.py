"""One customer with what their page begins with: who said what, and what the reader may do with this very customer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zhike.access.actor import Actor
from zhike.access.roles import (
    CUSTOMERS_ERASE,
    CUSTOMERS_EXPORT,
    CUSTOMERS_MERGE,
    CUSTOMERS_REVEAL,
    CUSTOMERS_WRITE,
    EVENTS_READ,
)
from zhike.access.scope import visible_customers
from zhike.customers import service
from zhike.customers.service import Customer
from zhike.customers.stages import Origin, origins_of
from zhike.platform import Platform

_ASKED = (CUSTOMERS_WRITE, CUSTOMERS_REVEAL, CUSTOMERS_MERGE, CUSTOMERS_EXPORT, CUSTOMERS_ERASE, EVENTS_READ)
_MORE = "SELECT c.provenance::text, c.settling, ARRAY[{allowed}]::boolean[] FROM customer AS c WHERE c.id = $1"


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as their page shows them.

    Args:
        customer: As the reader is shown them.
        origins: Field to who said so; attributes as `attributes.<key>`.
        allowed: The permissions for customers that the reader holds for this one.
        settling: Whether events are still being moved after a merge, which shows in figures only.
    """

    customer: Customer
    origins: Mapping[str, Origin]
    allowed: frozenset[str]
    settling: bool


async def get(platform: Platform, actor: Actor, customer_id: int) -> Dossier:
    """Return a customer; for one who was merged away, the winner.

    Args:
        platform: The process's platform.
        actor: Who reads.
        customer_id: Whom.

    Raises:
        NotFound: If there is none, or `actor` does not see them.
    """
    fields = await platform.customer_fields.renew()
    customer = await service.get(platform.db, actor, customer_id)
    allowed = ", ".join(visible_customers(actor, "c", permission) for permission in _ASKED)
    async with platform.db.connection() as connection:
        row = await connection.fetchrow(_MORE.format(allowed=allowed), customer.id)
    if row is None:  # erased in between
        raise service.not_found(customer_id)
    stored, settling, may = row
    return Dossier(
        customer=fields.opened(customer),
        origins={each.field: each for each in origins_of(stored, actor, fields.ranked)},
        allowed=frozenset(permission for permission, granted in zip(_ASKED, may, strict=True) if granted),
        settling=settling,
    )
