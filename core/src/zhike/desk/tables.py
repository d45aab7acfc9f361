"""What belongs to the people who work here."""

from piccolo.columns import JSONB, BigInt, BigSerial, Boolean, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Notice", "Progress", "SavedView"]


class Notice(Table, tablename="notice"):
    """Something a user should know."""

    id = BigSerial(primary_key=True)
    user_id = BigInt()
    kind = Text()
    key = Text(null=True, default=None, help_text="A second notice of this key is not made.")
    text = JSONB(help_text="Message id and params, rendered in the reader's language.")
    path = Text()
    created_at = Timestamptz()
    read_at = Timestamptz(null=True, default=None)


class SavedView(Table, tablename="saved_view"):
    """A list as somebody wants to see it again."""

    id = BigSerial(primary_key=True)
    user_id = BigInt()
    page = Text()
    name = Text()
    query = JSONB()
    shared = Text(help_text="me, team or all.")
    is_default = Boolean()
    version = Integer()
    created_at = Timestamptz()
    updated_at = Timestamptz()


class Progress(Table, tablename="progress"):
    """How far something is that runs in the background."""

    id = BigSerial(primary_key=True)
    kind = Text()
    label = JSONB(help_text="Message id and params.")
    started_by = Text(help_text="Origin of the user or token that started it.")
    state = Text(help_text="running, done, failed or cancelled.")
    total = BigInt(null=True, default=None)
    done = BigInt()
    failed = BigInt()
    message = JSONB(null=True, default=None, help_text="The last thing worth knowing: message id and params.")
    result = Text(help_text="Path of what came of it.")
    cancel_requested = Boolean()
    rest = JSONB(null=True, default=None, help_text="What is left to do, of work that keeps it here.")
    step = Integer(help_text="Counts the pieces that were done of that.")
    created_at = Timestamptz()
    updated_at = Timestamptz()
    finished_at = Timestamptz(null=True, default=None)
