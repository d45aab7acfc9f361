"""Tasks that plugins make by themselves, as staff have said: who does what and by when after an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from zhike.contracts import RecordedEvent, TaskPriority
from zhike.tasks import service
from zhike.tasks.due import after_working_time
from zhike.ui import asked
from zhike.work import Work

_TO = asked("Whose task", options={"owner": "The customer's owner", "team": "The customer's team"})
_DUE = asked(
    "Due in",
    kind="select",
    options={"PT4H": "4 working hours", "P1D": "1 working day", "P3D": "3 working days", "P7D": "7 working days"},
)
_URGENCY = asked("Priority", options={"low": "Low", "normal": "Normal", "high": "High", "urgent": "Urgent"})
_OWNERS = """
SELECT c.id, u.id AS owner, t.id AS team FROM customer AS c
LEFT JOIN app_user AS u ON u.id = c.owner AND u.disabled_at IS NULL
LEFT JOIN team AS t ON t.id = c.team WHERE c.id = ANY($1::bigint[])
"""


class FollowUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A task that is to be made for a customer; as a field of another struct it is part of its form.

    Args:
        title: What is to be done.
        to: Whose it is: the customer's owner, or the queue of the customer's team, also if nobody owns the customer.
        due_in: Until when, in working time, such as `P1D`.
        priority: `low`, `normal`, `high` or `urgent`.
    """

    title: Annotated[str, asked("What is to be done", min_length=1, max_length=200, pattern=r"\A(?=.*\S)[^\x00]*\Z")]
    to: Annotated[Literal["owner", "team"], _TO] = "owner"
    due_in: Annotated[Annotated[str, msgspec.Meta(max_length=40)] | None, _DUE] = None
    priority: Annotated[TaskPriority, _URGENCY] = "normal"


async def check(work: Work, wanted: FollowUp) -> None:
    """Refuse what no task could be made of.

    Raises:
        BadCondition: If `due_in` is no duration.
        BadRequest: If the working calendar does not reach that far.
    """
    if wanted.due_in is not None:
        await after_working_time(work.platform, wanted.due_in, work.now)


async def make(work: Work, wanted: Sequence[tuple[RecordedEvent, FollowUp]]) -> None:
    """Make tasks for the customers of events, one for each event; doing it again adds nothing.

    Args:
        work: The unit of work; its plugin is who asks.
        wanted: The events, each with what is to be done about it.
    """
    if not wanted:
        return
    rows = await work.connection.fetch(_OWNERS, [event.customer_id for event, _ in wanted])
    belonging = {row["id"]: row for row in rows}
    new = []
    for event, what in wanted:
        belongs = belonging[event.customer_id]
        owner = belongs["owner"] if what.to == "owner" else None
        task = service.NewTask(
            title=what.title,
            customer_id=event.customer_id,
            assignee=owner,
            team=None if owner else belongs["team"],
            key=f"{work.plugin}:{event.message_id}",
            priority=what.priority,
        )
        new.append(task if what.due_in is None else msgspec.structs.replace(task, due_in=what.due_in))
    await service.create(work, new, causes=[event for event, _ in wanted])
