"""Files that were brought in."""

from piccolo.columns import JSONB, BigInt, BigSerial, Text, Timestamptz
from piccolo.table import Table

__all__ = ["ImportRow", "ImportRun"]


class ImportRun(Table, tablename="imports_run"):
    """One import of one file, and how far it got."""

    id = BigSerial(primary_key=True)
    kind = Text()
    file_name = Text()
    sha256 = Text()
    options = JSONB(default="{}")
    rows_done = BigInt(default=0)
    accepted = BigInt(default=0)
    duplicate = BigInt(default=0)
    rejected = BigInt(default=0)
    started_at = Timestamptz()
    finished_at = Timestamptz(null=True, default=None)
    undo_started_at = Timestamptz(null=True, default=None)
    undone_at = Timestamptz(null=True, default=None)
    undone = JSONB(default="{}", help_text="What the undo has done, as counts.")


class ImportRow(Table, tablename="imports_row"):
    """A row of a file of customers that was taken, so that it is not taken again."""

    message_id = Text(primary_key=True)
    import_id = BigInt()
