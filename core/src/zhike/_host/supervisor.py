"""The server's first process: owns the listening socket, starts the others and restarts those that end.

supervisor ── listening socket, serve lock, embedded PostgreSQL
├── web process   serves the application on the same socket
├── web process
└── runner        gives the log to its consumers and does the jobs
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from zhike._host.order import RESTART
from zhike.errors import Refused
from zhike.i18n import text

BACKLOG = 2048
STOP_SECONDS = 9.5
STARTS_BEFORE_READY = 3
QUICK_DEATH = 5.0
BACK_OFF = (0.1, 5.0)
# Where a listener on all addresses is reached from here.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound to
logger = logging.getLogger("zhike.supervisor")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, so that clients wait instead of being refused while web processes start.

    Args:
        host: Address or name to listen on.
        port: Port, or 0 for any that is free.

    Raises:
        Refused: If that is in use or not ours to take.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Refused(text("{host} is no address to listen on", host=host)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Refused(text("Port {port} is in use; give another one with --port", port=port)) from error
        raise Refused(
            text("Cannot listen on {host}, port {port}: {why}", host=host, port=port, why=error.strerror)
        ) from error
    return listener


def address(listener: socket.socket) -> tuple[str, int]:
    """Return the host and port under which a listening socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return _WILDCARDS.get(host, host), port


def base_url(listener: socket.socket) -> str:
    """Return the URL under which a listening socket is reached from this machine."""
    host, port = address(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_ready(listener: socket.socket, timeout: float = 1.0) -> bool:
    """Ask the server whether it is ready, waiting for an answer at most `timeout` seconds."""
    connection = http.client.HTTPConnection(*address(listener), timeout=timeout)
    try:
        connection.request("GET", "/health/ready", headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Place:
    """A place for one process: what runs there now, and when the next one may start.

    Args:
        kind: What it is called in the log.
        module: The module to run.
        descriptor: A file descriptor that it inherits and gets the number of as its argument.
    """

    def __init__(self, kind: str, module: str, descriptor: int) -> None:
        self.kind = kind
        # -P: the working directory must not lend its modules to the server.
        self._command = [sys.executable, "-P", "-m", module, str(descriptor)]
        self._descriptor = descriptor
        self._order: bytes | None = None
        self._process: subprocess.Popen[bytes]
        self._started = 0.0
        self._delay = 0.0
        self.next_start: float | None = None
        self.deaths = 0
        self.start()

    def start(self) -> None:
        """Start a process; it imports what it needs and waits for the order unless there is one already."""
        reading, self._pipe = os.pipe()  # neither is inherited, so the pipe closes when we die
        self._process = subprocess.Popen(self._command, stdin=reading, pass_fds=[self._descriptor])
        os.close(reading)
        self._started = time.monotonic()
        self.next_start = None
        if self._order is not None:
            self.give(self._order)

    def give(self, order: bytes) -> None:
        """Write the order; every later process of this place gets it too."""
        self._order = order
        with contextlib.suppress(BrokenPipeError):  # it died already, which `check` will find
            os.write(self._pipe, order)

    def check(self) -> None:
        """See whether the process has ended, and start the next one when its time has come."""
        now = time.monotonic()
        if self.next_start is None:
            status = self._process.poll()
            if status is None:
                return
            self._close_pipe()
            if status == RESTART:
                self._delay = 0.0
                logger.info("%s %d restarts with other plugins", self.kind, self._process.pid)
            else:
                self.deaths += 1
                quick = now - self._started < QUICK_DEATH
                self._delay = min(max(self._delay * 2, BACK_OFF[0]), BACK_OFF[1]) if quick else 0.0
                logger.error("%s %d ended with status %d", self.kind, self._process.pid, status)
            self.next_start = now + self._delay
        if now >= self.next_start:
            self.start()

    def wait(self, deadline: float) -> None:
        """Wait until the process, told to stop before, has ended; at `deadline` it is killed."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.error("%s %d did not stop in time; killing it", self.kind, self._process.pid)
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Tell the process to stop, also by closing its pipe."""
        self._process.terminate()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


class Processes:
    """All processes of a server, or the runners of a `zhike worker`.

    Args:
        listener: The listening socket that web processes serve, or None without any.
        web: How many web processes.
        runners: How many runners.
    """

    def __init__(self, listener: socket.socket | None, *, web: int, runners: int) -> None:
        self._listener = listener
        self._running, self._tell_running = os.pipe()  # a byte for each runner whose loops run
        for end in (self._running, self._tell_running):
            os.set_blocking(end, False)
        self._not_running = runners
        self._web: list[Place] = []
        if listener is not None:
            module = "zhike._host.web.worker"
            self._web = [Place("web process", module, listener.fileno()) for _ in range(web)]
        runner = "zhike._host.runner.main"
        self._places = [*self._web, *(Place("runner", runner, self._tell_running) for _ in range(runners))]
        self._stopped = False

    def give(self, order: bytes) -> None:
        """Tell all of them what to do, so that they begin."""
        for place in self._places:
            place.give(order)

    def run(self, ready: Callable[[], None]) -> None:
        """Keep them running until SIGTERM or SIGINT, then stop them.

        Args:
            ready: Called once, when the server answers that it is ready; without one, when the runners work.

        Raises:
            Refused: If processes of the kind that is waited for die again and again before that.
        """
        with _signals() as (wakeup, stopping), contextlib.closing(self):
            while not stopping and not self._ready():
                self._check()
                if any(place.deaths >= STARTS_BEFORE_READY for place in self._web or self._places):
                    raise Refused(
                        text("The web process ended before it was ready; the log above says why")
                        if self._web
                        else text("The runner ended before it was ready; the log above says why")
                    )
                _wait(wakeup, 0.05)
            if not stopping:
                ready()
            while not stopping:
                self._check()  # first: the last signal above may have told of a death
                _wait(wakeup, self._seconds_to_next_start())

    def close(self) -> None:
        """Stop listening and let the processes finish what they have begun, for at most 9.5 seconds."""
        if self._stopped:
            return
        self._stopped = True
        if self._listener is not None:
            self._listener.close()  # first: from here on clients are refused instead of waiting in vain
        deadline = time.monotonic() + STOP_SECONDS
        for place in self._places:
            place.terminate()
        for place in self._places:
            place.wait(deadline)
        os.close(self._running)
        os.close(self._tell_running)

    def _ready(self) -> bool:
        if self._listener is not None:
            return is_ready(self._listener, timeout=0.5)
        with contextlib.suppress(BlockingIOError):
            self._not_running -= len(os.read(self._running, 1024))
        return self._not_running <= 0

    def _check(self) -> None:
        for place in self._places:
            place.check()

    def _seconds_to_next_start(self) -> float | None:
        times = [place.next_start for place in self._places if place.next_start is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None


def _wait(wakeup: socket.socket, seconds: float | None) -> None:
    if select.select([wakeup], [], [], seconds)[0]:
        wakeup.recv(4096)


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, list[int]]]:
    """Yield a socket that is readable after a signal, and the list that SIGTERM and SIGINT are noted in."""
    stopping: list[int] = []
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    receiver.setblocking(True)
    handlers: dict[signal.Signals, Callable[[int, object], None]] = {
        signal.SIGTERM: lambda number, _: stopping.append(number),
        signal.SIGINT: lambda number, _: stopping.append(number),
        signal.SIGCHLD: lambda number, _: None,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield receiver, stopping
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        receiver.close()
        sender.close()
