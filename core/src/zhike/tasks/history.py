"""What has happened to a task: the audit trail says what people did with it, events what plugins and time did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from zhike.access.actor import Actor
from zhike.orm import Database
from zhike.tasks import lists
from zhike.tasks.facts import EVENT_TYPES

_NAMES = [each.name for each in EVENT_TYPES]
_BY_TIME = ["task.reminded", "task.overdue"]
# Events of plugins, since whoever has a name in the audit trail stands there already.
_HISTORY = """
SELECT at, origin, what, details FROM (
  SELECT at, actor AS origin, action AS what, details::text, id FROM audit WHERE object = $1
  UNION ALL
  SELECT occurred_at, origin, name, NULL, id FROM event
  WHERE customer_id = $2 AND occurred_at >= $3 AND name = ANY ($4::text[])
    AND (name = ANY ($5::text[]) OR origin LIKE 'plugin:%') AND properties -> 'task_id' = to_jsonb($6::bigint)
) AS happened ORDER BY at DESC, id DESC LIMIT $7
"""


class TaskEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a task.

    Args:
        at: When.
        origin: Who did it: `user:7`, `token:3`, `plugin:ticketing`, `system` …
        what: What it was: an action of the audit trail such as `task.change`, or an event such as `task.overdue`.
        details: What is new about the task since, of texts only that they are; None for events.
    """

    at: datetime
    origin: str
    what: str
    details: dict[str, Any] | None


class TaskHistory(msgspec.Struct, frozen=True):
    """What has happened to a task.

    Args:
        events: The latest first.
    """

    events: list[TaskEvent]


async def history(db: Database, actor: Actor, task_id: int, *, limit: int = 200) -> TaskHistory:
    """Return what has happened to a task, the latest first.

    Args:
        db: Where it is.
        actor: Who asks.
        task_id: The task.
        limit: Most of it.

    Raises:
        NotFound: If there is no such task, or `actor` does not see it.
    """
    task = await lists.get(db, actor, task_id)
    values = (f"task:{task_id}", task.customer_id, task.created_at, _NAMES, _BY_TIME, task_id, limit)
    rows = await db.fetch(_HISTORY, *values)
    return TaskHistory([TaskEvent(**{**row, "details": msgspec.json.decode(row["details"] or "null")}) for row in rows])
