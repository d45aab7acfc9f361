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
from zhike.contracts import Command
from zhike.i18n import text
from zhike.platform import Problem, assemble, core_plugins
from zhike.plugins.service import decode_text, encode_text

SECONDS = 20.0
_PIPE = 64 * 1024  # what a pipe takes without a reader; no report is nearly as long


class _Order(msgspec.Struct, frozen=True):
    candidates: list[Candidate]
    path: list[str]
    seconds: float


class Report(msgspec.Struct, frozen=True):
    """How it went with one plugin.

    Args:
        plugin: Its name.
        stage: Of its problem, or "".
        text: What is wrong, as JSON.
        hint: What mends it, as JSON.
        claims: The nouns it claims.
        commands: Those it registers.
    """

    plugin: str
    stage: str = ""
    text: str = ""
    hint: str = ""
    claims: tuple[str, ...] = ()
    commands: list[Command] = []

    @classmethod
    def of(cls, problem: Problem) -> Report:
        """Return the report of a problem."""
        return cls(problem.plugin, problem.stage, encode_text(problem.text), encode_text(problem.hint))

    @property
    def problem(self) -> Problem | None:
        """The problem, or None if all is well."""
        if not self.stage:
            return None
        what, hint = decode_text(self.text), decode_text(self.hint)
        return Problem(plugin=self.plugin, stage=self.stage, text=what, hint=hint)

    def encode(self) -> bytes:
        """Return it as one line."""
        return msgspec.json.encode(self) + b"\n"


async def run(candidates: Sequence[Candidate], *, seconds: float = SECONDS) -> dict[str, Problem]:
    """Return what is wrong with plugins, by name; arguments as for `reports`."""
    told = await reports(candidates, seconds=seconds)
    return {name: problem for name, report in told.items() if (problem := report.problem) is not None}


async def reports(candidates: Sequence[Candidate], *, seconds: float = SECONDS) -> dict[str, Report]:
    """Import and register each plugin in a process of its own.

    Args:
        candidates: The plugins.
        seconds: How long each may take.

    Returns:
        How it went with each, by name.
    """
    told: dict[str, Report] = {}
    while remaining := [candidate for candidate in candidates if candidate.name not in told]:
        started, status, some = await _start(_Order(remaining, sys.path, seconds))
        told |= some
        if not started:
            return told | {each.name: Report.of(_untried(each, status)) for each in remaining}
        if guilty := next((candidate for candidate in remaining if candidate.name not in told), None):
            told[guilty.name] = Report.of(_ended(guilty, -signal.SIGKILL))  # with it ended the starter
    return told


async def _start(order: _Order) -> tuple[bool, int, dict[str, Report]]:
    """Run a starter; return whether it came as far as the first plugin, its exit status, and the reports."""
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
    lines = output.split(b"\n")[:-1]
    some = [msgspec.json.decode(line, type=Report) for line in lines[1:]]
    return bool(lines), starter.returncode or 0, {report.plugin: report for report in some}


def main() -> None:
    """Try what the order on standard input names; write one report a line."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:] = order.path
    core = core_plugins()
    os.write(1, b"\n")
    for candidate in order.candidates:
        with _forked(candidate, core, order.seconds) as (process, pipe):
            status = _wait(process, order.seconds)
            report = b""
            with suppress(BlockingIOError):  # a process that outlives its parent may keep the pipe open
                report = os.read(pipe, _PIPE)
        if not report.endswith(b"\n"):
            problem = _hung(candidate, order.seconds) if status is None else _ended(candidate, status)
            report = Report.of(problem).encode()
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
            os.write(writing, _try(candidate, core).encode())
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


def _try(candidate: Candidate, core: dict[str, ModuleType]) -> Report:
    try:
        plugin = import_plugin(candidate)
        assembled = assemble({**core, candidate.name: plugin})
    except BaseException as error:
        return Report.of(failure(candidate, error))
    if assembled.problems:
        return Report.of(assembled.problems[0])
    claims, commands = getattr(plugin, "CLAIMS", ()), list(assembled.registry.commands.values())
    return Report(candidate.name, claims=claims, commands=commands)


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
    what = text("its import or registration ended the process with {how}; {until}", how=_how(status), until=_UNTIL)
    return candidate.problem("trial", what)


def _untried(candidate: Candidate, status: int) -> Problem:
    what = text(
        "it could not be tried: the core itself cannot be imported in a new process, which ended with {how}; "
        "the log says why",
        how=_how(status),
    )
    return candidate.problem("import", what, text("Install zhike again, then restart the server"))


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit({status})"


if __name__ == "__main__":
    main()
