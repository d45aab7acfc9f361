"""Lines of a scanned file, each of bounded size and each with its own fault when it has one."""

from __future__ import annotations

import io
from collections.abc import Iterator

import msgspec

from zhike.i18n import Text, text
from zhike_imports.files.encoding import Scan, line_encoding, open_text

MAX_LINE = 1 << 20
SHOWN = 1_000


class Fault(msgspec.Struct, frozen=True):
    """Why a line or row cannot be read.

    Args:
        code: A stable word for programs.
        message: What is wrong and what was expected.
    """

    code: str
    message: Text


class Line(msgspec.Struct, gc=False):
    """One physical line.

    Args:
        number: Counted from 1 at the top of the file.
        text: What it holds, with its line end; only its beginning when it has a fault.
        fault: Why it cannot be used, or None.
    """

    number: int
    text: str
    fault: Fault | None = None


class Lines:
    """The lines of a file, once.

    Args:
        found: The scanned file.
    """

    def __init__(self, found: Scan) -> None:
        self._file = open_text(found)
        self._encoding = line_encoding(found)
        self._number = 0
        self._old_mac = _ends_with_return(self._file)
        self._pending: list[bytes] = []

    @property
    def position(self) -> int:
        """Bytes of the file that have been read, for a progress bar."""
        return self._file.raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[Line]:
        read = self._next_of_old_mac if self._old_mac else self._next
        encoding = self._encoding
        while raw := read():
            self._number += 1
            if len(raw) > MAX_LINE:
                yield self._too_long(raw)
                continue
            try:
                yield Line(self._number, raw.decode(encoding))
            except UnicodeDecodeError as error:
                yield self._undecodable(raw, error)

    def _next(self) -> bytes:
        line = self._file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            more = line
            while more and not more.endswith(b"\n"):
                more = self._file.readline(MAX_LINE)
        return line

    def _next_of_old_mac(self) -> bytes:
        """Read a line of a file whose line end is CR alone."""
        if len(self._pending) < 2:
            rest = self._pending.pop() if self._pending else b""
            chunk = b""
            while len(rest) <= MAX_LINE and (chunk := self._file.read(MAX_LINE)):
                rest += chunk
                if b"\r" in chunk:
                    break
            self._pending = rest.split(b"\r")[::-1]
        line = self._pending.pop()
        return line + b"\n" if self._pending else line

    def _too_long(self, raw: bytes) -> Line:
        message = text("the line is longer than {limit} bytes", limit=MAX_LINE)
        shown = raw[:SHOWN].decode(self._encoding, "ignore")
        return Line(self._number, shown, Fault("too_long", message))

    def _undecodable(self, raw: bytes, error: UnicodeDecodeError) -> Line:
        message = text(
            "byte {place} of the line is not valid {encoding}; the file may be in another encoding",
            place=error.start + 1,
            encoding=self._encoding,
        )
        shown = raw[:SHOWN].decode(self._encoding, "backslashreplace")
        return Line(self._number, shown, Fault("encoding", message))


def _ends_with_return(file: io.BufferedReader) -> bool:
    head = file.peek(1 << 16)[: 1 << 16]
    return b"\n" not in head and b"\r" in head
