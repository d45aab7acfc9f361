"""What is answered when something goes wrong: problem details (RFC 9457) in the reader's language."""

from __future__ import annotations

import logging
import secrets

import asyncpg
import msgspec

from zhike._host.web.reply import Header, Reply
from zhike.errors import TooLarge, Unauthorized, Unavailable, ZhikeError, where
from zhike.i18n import Text, text

PROBLEM_JSON = b"application/problem+json"
logger = logging.getLogger("zhike.web")

TITLES = {
    400: text("The request is not valid"),
    401: text("Who asks is not known"),
    403: text("This is not allowed"),
    404: text("There is no such thing"),
    405: text("The method is not allowed here"),
    409: text("The request contradicts what is stored"),
    413: text("The body is too large"),
    414: text("The address is too long"),
    415: text("The body's type is not supported"),
    429: text("Too much at once"),
    500: text("An error in Zhike"),
    503: text("Not available at the moment"),
}
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}

_DATABASE_BUSY = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # serialization failures and deadlocks
)
_DATABASE_DOWN = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    ConnectionError,
    TimeoutError,
)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem's details as RFC 9457 has them, with a code for programs.

    Args:
        type: Always `about:blank`: the status and the code say what kind of problem this is.
        title: What the status means.
        status: The HTTP status once more.
        detail: What is wrong, where, and what was expected.
        code: A stable word for programs.
        reasons: Why the server is not ready; only from `/health/ready`.
        error_id: Under which id the log describes a defect; only with status 500.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    reasons: list[str] = []
    error_id: str | None = None


def problem(
    status: int,
    code: str,
    detail: Text,
    locale: str,
    *,
    headers: tuple[Header, ...] = (),
    reasons: list[str] | None = None,
    error_id: str | None = None,
) -> Reply:
    """Return a problem as a reply.

    Args:
        status: HTTP status, 400 or above.
        code: A stable word for programs.
        detail: What is wrong, where, and what was expected.
        locale: The reader's language.
        headers: Further headers.
        reasons: See `Problem`.
        error_id: See `Problem`.
    """
    details = Problem(
        type="about:blank",
        title=TITLES.get(status, TITLES[400]).render(locale),
        status=status,
        detail=detail.render(locale),
        code=code,
        reasons=reasons or [],
        error_id=error_id,
    )
    return Reply(msgspec.json.encode(details), PROBLEM_JSON, status=status, headers=headers)


def from_error(error: Exception, locale: str) -> Reply:
    """Return the problem that tells of `error`; a defect is logged and told by an id only.

    Args:
        error: What a handler raised.
        locale: The reader's language.
    """
    known = _known(error)
    if known is None:
        return _defect(error, locale)
    headers: tuple[Header, ...] = ()
    if known.retry_after is not None or known.status in {429, 503}:
        headers += ((b"retry-after", str(known.retry_after or 1).encode()),)
    if isinstance(known, Unauthorized):
        headers += ((b"www-authenticate", b'Bearer realm="zhike"'),)
    if isinstance(known, TooLarge):
        headers += ((b"connection", b"close"),)  # the rest of the body is not read
    return problem(known.status, known.code, known.message, locale, headers=headers)


def from_status(status: int, locale: str, headers: dict[str, str] | None = None) -> Reply:
    """Return the problem for an HTTP status that the router itself came to, such as 404 and 405."""
    return problem(
        status,
        _CODES.get(status, "bad_request"),
        TITLES.get(status, TITLES[400]),
        locale,
        headers=tuple((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
    )


def _known(error: Exception) -> ZhikeError | None:
    if isinstance(error, ZhikeError):
        return error if error.status != 500 else None
    if isinstance(error, _DATABASE_BUSY):
        return Unavailable(text("The database did not answer in time; try again"), retry_after=1)
    if isinstance(error, _DATABASE_DOWN):
        return Unavailable(text("The database cannot be used at the moment; try again"), retry_after=1)
    return None


def _defect(error: Exception, locale: str) -> Reply:
    error_id = secrets.token_hex(8)
    logger.error("error %s: %s", error_id, where(error))
    detail = text("An error in Zhike; its description has the id {id} in the log", id=error_id)
    return problem(500, "internal", detail, locale, error_id=error_id)
