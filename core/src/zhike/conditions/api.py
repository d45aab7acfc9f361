"""Routes that answer questions about conditions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from zhike import wire
from zhike.access.roles import CONDITIONS_COUNT
from zhike.api import Call, Route
from zhike.conditions import service
from zhike.conditions.decode import decode
from zhike.conditions.schema import Condition


class CountRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /conditions/count` takes.

    Args:
        condition: The condition.
        at: The instant that counts as now; the present one when absent.
    """

    condition: Condition
    at: datetime | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same with the condition left as it came, for the decoder that names the bad node."""

    condition: msgspec.Raw
    at: datetime | None = None


class CountAnswer(msgspec.Struct, frozen=True):
    """How many customers a condition holds for.

    Args:
        count: Customers the caller sees.
    """

    count: int


async def count_condition(call: Call) -> CountAnswer:
    """Count the customers for whom a condition holds, among those the caller sees."""
    request = wire.decode(call.body, call.body_type, _Envelope)
    condition = decode(request.condition, call.body_type)
    return CountAnswer(await service.count(call.db, call.actor, condition, at=request.at, settings=call.settings))


ROUTES = (
    Route(
        method="POST",
        path="/conditions/count",
        handler=count_condition,
        permission=CONDITIONS_COUNT,
        summary="How many customers a condition holds for",
        body=CountRequest,
        answer=CountAnswer,
    ),
)
