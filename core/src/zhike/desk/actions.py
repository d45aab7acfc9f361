"""What the core can do to many customers: give them an owner, a team or a stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from zhike.access.roles import CUSTOMERS_WRITE
from zhike.api import Id
from zhike.conditions.bulk import change_these
from zhike.contracts import BulkAction
from zhike.customers.schemas import BulkSet
from zhike.i18n import text
from zhike.ui.forms import asked

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.work import Work


class SetOwner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `customers.set_owner`.

    Args:
        owner: Id of the user; null for nobody.
    """

    owner: Annotated[Id | None, asked("Owner", kind="user")]


class SetTeam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `customers.set_team`.

    Args:
        team: Id of the team; null for none.
    """

    team: Annotated[Id | None, asked("Team", kind="team")]


class SetStage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `customers.set_stage`.

    Args:
        stage: The stage; null for none.
    """

    stage: Annotated[str | None, asked("Stage")]


async def _set(work: Work, actor: Actor, ids: Sequence[int], options: SetOwner | SetTeam | SetStage) -> int:
    return await change_these(work, actor, ids, BulkSet(**msgspec.structs.asdict(options)))


ACTIONS = (
    BulkAction(
        key="customers.set_owner",
        label=text("Set owner"),
        icon="user-check",
        permission=CUSTOMERS_WRITE,
        run=_set,
        form=SetOwner,
        confirm=text("{n} {n:customer gets|customers get} this owner"),
    ),
    BulkAction(
        key="customers.set_team",
        label=text("Set team"),
        icon="users-group",
        permission=CUSTOMERS_WRITE,
        run=_set,
        form=SetTeam,
        confirm=text("{n} {n:customer gets|customers get} this team"),
    ),
    BulkAction(
        key="customers.set_stage",
        label=text("Set stage"),
        icon="progress-check",
        permission=CUSTOMERS_WRITE,
        run=_set,
        form=SetStage,
        confirm=text("{n} {n:customer gets|customers get} this stage"),
    ),
)
