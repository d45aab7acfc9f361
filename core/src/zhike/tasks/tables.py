"""The tasks' tables: what somebody is to do, what is said about it, and its checklist."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Task", "TaskComment", "TaskItem"]


class Task(Table, tablename="task"):
    """One task; it is never deleted but with its customer."""

    id = BigSerial(primary_key=True)
    title = Text()
    description = Text(default="")
    customer_id = BigInt(null=True, default=None)
    assignee = BigInt(null=True, default=None)
    team = BigInt(null=True, default=None)
    priority = SmallInt(default=2, help_text="0 urgent, 1 high, 2 normal, 3 low.")
    status = Text(default="open", help_text="`open`, `in_progress`, `done` or `cancelled`.")
    due_at = Timestamptz(null=True, default=None)
    reminders = Array(Text(), default=list, help_text="Instants, or durations before `due_at`.")
    reminded_at = Timestamptz(help_text="Reminders until then are seen to.")
    overdue_at = Timestamptz(null=True, default=None, help_text="When it was told that it is overdue.")
    result = Text(null=True, default=None)
    key = Text(null=True, default=None)
    origin = Text()
    causation_id = BigInt(null=True, default=None)
    version = Integer(default=1)
    created_at = Timestamptz()
    updated_at = Timestamptz()
    completed_at = Timestamptz(null=True, default=None)
    recurrence = JSONB(null=True, default=None, help_text="How it comes again; a `zhike.contracts.Recurrence`.")
    series = BigInt(null=True, default=None, help_text="The first task of those that follow each other.")
    items = Integer(default=0, help_text="Things on its checklist.")
    items_done = Integer(default=0)
    comments = Integer(default=0)


class TaskComment(Table, tablename="task_comment"):
    """What somebody says about a task."""

    id = BigSerial(primary_key=True)
    task_id = BigInt()
    customer_id = BigInt(null=True, default=None, help_text="The task's; it follows the task.")
    author = BigInt(null=True, default=None, help_text="The user who said it.")
    origin = Text()
    text = Text()
    mentions = Array(BigInt(), default=list, help_text="The users it names.")
    created_at = Timestamptz()
    edited_at = Timestamptz(null=True, default=None)


class TaskItem(Table, tablename="task_item"):
    """One thing on a task's checklist."""

    id = BigSerial(primary_key=True)
    task_id = BigInt()
    customer_id = BigInt(null=True, default=None, help_text="The task's; it follows the task.")
    position = Integer(help_text="Its place, from 0.")
    text = Text()
    done_at = Timestamptz(null=True, default=None)
    done_by = BigInt(null=True, default=None, help_text="The user who did it.")
