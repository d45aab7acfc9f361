"""Files that were brought in."""

from piccolo.columns import JSONB, BigInt, BigSerial, Text, Timestamptz
from piccolo.table import Table

__all__ = ["ImportRun"]


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
