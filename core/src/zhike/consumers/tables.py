"""The consumers' tables: how far each one is in the log, what it is trying now, and what it could not take."""

from piccolo.columns import Array, BigInt, BigSerial, Boolean, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Consumer", "ConsumerAttempt", "ConsumerCursor", "DeadLetter"]


class Consumer(Table, tablename="consumer"):
    """A plugin that is given the log."""

    name = Text(primary_key=True, help_text="The plugin's name.")
    state = Text(default="running", help_text="`running` or `paused`.")
    pause_reason = Text(null=True, default=None, help_text="`staff`, `dead_letters` or `reset`.")
    paused_at = Timestamptz(null=True, default=None)
    mode = Text(default="live", help_text="The mode of batches before `live_from`.")
    live_from = BigInt(help_text="Batches from this position on are offered in mode live.")
    events = Array(base_column=Text())
    rebuildable = Boolean(default=False)
    restart = Text(null=True, default=None, help_text="`rebuild` or `backfill`, until a runner has begun it.")
    restart_at = BigInt(default=1, help_text="The position it starts again from.")
    registered_at = Timestamptz()


class ConsumerCursor(Table, tablename="consumer_cursor"):
    """How far a consumer is with a range of shards: batches below `position` are done, of that one some events."""

    # The key is (consumer, shard_from); Piccolo knows keys of one column only and would add an `id` without one.
    consumer = Text(primary_key=True, unique=False)
    shard_from = SmallInt()
    shard_to = SmallInt()
    position = BigInt()
    event_id = BigInt(default=0, help_text="Events of the batch at `position` up to this id are done.")
    offered = BigInt(default=0, help_text="Events it was given so far.")
    suspects = Integer(default=0, help_text="One of so many next events has failed or ended a process.")
    failures = Integer(default=0)
    retry_at = Timestamptz(null=True, default=None)
    last_error = Text(null=True, default=None)
    moved_at = Timestamptz()


class ConsumerAttempt(Table, tablename="consumer_attempt"):
    """What a cursor's events were last offered as, written before the handler runs; not logged by PostgreSQL."""

    consumer = Text(primary_key=True, unique=False)
    shard_from = SmallInt()
    event_id = BigInt(help_text="The first event offered.")
    size = Integer(help_text="How many were.")
    tries = Integer(help_text="Processes that ended at this event before.")
    process = Text(help_text="Who tries; empty once it is known that the process outlived it.")
    at = Timestamptz()


class DeadLetter(Table, tablename="dead_letter"):
    """An event that a consumer could not take."""

    id = BigSerial(primary_key=True)
    consumer = Text()
    batch_id = BigInt()
    event_id = BigInt()
    message_id = Text()
    event_name = Text()
    customer_id = BigInt()
    shard = SmallInt()
    error = Text()
    attempts = Integer(default=1)
    offered = BigInt(help_text="The cursor's `offered` when it was set aside.")
    replay_at = Timestamptz(
        null=True, default=None, help_text="When staff asked for it again, until a runner takes it."
    )
    created_at = Timestamptz()
