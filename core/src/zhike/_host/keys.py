"""The deployment's key ring: what signs and seals, from ZHIKE_SECRET_KEY or a file that only its owner may read."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from zhike.errors import Refused
from zhike.i18n import text
from zhike.settings import LEAST_KEY, Settings


def cursor_key(settings: Settings, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return the key that signs list cursors, derived from the ring's first key (HMAC-SHA256).

    Args:
        settings: `data` is where the key file lies; it is made if there is none.
        environment: Where ZHIKE_SECRET_KEY is read from, as judged by `zhike.settings`: keys separated by commas, the
            first one is used.

    Raises:
        Refused: If the file is damaged, or can neither be read nor made.
    """
    given = environment.get("ZHIKE_SECRET_KEY", "").split(",")[0].strip()
    first = given or _stored(settings.data / "secret.key")
    if len(first) < LEAST_KEY:
        raise Refused(text("{file} is damaged; restore it, or remove it", file=settings.data / "secret.key"))
    return hmac.digest(first.encode(), b"zhike cursor", "sha256")


def _stored(file: Path) -> str:
    try:
        if not file.exists():
            _make(file)
        return file.read_text("ascii").strip()
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
