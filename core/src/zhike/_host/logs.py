"""Log lines: one JSON object each on standard error, telling where an error happened but not what it quotes."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from zhike.errors import where


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: at, level, logger, message, and error when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception's own message is left out, since it may quote personal data."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            # A file's name may be any bytes; its line must not be lost for them.
            "message": record.getMessage().encode(errors="backslashreplace").decode(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = where(record.exc_info[1])
        return msgspec.json.encode(line).decode()


def configure() -> None:
    """Send all log lines to standard error; of other people's only what matters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("arq").setLevel(logging.CRITICAL)  # it logs every ticket, and quotes errors
