"""Takes the head of the audit trail out of the database's reach once a day: into a file, and to another system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zhike import http
from zhike.access.chain import Head
from zhike.access.sealer import HEAD
from zhike.contracts import Job, JobItem, Schedule
from zhike.errors import Refused
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.settings import Settings


def file_of(settings: Settings) -> Path:
    """Return the file that heads are appended to."""
    return settings.audit_head_file or settings.data / "audit-heads.jsonl"


def read(file: Path) -> list[Head]:
    """Return the heads in a file.

    Raises:
        Refused: If it cannot be read, or something else is in it.
    """
    try:
        return msgspec.json.Decoder(Head).decode_lines(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise Refused(text("{file} cannot be read as a file of heads", file=file)) from error


async def export(_: Sequence[JobItem], platform: Platform) -> None:
    """Append the head to the file, and send it where the settings say; done twice it is there twice, which harms none.

    Raises:
        OSError: If the file cannot be written.
        httpx.HTTPError: If the other system did not take it.
    """
    async with platform.db.connection() as connection:
        row = await connection.fetchrow(HEAD)
    if row is None:
        return
    line = msgspec.json.encode(Head(**row)) + b"\n"
    await asyncio.to_thread(_append, file_of(platform.settings), line)
    if url := platform.settings.audit_head_url:
        # Who may set the environment may also name a machine of the company's own network.
        async with http.client(allow_private=True) as client:
            answer = await client.post(url, content=line, headers={"content-type": "application/json"})
            answer.raise_for_status()


def _append(file: Path, line: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)  # at once: nobody reads half a line
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


JOBS = (Job(name="audit.export", run=export, external=True, label=text("Export the head of the audit trail")),)
SCHEDULES = (Schedule(name="audit.export", job="audit.export", cron="7 3 * * *"),)
