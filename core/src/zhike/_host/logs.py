"""Log lines: one JSON object each on standard error, telling where an error happened but not what it quotes."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: at, level, logger, message, and error when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception's own message is left out, since it may quote personal data."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = where(record.exc_info[1])
        return msgspec.json.encode(line).decode()


def configure() -> None:
    """Send all log lines to standard error; uvicorn's only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def where(error: BaseException) -> str:
    """Return an error's type and the places it passed through, the innermost first.

    Args:
        error: What was raised; its message is left out, since it may quote personal data.
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    state = getattr(error, "sqlstate", None)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    kind = type(error).__qualname__ + (f" {state}" if state else "")
    return f"{kind} at {places}" + (f"; after {where(cause)}" if cause else "")
