"""Ids that are made here: message ids for events that bring none, and signed list cursors."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any, TypeVar

import msgspec
import uuid_utils

from zhike.errors import BadRequest
from zhike.i18n import text

T = TypeVar("T")
_MAC_BYTES = 16
_KEY_BYTES = 32
_MAX_CHARS = 2_000


def new_message_id() -> str:
    """Return a UUIDv7 (RFC 9562): unique, and ascending in time so that its index stays compact."""
    return str(uuid_utils.uuid7())


def encode_cursor(payload: Any, key: bytes, *, scope: str = "") -> str:
    """Return `payload` as an opaque text that only the holder of `key` can make.

    Args:
        payload: What the next page starts after: a tuple or struct that msgspec can encode.
        key: Secrets of the deployment, 32 bytes each; the first one signs.
        scope: Name of the list; a cursor of one list is refused by every other.
    """
    body = msgspec.msgpack.encode(payload)
    return base64.urlsafe_b64encode(_mac(body, key[:_KEY_BYTES], scope) + body).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, key: bytes, type_: type[T], *, scope: str = "") -> T:
    """Return the payload of a cursor made by `encode_cursor`.

    Args:
        cursor: Text that came with a request.
        key: The secrets, one of which it was made with.
        type_: The payload's type, such as `tuple[int, datetime]`.
        scope: As given to `encode_cursor`.

    Raises:
        BadRequest: With code `cursor`, if it was not made here, for this list.
    """
    try:
        if len(cursor) > _MAX_CHARS:
            raise ValueError
        sealed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        keys = [key[start : start + _KEY_BYTES] for start in range(0, max(len(key), 1), _KEY_BYTES)]
        if not any([hmac.compare_digest(mac, _mac(body, each, scope)) for each in keys]):
            raise ValueError
        return msgspec.msgpack.decode(body, type=type_)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise BadRequest(
            text("cursor: not a cursor of this list; expected the value of `next` of the page before"),
            code="cursor",
        ) from None


def _mac(body: bytes, key: bytes, scope: str) -> bytes:
    # The length keeps scope and body apart: ("ab", "c") must not sign ("a", "bc").
    name = scope.encode()
    return hmac.digest(key, b"cursor:%d:%b:%b" % (len(name), name, body), "sha256")[:_MAC_BYTES]
