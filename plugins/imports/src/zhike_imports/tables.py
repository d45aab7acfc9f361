"""Files that were brought in, rows that were set aside, and how files of one shape are read."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Boolean, Text, Timestamptz
from piccolo.table import Table

__all__ = ["ImportProfile", "ImportReject", "ImportRow", "ImportRun"]


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
    started_by = Text(help_text="The actor, as in the audit trail.")
    file_id = BigInt(null=True, default=None, help_text="The file that was uploaded, of an import in the background.")
    given = JSONB(null=True, default=None, help_text="What was asked for, of such an import.")
    header = Array(Text(), default=list, help_text="The columns of its file.")
    dry_run = Boolean(default=False)
    preview = JSONB(null=True, default=None, help_text="What a dry run has found.")
    bytes_done = BigInt(default=0)
    bytes_total = BigInt(default=0)
    cancelled_at = Timestamptz(null=True, default=None)
    failure = Text(null=True, default=None, help_text="Why it ended before its end.")


class ImportRow(Table, tablename="imports_row"):
    """A row of a file of customers that was taken, so that it is not taken again."""

    message_id = Text(primary_key=True)
    import_id = BigInt()


class ImportReject(Table, tablename="imports_reject"):
    """A row of a file that was uploaded and could not be taken."""

    # The key is (import_id, number); Piccolo knows keys of one column only and would add an `id` without one.
    import_id = BigInt(primary_key=True, unique=False)
    number = BigInt()
    line = BigInt()
    code = Text()
    message = Text()
    cells = Array(Text(), default=list)


class ImportProfile(Table, tablename="imports_profile"):
    """How files of one shape are read, under a name."""

    id = BigSerial(primary_key=True)
    name = Text(unique=True)
    header = Array(Text(), default=list)
    options = JSONB(default="{}")
    created_by = Text()
    updated_at = Timestamptz()
