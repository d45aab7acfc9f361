"""What a ZIP file is made of: whether it is a workbook, and whether that would fill the memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

from zhike.errors import Refused
from zhike.i18n import text

MAX_PARTS = 2_000
MAX_SHEET = 1 << 30
"""Unpacked bytes of all sheets, which are read row by row."""
MAX_WHOLE = 64 << 20
"""Unpacked bytes of all else, which is held in memory: texts, styles."""
MAX_RATIO = 300
"""How many times its packed size a large part may unpack to; Excel's own reach about 30."""
_SMALL = 1 << 20
_UNUSABLE = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError)


def is_workbook(path: Path) -> bool:
    """Say whether a ZIP file is a workbook in XML."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except _UNUSABLE:
        return False


def refuse_bomb(path: Path, file_name: str) -> None:
    """Judge a workbook by what its directory says: `zipfile` unpacks no more than that of any part.

    Raises:
        Refused: If it unpacks to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except _UNUSABLE:
        raise Refused(text("{path} is a broken workbook ({reason})", path=file_name, reason="ZIP")) from None
    sheets = sum(part.file_size for part in parts if part.filename.startswith("xl/worksheets/"))
    rest = sum(part.file_size for part in parts) - sheets
    dense = any(part.file_size > max(_SMALL, part.compress_size * MAX_RATIO) for part in parts)
    if dense or len(parts) > MAX_PARTS or sheets > MAX_SHEET or rest > MAX_WHOLE:
        raise Refused(text("{path} unpacks to more than can be read; save it as CSV (UTF-8)", path=file_name))
