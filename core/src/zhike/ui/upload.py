"""Forms as browsers send them: their fields, and a file that is read piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from zhike.errors import BadRequest, TooLarge, UnsupportedType
from zhike.i18n import text

MOST_FIELDS = 5_000
MOST_BYTES = 2 * 1024 * 1024
"""Of all fields of a form, without the file."""

Receive = Callable[[], Awaitable[Any]]


class Upload:
    """A file that comes with a form, as its last field.

    Args:
        name: What it is called where it comes from, without folders.
        media_type: What the browser takes it for.
        pieces: Its bytes; they can be read once. `BadRequest` is raised when the connection ends before the file.
    """

    def __init__(self, name: str, media_type: str, pieces: AsyncGenerator[bytes, None]) -> None:
        self.name = name
        self.media_type = media_type
        self.pieces = pieces


async def read_form(receive: Receive, headers: Mapping[bytes, bytes]) -> tuple[dict[str, list[str]], Upload | None]:
    """Return a form's fields, and its file if there is one.

    Args:
        receive: The ASGI function that gives the next piece of the body.
        headers: The request's headers.

    Raises:
        BadRequest: If it is cut off or cannot be read.
        TooLarge: If its fields are more than a form can have.
        UnsupportedType: If it is no form.
    """
    name, options = parse_options_header(headers.get(b"content-type", b"").decode("latin-1"))
    if name == "multipart/form-data":
        return await _multipart(_chunks(receive), options.get("boundary", ""))
    if name not in {"application/x-www-form-urlencoded", ""}:
        raise UnsupportedType(text("Content-Type is {type!r}; expected a form", type=name))
    body = bytearray()
    async for chunk in _chunks(receive):
        body += chunk
        _check_size(len(body))
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BadRequest(text("The form is not readable; expected percent-encoded UTF-8")) from None
    return _checked(fields), None


async def _multipart(chunks: AsyncGenerator[bytes, None], boundary: str) -> tuple[dict[str, list[str]], Upload | None]:
    fields: dict[str, list[str]] = {}
    value, name, size = bytearray(), "", 0
    events = _events(chunks, boundary)
    try:
        async for each in events:
            if isinstance(each, MultipartSegment):
                if each.filename is not None:
                    return _checked(fields), Upload(_base(each.filename), each.content_type or "", _file(events))
                value, name = bytearray(), each.name
            elif each is None:
                fields.setdefault(name, []).append(value.decode())
            else:
                size += len(each)
                _check_size(size)
                value += each
    except UnicodeDecodeError:
        raise _unreadable() from None
    return _checked(fields), None


async def _file(events: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async for each in events:
        if each is None:
            return
        yield bytes(each)


async def _events(chunks: AsyncGenerator[bytes, None], boundary: str) -> AsyncGenerator[Any, None]:
    """Give what stands in the body: the head of a part, the pieces of its content, None at its end."""
    try:
        parser = PushMultipartParser(boundary, max_segment_count=MOST_FIELDS, strict=True)
        async for chunk in chunks:
            for each in parser.parse(chunk):
                yield each
        parser.close()  # which notices a body that is cut off
    except MultipartError:
        raise _unreadable() from None


async def _chunks(receive: Receive) -> AsyncGenerator[bytes, None]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _cut_off()
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


def _base(filename: str) -> str:
    return filename.replace("\\", "/").rpartition("/")[2].replace("\0", "")[:200] or "file"


def _checked(fields: dict[str, list[str]]) -> dict[str, list[str]]:
    """Refuse NUL, as addresses do: nobody types one, and the database stores none."""
    if any("\0" in each for name, values in fields.items() for each in (name, *values)):
        raise BadRequest(text("The form has a NUL in it"))
    return fields


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise TooLarge(text("The form has more than {n} bytes", n=MOST_BYTES))


def _cut_off() -> BadRequest:
    return BadRequest(text("The connection ended before the body did"))


def _unreadable() -> BadRequest:
    return BadRequest(text("The form is not readable; expected multipart/form-data"))
