"""The jobs' tables: work that is still to be done, and the schedules that keep making more of it."""

from piccolo.columns import JSONB, BigInt, BigSerial, Boolean, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Job", "Schedule"]


class Job(Table, tablename="job"):
    """One job; it is deleted in the transaction of its effects."""

    id = BigSerial(primary_key=True)
    name = Text()
    queue = Text()
    key = Text(null=True, default=None, help_text="At most one ready job of a name has it.")
    payload = JSONB(default="{}")
    customer_id = BigInt(null=True, default=None)
    priority = SmallInt(default=1, help_text="0 high, 1 normal, 2 low.")
    due_at = Timestamptz(help_text="Not before; by the clock of the processes (zhike.clock).")
    state = Text(default="ready", help_text="`ready` or `failed`.")
    attempts = Integer(default=0)
    lease_token = BigInt(null=True, default=None, help_text="Who claimed it; only they may finish it.")
    lease_size = Integer(null=True, default=None, help_text="Jobs that ran together in the process; 1: it ran alone.")
    leased_until = Timestamptz(null=True, default=None, help_text="By the clock of the database.")
    last_error = Text(null=True, default=None)
    origin = Text()
    plugin = Text()
    causation_id = BigInt(null=True, default=None)
    depth = SmallInt(default=0)
    live = Boolean(default=True)
    created_at = Timestamptz()


class Schedule(Table, tablename="schedule"):
    """A job that is enqueued again and again."""

    name = Text(primary_key=True)
    job = Text()
    cron = Text()
    zone = Text()
    payload = JSONB(default="{}")
    next_at = Timestamptz()
    plugin = Text()
    last_at = Timestamptz(null=True, default=None)
