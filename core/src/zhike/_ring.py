"""The deployment's key ring, from ZHIKE_SECRET_KEY or a file that only its owner may read, and what derives from it."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike.settings import LEAST_KEY, Settings


class RingKey(msgspec.Struct, frozen=True):
    """One key of the ring.

    Args:
        id: Tells it from others without telling anything about it.
        wrapping: Wraps data keys (AES-256).
        cursors: Signs the cursors of lists.
    """

    id: str
    wrapping: bytes
    cursors: bytes

    def __repr__(self) -> str:
        return f"RingKey({self.id})"


def ring(settings: Settings, environment: Mapping[str, str] = os.environ) -> tuple[RingKey, ...]:
    """Return the keys of the ring, of which the first one signs and wraps, and all verify and unwrap.

    Args:
        settings: `data` is where the key file lies; it is made if there is none.
        environment: Where ZHIKE_SECRET_KEY is read from, as judged by `zhike.settings`: keys separated by commas.

    Raises:
        Refused: If the file is damaged, or can neither be read nor made.
    """
    file = settings.data / "secret.key"
    keys = _split(environment.get("ZHIKE_SECRET_KEY", "")) or _split(_stored(file))
    if not keys or min(map(len, keys)) < LEAST_KEY:
        raise Refused(text("{file} is damaged; restore it, or remove it", file=file))
    return tuple(
        RingKey(_derive(key, b"zhike id")[:8].hex(), _derive(key, b"zhike wrap"), _derive(key, b"zhike cursor"))
        for key in dict.fromkeys(keys)
    )


def cursor_key(settings: Settings) -> bytes:
    """Return what signs list cursors, for `zhike.ids`: a cursor is good until the key it was made with leaves the ring.

    Raises:
        Refused: As for `ring`.
    """
    return b"".join(key.cursors for key in ring(settings))


def _derive(key: str, purpose: bytes) -> bytes:
    """Return 32 bytes by HKDF-SHA256 (RFC 5869) without salt; of what is that short one round is all."""
    extracted = hmac.digest(bytes(32), key.encode(), "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")


def _split(keys: str) -> list[str]:
    return [key.strip() for key in re.split(r"[,\n]", keys) if key.strip()]


def _stored(file: Path) -> str:
    try:
        if not file.exists():
            _make(file)
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            text("The key file {file} cannot be read or made; set ZHIKE_SECRET_KEY instead", file=file)
        ) from error


def _make(file: Path) -> None:
    """Make the file; of several processes that do so at once the first one wins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secret.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
    finally:
        Path(name).unlink()
