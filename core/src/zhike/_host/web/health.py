"""Whether the process lives and can serve, for supervisors and load balancers."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from zhike._host.web.problems import problem
from zhike._host.web.reply import Reply
from zhike.api import Call, Public, Route
from zhike.errors import Unavailable
from zhike.i18n import text

TIMEOUT = 2.0
_PUBLIC = Public("supervisors and load balancers have no token; the answer tells nothing about customers")


class Health(msgspec.Struct, frozen=True):
    """That all is well.

    Args:
        status: Always `ok`.
    """

    status: Literal["ok"] = "ok"


async def live(_: Call) -> Health:
    """Answer that the process runs."""
    return Health()


async def ready(call: Call) -> Health | Reply:
    """Answer whether requests can be served, which needs the database within two seconds."""
    try:
        async with asyncio.timeout(TIMEOUT):
            async with call.db.connection() as connection:
                await connection.fetchval("SELECT 1")
    except Unavailable as error:
        reason = error.message
    except Exception:  # whatever the reason is: the process is not ready
        reason = text("The database does not answer")
    else:
        return Health()
    return problem(
        503,
        "not_ready",
        text("The server cannot answer requests at the moment"),
        call.locale,
        headers=((b"retry-after", b"1"),),
        reasons=[reason.render(call.locale)],
    )


ROUTES = (
    Route(
        method="GET",
        path="/health/live",
        handler=live,
        permission=_PUBLIC,
        summary="Whether the process runs",
        answer=Health,
    ),
    Route(
        method="GET",
        path="/health/ready",
        handler=ready,
        permission=_PUBLIC,
        summary="Whether requests can be served",
        answer=Health,
        statuses=(503,),
    ),
)
