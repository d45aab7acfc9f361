"""Importing and registering plugins in another process first, since code may also hang, exit or crash there.

this process ── starter: imports the core once, then forks for each plugin
                └── the plugin's own process: imports and registers it, alone with the core's nouns
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType

import msgspec

from zhike._host.plugins.discover import Candidate
from zhike._host.plugins.importing import failure, import_plugin
from zhike.i18n import text
from zhike.platform import Problem, assemble, core_plugins
from zhike.plugins.service import decode_text, encode_text

SECONDS = 20.0
_PIPE = 64 * 1024  # what a pipe takes without a reader; no report is nearly as long


class _Order(msgspec.Struct, frozen=True):
    candidates: list[Candidate]
    path: list[str]
    seconds: float


class _Report(msgspec.Struct, frozen=True):
    """How it went with one plugin: nothing but its name, or the stage of its problem and the texts as JSON."""

    plugin: str
    stage: str = ""
    text: str = ""
    hint: str = ""

    @classmethod
    def of(cls, plugin: str, problem: Problem | None) -> bytes:
        """Return a report as one line."""
        report = cls(plugin)
        if problem is not None:
            report = cls(plugin, problem.stage, encode_text(problem.text), encode_text(problem.hint))
        return msgspec.json.encode(report) + b"\n"

    def problem(self) -> Problem | None:
        """Return the problem, or None if all is well."""
        if not self.stage:
            return None
        what, hint = decode_text(self.text), decode_text(self.hint)
        return Problem(plugin=self.plugin, stage=self.stage, text=what, hint=hint)


async def run(candidates: Sequence[Candidate], *, seconds: float = SECONDS) -> dict[str, Problem]:
    """Import and register each plugin in a process of its own.

    Args:
        candidates: The plugins.
        seconds: How long each may take.

    Returns:
        What is wrong with those that failed, by name.
    """
    problems: dict[str, Problem | None] = {}
    while remaining := [candidate for candidate in candidates if candidate.name not in problems]:
        problems |= await _reports(_Order(remaining, sys.path, seconds))
        if guilty := next((candidate for candidate in remaining if candidate.name not in problems), None):
            problems[guilty.name] = _ended(guilty, -signal.SIGKILL)  # with it ended the starter
    return {name: problem for name, problem in problems.items() if problem is not None}


async def _reports(order: _Order) -> dict[str, Problem | None]:
    # -P: the working directory must not lend its modules to the plugins.
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = await starter.communicate(msgspec.json.encode(order))
    finally:
        if starter.returncode is None:
            starter.terminate()
            await starter.wait()
    # What follows the last end of a line was cut off when the starter was killed.
    reports = [msgspec.json.decode(line, type=_Report) for line in output.split(b"\n")[:-1]]
    return {report.plugin: report.problem() for report in reports}


def main() -> None:
    """Try what the order on standard input names; write one report a line."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:] = order.path
    core = core_plugins()
    for candidate in order.candidates:
        with _forked(candidate, core, order.seconds) as (process, pipe):
            status = _wait(process, order.seconds)
            report = b""
            with suppress(BlockingIOError):  # a process that outlives its parent may keep the pipe open
                report = os.read(pipe, _PIPE)
        if not report.endswith(b"\n"):
            problem = _hung(candidate, order.seconds) if status is None else _ended(candidate, status)
            report = _Report.of(candidate.name, problem)
        os.write(1, report)


@contextmanager
def _forked(candidate: Candidate, core: dict[str, ModuleType], seconds: float) -> Iterator[tuple[int, int]]:
    """Try a plugin in a process and kill it with all it started in the end.

    Yields:
        The process's id, and a descriptor from which its report can be read when it has ended.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = os.fork()
    if process == 0:
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.alarm(int(seconds) + 5)  # ends it if the starter is killed meanwhile
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            os.write(writing, _Report.of(candidate.name, _try(candidate, core)))
        finally:
            os._exit(0)
    os.close(writing)
    with suppress(OSError):
        os.setpgid(process, process)  # whoever comes first
    try:
        yield process, reading
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)
        os.close(reading)


def _wait(process: int, seconds: float) -> int | None:
    """Wait until a process ends and return its status, negative for a signal, or None if it takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _try(candidate: Candidate, core: dict[str, ModuleType]) -> Problem | None:
    try:
        plugin = import_plugin(candidate)
        problems = assemble({**core, candidate.name: plugin}).problems
    except BaseException as error:
        return failure(candidate, error)
    return problems[0] if problems else None


# Trying them at each start would cost each start its time.
_UNTIL = text("it is not tried again before it has changed, or was disabled and enabled")


def _hung(candidate: Candidate, seconds: float) -> Problem:
    message = text(
        "its import and registration did not end within {seconds} seconds; {until}",
        seconds=f"{seconds:g}",
        until=_UNTIL,
    )
    return candidate.problem("trial", message)


def _ended(candidate: Candidate, status: int) -> Problem:
    how = signal.Signals(-status).name if status < 0 else f"exit({status})"
    what = text("its import or registration ended the process with {how}; {until}", how=how, until=_UNTIL)
    return candidate.problem("trial", what)


if __name__ == "__main__":
    main()
