"""The tables of files: one row for each, and its bytes in pieces."""

from piccolo.columns import BigInt, BigSerial, Bytea, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = ["File", "FileChunk"]


class File(Table, tablename="file"):
    """One file; while it has no digest it is still being stored, and nobody sees it."""

    id = BigSerial(primary_key=True)
    name = Text()
    media_type = Text()
    size = BigInt(default=0)
    sha256 = Text(null=True, default=None)
    owner = Text(help_text="The plugin or noun it belongs to.")
    permission = Text(help_text="What one needs to read it.")
    customer_id = BigInt(null=True, default=None)
    created_by = Text(help_text="The actor, as in the audit trail.")
    created_at = Timestamptz()
    expires_at = Timestamptz(null=True, default=None)


class FileChunk(Table, tablename="file_chunk"):
    """1 MiB of a file, less of its last one."""

    # The key is (file_id, number); Piccolo knows keys of one column only and would add an `id` without one.
    file_id = BigInt(primary_key=True, unique=False)
    number = Integer()
    content = Bytea()
