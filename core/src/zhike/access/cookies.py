"""The session's cookie, and the token that shows that a request was made by our own pages."""

from __future__ import annotations

import hmac
import re

from zhike.errors import Forbidden
from zhike.i18n import text

CSRF_HEADER = b"x-csrf-token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def cookie_name(*, secure: bool) -> str:
    """Return the cookie's name; browsers take the prefix `__Host-` only over TLS, for this host and all paths."""
    return "__Host-zhike" if secure else "zhike"


def set_cookie(token: str, *, secure: bool, seconds: int) -> str:
    """Return the header that keeps a session's token in the browser; with 0 seconds the browser forgets it."""
    flags = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return f"{cookie_name(secure=secure)}={token}; {flags}"


def session_token(header: bytes, *, secure: bool) -> str | None:
    """Return the session's token in a Cookie header, or None if there is none, or more than one.

    Two cookies of the name cannot both be ours: somebody else has set one of them.
    """
    name = cookie_name(secure=secure)
    pairs = (pair.strip().partition("=") for pair in header.decode("latin-1").split(";"))
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 and _TOKEN.fullmatch(found[0]) else None


def csrf_token(token: str) -> str:
    """Return what a page of the session with this token sends along with whatever changes something.

    It is made of the session's own secret (HMAC-SHA256), so that it need not be stored and ends with the session.
    """
    return hmac.digest(token.encode(), b"zhike csrf", "sha256").hex()


def check_csrf(token: str, given: str) -> None:
    """Refuse a request of a session that our own pages did not make.

    Args:
        token: The session's token.
        given: The header `X-CSRF-Token`, or the hidden field of a form.

    Raises:
        Forbidden: With code `csrf`.
    """
    if not hmac.compare_digest(csrf_token(token).encode(), given.encode()):
        raise Forbidden(
            text("X-CSRF-Token is missing or of another session; expected `csrf_token` of GET /session"), code="csrf"
        )
