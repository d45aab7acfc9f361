"""Errors that carry a code, an HTTP status and a text for the reader; anything else that is raised is a defect."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import ClassVar

from zhike._shown import printable
from zhike.i18n import Text

MOST_FRAMES = 30
"""How many of the places that an error passed through are told."""
_MOST_TOLD = 10_000
"""Characters of all of them together; a name of a plugin's may have any length."""


class ZhikeError(Exception):
    """An error with a message for whoever asked.

    Args:
        message: What is wrong, where, and what was expected.
        code: A stable word for programs; the class's own when absent.
        retry_after: Seconds after which the same request may succeed, or None.
    """

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: Text, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(str(message))
        self.message = message
        self.code = code or self.default_code
        self.retry_after = retry_after


class BadRequest(ZhikeError):
    """What was sent cannot be understood or is not allowed (HTTP 400)."""

    status = 400
    default_code = "bad_request"


class Unauthorized(ZhikeError):
    """No valid token came with the request (HTTP 401)."""

    status = 401
    default_code = "unauthorized"


class Forbidden(ZhikeError):
    """The actor's role does not grant the permission (HTTP 403)."""

    status = 403
    default_code = "forbidden"


class NotFound(ZhikeError):
    """There is no such thing, or it is outside the actor's scope (HTTP 404)."""

    status = 404
    default_code = "not_found"


class Conflict(ZhikeError):
    """The request contradicts what is stored (HTTP 409)."""

    status = 409
    default_code = "conflict"


class TooLarge(ZhikeError):
    """The body is larger than the limit (HTTP 413)."""

    status = 413
    default_code = "too_large"


class UnsupportedType(ZhikeError):
    """The body is in a format or encoding that is not read here (HTTP 415)."""

    status = 415
    default_code = "unsupported_type"


class TooMany(ZhikeError):
    """More work is waiting than is allowed (HTTP 429)."""

    status = 429
    default_code = "too_many"


class Unavailable(ZhikeError):
    """The database cannot be used at the moment (HTTP 503)."""

    status = 503
    default_code = "unavailable"


class Refused(ZhikeError):
    """A command cannot run here; the message says what mends it."""

    default_code = "refused"


def where(error: BaseException) -> str:
    """Return an error's type and the places it passed through, the innermost first.

    Args:
        error: What was raised; its message is left out, since it may quote personal data.
    """
    told: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:  # what is raised from itself has no end
        seen.add(id(cause))
        told.append(_place(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return printable("; after ".join(told), _MOST_TOLD)


def _place(error: BaseException) -> str:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-MOST_FRAMES:]
    places = " < ".join(f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in reversed(frames))
    state = getattr(error, "sqlstate", None)
    kind = type(error).__qualname__ + (f" {state}" if state else "")
    return f"{kind} at {places}" if places else kind
