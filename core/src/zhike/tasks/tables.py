"""The tasks' table: what somebody is to do."""

from piccolo.columns import Array, BigInt, BigSerial, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Task"]


class Task(Table, tablename="task"):
    """One task; it is never deleted but with its customer."""

    id = BigSerial(primary_key=True)
    title = Text()
    description = Text(default="")
    customer_id = BigInt(null=True, default=None)
    assignee = BigInt(null=True, default=None)
    team = BigInt(null=True, default=None)
    priority = SmallInt(default=2, help_text="0 urgent, 1 high, 2 normal, 3 low.")
    status = Text(default="open", help_text="`open`, `done` or `cancelled`.")
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
