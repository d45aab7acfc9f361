"""The event log, its batches, and the figures kept beside it."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Boolean, Bytea, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = ["CustomerEventStat", "ErasedMessage", "Event", "EventType", "LogBatch"]


class LogBatch(Table, tablename="log_batch"):
    """The events that one transaction wrote."""

    batch_id = BigSerial(primary_key=True)
    names = Array(base_column=Text())
    shards = BigInt(help_text="Bit n is set if an event of shard n is in the batch.")
    size = Integer()
    created_at = Timestamptz()
    received_at = Timestamptz(help_text="By the database's clock; `created_at` is the day that a history tells of.")
    position = BigInt(null=True, default=None, help_text="Its place in the log; given after the commit.")


class Event(Table, tablename="event"):
    """Something that happened; rows are added and never changed, but for the customer after a merge."""

    # The key is (batch_id, id); Piccolo knows keys of one column only and would add another `id` without one.
    id = BigSerial(primary_key=True)
    batch_id = BigInt()
    message_id = Text()
    name = Text()
    behaviour = Boolean(help_text="True if the customer did it, false if we did.")
    customer_id = BigInt()
    home_customer_id = BigInt(help_text="The customer it was first given to; a merge leaves it.")
    shard = SmallInt(help_text="Home customer's id modulo 64, never rewritten.")
    occurred_at = Timestamptz()
    recorded_at = Timestamptz()
    amount = BigInt(null=True, default=None, help_text="In minor units of `currency`.")
    currency = Text(null=True, default=None)
    properties = JSONB(default="{}")
    source = Text()
    origin = Text()
    live = Boolean()
    import_id = BigInt(null=True, default=None)
    causation_id = BigInt(null=True, default=None, help_text="The event that made it happen.")
    depth = SmallInt(default=0, help_text="0 from outside, else one more than its causes'.")


class CustomerEventStat(Table, tablename="customer_event_stat"):
    """Figures over a customer's behaviours of one name (`*`: all) and currency (empty: without amount)."""

    # The key is (customer_id, name, currency); Piccolo knows keys of one column only.
    customer_id = BigInt(primary_key=True, unique=False)
    name = Text()
    currency = Text()
    # Table.count() is Piccolo's own.
    event_count = BigInt(db_column_name="count")
    sum = BigInt()
    first_at = Timestamptz()
    last_at = Timestamptz()


class EventType(Table, tablename="event_type"):
    """An event name that was seen."""

    name = Text(primary_key=True)
    behaviour = Boolean()
    first_seen_at = Timestamptz()


class ErasedMessage(Table, tablename="erased_message"):
    """A keyed hash of the message id of an event that was erased: it is not stored again."""

    hash = Bytea(primary_key=True)
