"""One cluster's postmaster: made, adopted or started, watched and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from zhike_embedded import config, process, programs, protocol, rootless, sockets
from zhike_embedded.failures import Failure
from zhike_embedded.folder import DATABASE, Folder

_LOG_TAIL = 8 * 1024
_LOG_LIMIT = 8 * 1024 * 1024


class Server:
    """The PostgreSQL server of one data folder.

    Args:
        folder: The data folder.
        announce: Called in each child with `server` or `initdb` and its process id before it begins.

    Raises:
        Failure: If no program or no user to run it as is found, or that user cannot reach the folders.
    """

    def __init__(self, folder: Folder, announce: Callable[[str, int], None]) -> None:
        self._folder = folder
        self._announce = announce
        self._log = os.open(folder.server_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._log_start = 0
        self._child: int | None = None  # initdb or the postmaster we started
        self._adopted: int | None = None
        self._fresh = False  # the cluster was made a moment ago
        found = programs.find()
        if found is None:
            raise Failure("no_programs")
        self._programs = found
        self._identity = rootless.choose(folder.cluster)
        rootless.check_reach(self._identity, [folder.data, self._programs])

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster or of initdb, or None while there is none."""
        return self._adopted or self._child

    def initialise(self) -> None:
        """Begin making the cluster under another name: what is killed half-way stays without effect."""
        for leftover in self._folder.data.glob("postgres.initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if self._folder.cluster.exists() and any(self._folder.cluster.iterdir()):
            raise Failure("no_cluster", folder=str(self._folder.cluster))
        place = self._unfinished()
        place.mkdir(mode=0o700)
        self._identity.own(place)
        self._run("initdb", config.initdb_arguments(self._programs, place, programs.major(self._programs)))

    def finish_initialising(self) -> None:
        """Put the new cluster in place."""
        place = self._unfinished()
        config.include(place)
        place.rename(self._folder.cluster)
        parent = os.open(self._folder.data, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
        self._fresh = True

    def start(self) -> None:
        """Start the postmaster, or adopt one that lives."""
        found = self._folder.postmaster()
        if found and process.works_in(found.pid, self._folder.cluster):
            if found.socket is None:
                raise Failure("no_socket", cluster=str(self._folder.cluster), programs=str(self._programs))
            self._adopted = found.pid
            self._announce("server", found.pid)
            return
        self._forget_dead()
        config.write(self._folder.cluster, self._identity)
        place = sockets.socket_folder(self._folder, self._identity)
        self._run("server", config.arguments(self._programs, self._folder.cluster, place))

    def state(self) -> str:
        """Return one of the words of `protocol.probe`; a server found without the database gets it."""
        found = self._folder.postmaster()
        # Until the new process has written the file, it tells of an earlier one.
        if found is None or found.pid != self.pid:
            return protocol.DOWN
        if not found.ready:
            return protocol.STARTING  # not asked, since each refusal would be a line in the log
        state = protocol.ABSENT if self._fresh else protocol.probe(found.socket)
        self._fresh = False
        if state == protocol.ABSENT and found.socket:
            try:
                protocol.execute(found.socket, f"CREATE DATABASE {DATABASE}", "postgres")
            except (OSError, EOFError, protocol.ServerError):
                return protocol.STARTING  # asked again; a server that dies is seen to end
            state = protocol.READY
        return state

    def ended(self) -> int | None:
        """Return the exit status if the process is gone (0 for an adopted one), else None."""
        if self._adopted:
            if process.works_in(self._adopted, self._folder.cluster):
                return None
            self._adopted = None
            return 0
        if self._child:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid == 0:
                return None
            self._child = None
            return os.waitstatus_to_exitcode(status)
        return 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)

    def abandon_initialising(self) -> None:
        """Kill initdb with its own children."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)

    def complaint(self) -> str:
        """Return what the last program said was wrong, from the end of its output."""
        with self._folder.server_log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - _LOG_TAIL, min(self._log_start, end)))
            lines = file.read().decode(errors="replace").splitlines()
        marks = ("FATAL:", "PANIC:", "error:", "cannot run", "could not")
        for number, line in enumerate(lines):
            if any(mark in line for mark in marks) and "system is" not in line:  # the first is the cause
                return " ".join(part.strip() for part in lines[number : number + 3])
        return lines[-1].strip() if lines else "no message"

    def bound_log(self) -> None:
        """Keep the log and one older piece of it, 8 MB each."""
        if os.fstat(self._log).st_size > _LOG_LIMIT:
            # The server keeps its descriptor, which appends: so the file is copied and emptied, not renamed.
            with contextlib.suppress(OSError):  # on a full disk room matters more than the older piece
                shutil.copyfile(self._folder.server_log, self._folder.server_log.with_suffix(".log.1"))
            os.truncate(self._folder.server_log, 0)

    def _run(self, kind: str, arguments: list[str]) -> None:
        def prepare() -> None:
            # The child itself tells the warden, so that there is no moment in which nobody would stop it.
            self._announce(kind, os.getpid())
            self._identity.become()

        self._log_start = os.fstat(self._log).st_size
        self._child = process.spawn(arguments, output=self._log, prepare=prepare)

    def _unfinished(self) -> Path:
        return self._folder.data / f"postgres.initdb-{os.getpid()}"

    def _forget_dead(self) -> None:
        """Undo what keeps PostgreSQL from starting after its process number went to another process.

        It takes any process with the number in postmaster.pid for its predecessor: after the machine or its
        container was restarted a foreign one, and in a container whose first process reaps nobody for ever
        the dead one itself. We hold the keeper's lock and saw that no server lives. Only the
        number is replaced: from the rest PostgreSQL sees whether a process of the old server still uses its
        shared memory.
        """
        found = self._folder.postmaster()
        if found is None:
            return
        if process.known(found.pid):
            unused = process.unused_pid()
            _, rest = self._folder.postmaster_pid.read_bytes().split(b"\n", 1)
            renewed = self._folder.postmaster_pid.with_suffix(".new")
            renewed.write_bytes(b"%d\n%s" % (unused, rest))
            renewed.chmod(0o600)
            self._identity.own(renewed)
            renewed.rename(self._folder.postmaster_pid)
        if found.socket:
            found.socket.with_name(f"{found.socket.name}.lock").unlink(missing_ok=True)
