"""What a file is before anybody trusts its name: its digest, its encoding, and whether it is text at all."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import IO

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike_imports.files.parts import is_workbook

CHUNK = 1 << 20
EXAMINED_LINES = 10_000

# Byte order marks, longest first: the one of UTF-32 begins with the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# First bytes of formats that are no text.
_ZIP = b"PK\x03\x04"
_MAGIC = (
    (_ZIP, "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "XLS (Excel 97-2003)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"Rar!", "RAR"),
    (b"%PDF-", "PDF"),
    (b"PAR1", "Parquet"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\f")))
_FAULT = "zhike_imports.fault"


class Scan(msgspec.Struct, frozen=True):
    """What one pass over a file found.

    Args:
        path: The file.
        sha256: Hex digest of its bytes.
        size: Bytes.
        changed_at: Its modification time in nanoseconds, to notice that somebody writes to it meanwhile.
        encoding: Python's name of the codec its text is in.
        mark: Bytes of the byte order mark in front of the text.
        workbook: Whether it is no text but a workbook of Excel's.
    """

    path: Path
    sha256: str
    size: int
    changed_at: int
    encoding: str
    mark: int
    workbook: bool = False

    def unchanged(self) -> bool:
        """Say whether the file still has the size and modification time of the scan."""
        now = self.path.stat()
        return (now.st_size, now.st_mtime_ns) == (self.size, self.changed_at)


def scan(path: Path, encoding: str | None = None) -> Scan:
    """Read the whole file once, in bounded memory.

    Args:
        path: A regular file.
        encoding: The codec the user named, or None to find out: a byte order mark decides, then UTF-8 if most
            lines outside ASCII are valid in it, then GB18030 (what Chinese Excel writes).

    Raises:
        Refused: If the file is empty, unreadable, not text, or the codec does not exist.
    """
    if encoding is not None:
        encoding = _known(encoding)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(text("{path} is no regular file; it must be readable twice", path=path))
            head = file.read(CHUNK)
            mark, marked = next(((len(m), e) for m, e in _MARKS if head.startswith(m)), (0, None))
            if not head[mark:].strip():
                raise Refused(text("{path} is empty", path=path))
            if head.startswith(_ZIP) and is_workbook(path):
                file.seek(0)
                whole = hashlib.file_digest(file, "sha256").hexdigest()
                return Scan(path, whole, status.st_size, status.st_mtime_ns, "utf-8", 0, workbook=True)
            _refuse_binary(path, head, wide=(encoding or marked or "").startswith(("utf-16", "utf-32")))
            file.seek(0)
            digest, found = _read(file, examine=encoding is None and marked is None)
    except OSError as error:
        raise Refused(text("{path} cannot be read: {reason}", path=path, reason=error.strerror or error)) from None
    if encoding is not None and encoding != marked:
        mark = mark if marked and marked.startswith(encoding) else 0
    return Scan(path, digest, status.st_size, status.st_mtime_ns, _with_order(encoding, marked) or found, mark)


def open_text(found: Scan) -> io.BufferedReader:
    """Open a scanned file as bytes in which LF ends a line and ASCII stands for itself.

    Bytes that are wrong in UTF-16 or UTF-32 arrive as an invalid UTF-8 sequence, so that a reader finds the
    fault in the line where it is.
    """
    raw = found.path.open("rb", buffering=0)
    raw.seek(found.mark)
    if found.encoding.startswith(("utf-16", "utf-32")):
        return io.BufferedReader(_Utf8(raw, found.encoding), CHUNK)
    return io.BufferedReader(raw, CHUNK)


def line_encoding(found: Scan) -> str:
    """Return the codec of the lines that `open_text` gives."""
    return "utf-8" if found.encoding.startswith(("utf-16", "utf-32")) else found.encoding


class _Utf8(io.RawIOBase):
    """A file in a wide encoding, read as UTF-8."""

    def __init__(self, raw: IO[bytes], encoding: str) -> None:
        codecs.register_error(_FAULT, lambda error: ("\udcff", _end(error)))
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_FAULT)
        self._rest = b""
        self._done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is wider
        while not self._rest and not self._done:
            chunk = self._raw.read(CHUNK // 4)
            self._done = not chunk
            self._rest = self._decoder.decode(chunk, self._done).encode("utf-8", "surrogatepass")
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _end(error: UnicodeError) -> int:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  # the handler is used for decoding only
    return error.end


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        plain = "\n,09".encode(name)
    except (LookupError, ValueError):
        raise Refused(
            text("there is no encoding {encoding!r}; expected one such as gb18030", encoding=encoding)
        ) from None
    if plain != b"\n,09" and not name.startswith(("utf-16", "utf-32")):
        raise Refused(text("files in {encoding} cannot be read; convert it to UTF-8", encoding=encoding))
    return name


def _with_order(encoding: str | None, marked: str | None) -> str | None:
    """Prefer the mark's byte order to a codec that names none."""
    if encoding in {"utf-16", "utf-32"}:
        return marked if marked and marked.startswith(encoding) else f"{encoding}-le"
    if encoding == "utf-8-sig":
        return "utf-8"
    return encoding or marked


def _refuse_binary(path: Path, head: bytes, *, wide: bool) -> None:
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if kind:
        raise Refused(text("{path} is a {kind} file, not text; save it as CSV (UTF-8) first", path=path, kind=kind))
    if wide:
        return
    sample = head[:65536]
    if sample.count(0) * 5 >= len(sample) * 2:
        raise Refused(text("{path} looks like UTF-16 without a byte order mark; say --encoding utf-16-le", path=path))
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls >= 8 and controls * 20 > len(sample):
        raise Refused(text("{path} is a binary file; expected CSV, JSON Lines or columns of text", path=path))


def _read(file: IO[bytes], *, examine: bool) -> tuple[str, str]:
    digest = hashlib.sha256()
    utf8 = chinese = 0
    rest = b""
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        if not examine or utf8 + chinese >= EXAMINED_LINES:
            continue
        cut = chunk.rfind(b"\n") + 1 or len(chunk)
        block, rest = rest + chunk[:cut], chunk[cut:]
        more_utf8, more_chinese = _evidence(block)
        utf8, chinese = utf8 + more_utf8, chinese + more_chinese
    more_utf8, more_chinese = _evidence(rest)
    return digest.hexdigest(), "gb18030" if chinese + more_chinese > utf8 + more_utf8 else "utf-8"


def _evidence(block: bytes) -> tuple[int, int]:
    """Count the lines outside ASCII that are UTF-8, and those that are not but are Chinese in GB18030."""
    if block.isascii():
        return 0, 0
    utf8 = chinese = 0
    for line in block.split(b"\n"):
        if line.isascii():
            continue
        try:
            line.decode()
            utf8 += 1
        except UnicodeDecodeError:
            chinese += _is_chinese(line)
    return utf8, chinese


def _is_chinese(line: bytes) -> bool:
    """Say whether a line is GB18030, and what is not ASCII in it mostly of GB 2312: everyday Chinese.

    Nearly any pair of high bytes is some character of GB18030, so validity alone proves little.
    """
    try:
        wide = [character for character in line.decode("gb18030") if not character.isascii()]
    except UnicodeDecodeError:
        return False
    common = len("".join(wide).encode("gb2312", "ignore")) // 2
    return common * 2 >= len(wide)
