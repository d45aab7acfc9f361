"""Writes that say whose an identity is: begun again where others are quicker, and audited where they tell much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from zhike.access import audit
from zhike.access.masking import rules_of
from zhike.api import Call
from zhike.customers.resolve import Pair
from zhike.customers.target import Overtaken
from zhike.errors import Conflict, Unavailable
from zhike.i18n import text
from zhike.work import Work, begin

T = TypeVar("T")
_ATTEMPTS = 5


async def identifying(call: Call, pairs: Sequence[Pair], write: Callable[[Work], Awaitable[T]]) -> T:
    """Write as `_again` does; where the answer tells whose an identity is, that is audited, whatever comes of it."""
    told = rules_of(call.actor).get("phone") == "mask" and any(namespace == "phone" for namespace, _ in pairs)
    try:
        return await _again(call, write)
    except Conflict as error:
        told = told or error.code == "identities"
        raise
    finally:
        if told:
            details = {"by": ", ".join(sorted({namespace for namespace, _ in pairs}))}
            async with call.db.transaction() as connection:
                await audit.record(connection, call.actor, "customer.lookup", "customer", details)


async def _again(call: Call, write: Callable[[Work], Awaitable[T]]) -> T:
    """Write in a unit of work; begin it again while others are quicker to store the same identities."""
    for _ in range(_ATTEMPTS):
        try:
            async with begin(call.host.platform, origin=call.actor.origin) as work:
                return await write(work)
        except Overtaken:
            continue
    raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)
