"""Starting processes from the keeper, and asking whether one still lives."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PROC = Path("/proc")


def clean_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for PostgreSQL: messages in English, and none of PG* (PGPORT, PGDATA…)."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def spawn(
    arguments: Sequence[str | Path], *, output: int, source: int | None = None, prepare: Callable[[], None]
) -> int:
    """Start a program in a session of its own, so that no Ctrl-C or closed terminal reaches it.

    Only the keeper may call this: it forks, which is safe because the keeper has a single thread.

    Args:
        arguments: The program's path and its arguments.
        output: Descriptor for its output and errors.
        source: Descriptor for its input, or None for an empty one.
        prepare: Runs in the child before the program.

    Returns:
        The child's process id.
    """
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.umask(0o077)
        os.dup2(os.open(os.devnull, os.O_RDONLY) if source is None else source, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        prepare()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
        os.execve(arguments[0], [os.fspath(part) for part in arguments], clean_environment())  # noqa: S606 - no shell is meant
    except BaseException as error:
        os.write(2, f"cannot run {arguments[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def known(pid: int) -> bool:
    """Tell whether the system knows a process by this number, be it one that ended and nobody reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def alive(pid: int) -> bool:
    """Tell whether a process lives; one that ended but was not yet reaped by its parent does not."""
    if not known(pid):
        return False
    try:
        # The state follows the command's name, which stands in brackets and may hold anything.
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return not (_PROC / "self").exists()  # systems without /proc: believe the signal


def works_in(pid: int, folder: Path) -> bool:
    """Tell whether a live process has `folder` as its working directory, as every process of a cluster has.

    Where the system cannot tell, any live process counts.
    """
    if not alive(pid):
        return False
    try:
        return (_PROC / str(pid) / "cwd").samefile(folder)
    except FileNotFoundError:
        return not (_PROC / "self").exists()
    except OSError:
        return True


def unused_pid() -> int:
    """Return the id of a process that just ended, which the system gives to nobody else for a while."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child
