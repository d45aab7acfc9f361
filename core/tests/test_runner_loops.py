"""The runner's loops: kept going, woken, isolated from each other, and drained."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from zhike._host.runner import runner as running
from zhike._host.runner.runner import Runner

caller = contextvars.ContextVar[str]("caller")


class Probe:
    """A loop that does what the test says.

    Args:
        fail: Called on each start; what it raises ends the loop.
        drain_seconds: How long its draining takes.
    """

    def __init__(self, fail: Callable[[], None] = lambda: None, drain_seconds: float = 0.0) -> None:
        self.starts = 0
        self.woken = 0
        self.drained = False
        self.cancelled = False
        self.inherited: str | None = None
        self._fail = fail
        self._drain_seconds = drain_seconds

    async def run(self) -> None:
        """Work."""
        self.starts += 1
        self.inherited = caller.get(None)
        self._fail()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def drain(self) -> None:
        """Take the time."""
        await asyncio.sleep(self._drain_seconds)
        self.drained = True


class Wire:
    """A transport whose other side is the test."""

    def __init__(self) -> None:
        self.announced: list[str] = []
        self.wake: Callable[[str], None] | None = None

    def announce(self, topic: str) -> None:
        """Note it."""
        self.announced.append(topic)

    async def listen(self, wake: Callable[[str], None]) -> None:
        """Let the test ring."""
        self.wake = wake
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def started(loops: dict[str, Probe], wire: Wire) -> AsyncIterator[Runner]:
    stop = asyncio.Event()
    wakes = dict(zip(("log", "jobs"), (loop.wake for loop in loops.values()), strict=False))
    runner = Runner(loops, wakes, wire)
    task = asyncio.create_task(runner.run(stop))
    await until(lambda: wire.wake is not None and all(loop.starts for loop in loops.values()))
    yield runner
    stop.set()
    await asyncio.wait_for(task, 60)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.005)


def raiser(error: BaseException | None) -> Callable[[], None]:
    def fail() -> None:
        if error is not None:
            raise error

    return fail


@pytest.mark.parametrize("error", [ValueError("geheim"), SystemExit(3), asyncio.CancelledError(), TimeoutError()])
async def test_a_loop_that_fails_starts_again_and_the_others_do_not_notice(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "BACK_OFF", (0.01, 0.02))
    failing, well = Probe(raiser(error)), Probe()
    async with started({"failing": failing, "well": well}, Wire()):
        await until(lambda: failing.starts >= 3)
        assert well.starts == 1
        assert not well.cancelled
    assert "the failing loop failed" in caplog.text
    assert well.drained
    assert well.cancelled


async def test_failures_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BACK_OFF", (0.05, 10.0))
    failing = Probe(raiser(ValueError()))
    async with started({"failing": failing}, Wire()):
        await asyncio.sleep(0.5)
    assert 1 <= failing.starts <= 5


async def test_wake_ups_reach_whom_they_concern_and_announcements_also_those_here() -> None:
    one, other, wire = Probe(), Probe(), Wire()
    async with started({"one": one, "other": other}, wire) as runner:
        assert wire.wake is not None
        wire.wake("log")
        assert (one.woken, other.woken) == (1, 0)
        runner.announce("jobs")
        assert (one.woken, other.woken, wire.announced) == (1, 1, ["jobs"])
        runner.announce("weather")
        assert (one.woken, other.woken, wire.announced) == (1, 1, ["jobs", "weather"])


async def test_loops_run_in_contexts_of_their_own() -> None:
    probe = Probe()
    caller.set("request")
    async with started({"probe": probe}, Wire()):
        pass
    assert probe.inherited is None


async def test_the_end_waits_for_what_was_begun_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "DRAIN_SECONDS", 0.3)
    quick, slow = Probe(), Probe(drain_seconds=3600)
    with caplog.at_level(logging.ERROR):
        async with started({"quick": quick, "slow": slow}, Wire()):
            began = time.monotonic()
    assert time.monotonic() - began >= 0.25
    assert (quick.drained, slow.drained) == (True, False)
    assert quick.cancelled
    assert slow.cancelled
    assert "1 loops did not finish in time" in caplog.text
