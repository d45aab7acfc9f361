"""The session's cookie, and the token that shows that a request was made by our own pages."""

from __future__ import annotations

import hmac
import re
import secrets

from zhike.errors import Forbidden
from zhike.i18n import text

CSRF_HEADER = b"x-csrf-token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def cookie_name(base: str = "zhike", *, secure: bool) -> str:
    """Return a cookie's name; browsers take the prefix `__Host-` only over TLS, for this host and all paths."""
    return f"__Host-{base}" if secure else base


def set_cookie(value: str, *, secure: bool, seconds: int, base: str = "zhike") -> str:
    """Return the header that keeps a session's token, or what `base` says, in the browser; 0 seconds forget it."""
    flags = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return f"{cookie_name(base, secure=secure)}={value}; {flags}"


def cookie(header: bytes, base: str = "zhike", *, secure: bool) -> str | None:
    """Return what a cookie in a Cookie header holds, or None if there is none, or more than one.

    Two cookies of the name cannot both be ours: somebody else has set one of them.
    """
    name = cookie_name(base, secure=secure)
    pairs = (pair.strip().partition("=") for pair in header.decode("latin-1").split(";"))
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else None


def session_token(header: bytes, *, secure: bool) -> str | None:
    """Return the session's token in a Cookie header, or None."""
    found = cookie(header, secure=secure)
    return found if found is not None and _TOKEN.fullmatch(found) else None


def csrf_token(token: str) -> str:
    """Return what a page of the session with this token sends along with whatever changes something.

    It is made of the session's own secret (HMAC-SHA256), so that it need not be stored and ends with the session.
    """
    return hmac.digest(token.encode(), b"zhike csrf", "sha256").hex()


def masked_csrf(csrf: str) -> str:
    """Return another text for `csrf_token`'s each time, so that what is compressed with it tells nothing (BREACH)."""
    mask = secrets.token_bytes(len(csrf) // 2)
    return (mask + bytes(a ^ b for a, b in zip(mask, bytes.fromhex(csrf), strict=True))).hex()


def _unmasked(given: str) -> str:
    half = len(given) // 2
    try:
        mask, masked = bytes.fromhex(given[:half]), bytes.fromhex(given[half:])
    except ValueError:
        return ""
    return bytes(a ^ b for a, b in zip(mask, masked, strict=False)).hex()


def check_csrf(token: str, given: str) -> None:
    """Refuse a request of a session that our own pages did not make.

    Args:
        token: The session's token.
        given: The header `X-CSRF-Token`, or the hidden field of a form; masked or not.

    Raises:
        Forbidden: With code `csrf`.
    """
    expected = csrf_token(token)
    plain = _unmasked(given) if len(given) == 2 * len(expected) else given
    if not hmac.compare_digest(expected.encode(), plain.encode()):
        raise Forbidden(
            text("X-CSRF-Token is missing or of another session; expected `csrf_token` of GET /session"), code="csrf"
        )
