"""The warden: when the keeper is gone, however it ended, PostgreSQL is stopped.

It is a program of its own that imports nothing of ours. The keeper writes to its standard input which process
to stop, and the kernel ends that pipe when the keeper dies. (A parent-death signal would belong to the thread
that forked and exists on Linux only; a process namespace needs rights that an ordinary user may lack.) It
shares the keeper's lock, so that no new keeper begins before the old server has ended. Should both be killed
at once, the next keeper adopts the server as it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Read `server PID`, `initdb PID` or `none` until the keeper is gone; stop what came last."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    words = [b"none"]
    for line in sys.stdin.buffer:
        words = line.split()
    if words[0] == b"initdb":
        _signal(-int(words[1]), signal.SIGKILL)  # with its children; what it made so far is thrown away
    elif words[0] == b"server":
        _stop(int(words[1]))


def _stop(server: int) -> None:
    # Fast shutdown; then an immediate one, which is as safe as a crash, so that clients wait less than 5 s.
    # At last the kernel's own, for a server that was stopped by SIGSTOP.
    for number, patience in ((signal.SIGINT, 3.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 5.0)):
        _signal(server, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _alive(server):
                return
            time.sleep(0.02)


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


if __name__ == "__main__":
    main()
