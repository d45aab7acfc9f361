"""The keeper: parent of the PostgreSQL server of one data folder, for as long as any command needs it.

Run as `python -m zhike_embedded.keeper DIR`. It goes to the background, prints one line of JSON when
the server is ready (`{}`) or cannot be (`{"code": …}`), and ends when nobody has held `clients.lock` for
`ZHIKE_KEEPER_IDLE` seconds (5). It has one thread and imports little: it may live for months.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from zhike_embedded import locks, process, protocol, warden
from zhike_embedded.failures import Failure
from zhike_embedded.folder import Folder
from zhike_embedded.server import Server

IDLE = 5.0  # seconds without any client
_PATIENCE = 5.0  # seconds in which the remains of a killed server may keep the next from starting
_LAST_RESORT = 60.0  # seconds a fast shutdown may take before an immediate one
_REMAINS = ("lock file", "shared memory")


class Keeper:
    """Keeps one server alive.

    Args:
        folder: The data folder.
        idle: Seconds without clients after which the server is stopped.
    """

    def __init__(self, folder: Folder, idle: float) -> None:
        self._folder = folder
        self._idle = idle
        self._lock = locks.open_lock(folder.keeper_lock)
        self._clients = locks.open_lock(folder.clients_lock)
        self._told = False  # whoever started us knows how it went
        self._leaving = False
        self._warden: int | None = None
        self._pipe = -1
        self._phase = "starting"
        self._since = time.monotonic()  # begin of the present attempts to start
        self._next_try = 0.0
        self._quiet_since: float | None = None
        self._last_visit = 0

    def run(self) -> int:
        """Keep the server until nobody needs it; returns the exit status."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_leaving", True))
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "_leaving", True))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            if not self._wait_for_lock():
                return 0
            self._note({})
            self._since = time.monotonic()
            self._start_warden()
            self._server = Server(self._folder, self._announce)
            self._begin()
        except (Failure, OSError) as error:
            self._fail(error)
            return 1
        log(f"keeps {self._folder.data}")
        while not self._leaving and not self._nobody_left():
            if not locks.is_same_file(self._clients, self._folder.clients_lock):
                log("the folder was removed")
                self._stop(signal.SIGQUIT)
                return 0
            try:
                self._step()
            except (Failure, OSError) as error:
                self._fail(error)
                if self._leaving:
                    break
            time.sleep(0.1 if self._phase == "ready" else 0.01)
        self._stop(signal.SIGINT)
        return 0 if self._phase == "ready" else 1

    def _wait_for_lock(self) -> bool:
        """Become the folder's only keeper; False if another one has a server ready."""
        while True:
            # Clients take this lock for an instant to see whether somebody holds it: so not at once.
            for _ in range(4):
                if locks.try_lock(self._lock):
                    return True
                time.sleep(0.02)
            found = self._folder.postmaster()
            if found and found.ready and protocol.probe(found.socket) == protocol.READY:
                self._tell({})
                return False
            told = os.pread(self._lock, 4096, 0)
            if b"failing" in told:
                self._tell(json.loads(told)["failing"])
                return False
            if self._leaving:
                return False

    def _begin(self) -> None:
        if self._folder.has_cluster():
            self._phase = "starting"
            self._server.start()
        else:
            self._phase = "initdb"
            self._server.initialise()

    def _step(self) -> None:
        """Look once at the server and the warden, and do what is due."""
        self._mind_warden()
        if self._next_try:
            if time.monotonic() < self._next_try:
                return
            self._next_try = 0.0
            if self._server.ended() is not None:
                self._begin()
        status = self._server.ended()
        if status is not None:
            self._ended(status)
        elif self._phase == "starting" and self._server.state() == protocol.READY:
            self._phase = "ready"
            self._note({})
            self._tell({})
            log(f"server {self._server.pid} is ready")
        elif self._phase == "ready":
            self._server.bound_log()

    def _ended(self, status: int) -> None:
        phase, now = self._phase, time.monotonic()
        if phase == "initdb" and status == 0:
            self._server.finish_initialising()
            self._begin()
            return
        self._announce("none", 0)
        complaint = self._server.complaint() if status >= 0 else f"a signal ended it ({-status})"
        log(f"{phase}: the process ended with status {status}: {complaint}")
        if phase == "initdb":
            raise Failure("initdb", folder=str(self._folder.data), detail=complaint)
        if phase == "ready":
            self._since = now
            self._phase = "starting"
            self._begin()
        elif status == 0 or (any(word in complaint for word in _REMAINS) and now - self._since < _PATIENCE):
            self._next_try = now + 0.1  # an adopted server that was stopping has ended, or a dead one's remains
        else:
            raise Failure("start", log=str(self._folder.server_log), detail=complaint)

    def _fail(self, error: Failure | OSError) -> None:
        """End, if there never was a server; else try each second: a full disk is emptied some time."""
        failure = error if isinstance(error, Failure) else Failure("system", detail=str(error))
        report = {"code": failure.code, **failure.params}
        log(f"failed: {report}")
        if not self._told:
            self._tell(report)
            self._leaving = True
        self._note({"failing": report})
        self._next_try = time.monotonic() + 1.0

    def _nobody_left(self) -> bool:
        """Tell whether no client came for so long; then their lock is held and the next ones wait."""
        now = time.monotonic()
        visit = os.fstat(self._clients).st_mtime_ns  # each client touches the file: short visits count
        free = locks.try_lock(self._clients)
        if not free or visit != self._last_visit or self._quiet_since is None:
            self._quiet_since = now
        self._last_visit = visit
        if free and now - self._quiet_since >= self._idle:
            return True
        if free:
            locks.unlock(self._clients)
        return False

    def _stop(self, how: signal.Signals) -> None:
        began = time.monotonic()
        if self._phase == "initdb":
            self._server.abandon_initialising()
        else:
            self._server.signal(how)
        while self._server.ended() is None:
            self._mind_warden()
            if time.monotonic() - began > _LAST_RESORT:
                self._server.signal(signal.SIGQUIT)
                began = time.monotonic()
            time.sleep(0.01)
        self._announce("none", 0)
        log("server stopped")
        if self._warden:
            os.close(self._pipe)
            os.waitpid(self._warden, 0)

    def _start_warden(self) -> None:
        reader, writer = os.pipe()
        arguments = [sys.executable, "-I", "-S", warden.__file__, str(self._folder.data)]
        try:
            self._warden = process.spawn(
                arguments, source=reader, output=2, prepare=lambda: os.set_inheritable(self._lock, True)
            )
        except OSError:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        self._pipe = writer

    def _mind_warden(self) -> None:
        if self._warden and os.waitpid(self._warden, os.WNOHANG)[0]:
            log("the warden was killed")
            os.close(self._pipe)
            self._pipe, self._warden = -1, None
        if self._warden is None:
            self._start_warden()
            if self._server.pid:
                self._announce("initdb" if self._phase == "initdb" else "server", self._server.pid)

    def _announce(self, kind: str, pid: int) -> None:
        with contextlib.suppress(OSError):  # the warden was killed; its successor is told
            os.write(self._pipe, f"{kind} {pid}\n".encode())

    def _note(self, state: object) -> None:
        """Leave a note for keepers that wait for our lock."""
        with contextlib.suppress(OSError):  # the disk may be full
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, json.dumps(state).encode(), 0)

    def _tell(self, report: object) -> None:
        """Answer whoever started us, once."""
        if self._told:
            return
        self._told = True
        with contextlib.suppress(OSError):  # it may be gone
            os.write(1, json.dumps(report).encode() + b"\n")
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)


def log(message: str) -> None:
    """Write a line to the keeper's log, which is its standard error."""
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with contextlib.suppress(OSError):  # the disk may be full, and the server is to live on
        os.write(2, f"{now} UTC [{os.getpid()}] {message}\n".encode(errors="replace"))


def main() -> None:
    """Run the keeper of the folder named on the command line."""
    if os.fork():
        os._exit(0)  # the one who started us has nothing to wait for, and we survive when its process tree is killed
    os.setsid()
    os.umask(0o077)
    idle = float(os.environ.get("ZHIKE_KEEPER_IDLE") or IDLE)
    try:
        status = Keeper(Folder(Path(sys.argv[1])), idle).run()
    except Exception as error:
        log(f"defect: {error!r}")
        raise
    sys.exit(status)


if __name__ == "__main__":
    main()
