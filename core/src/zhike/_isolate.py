"""Runs a plugin's function so that, whatever it does, its caller goes on in time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zhike.errors import ZhikeError, where

if TYPE_CHECKING:
    from zhike._hookspec import Implementation

GRACE = 0.25
"""Seconds a cancelled coroutine is given to leave, so that it no longer uses what its caller is about to close."""
MOST_STUCK = 32
"""How many calls of one plugin may be hanging for good before its next one fails at once."""
MOST_CHARACTERS = 500
"""How much is kept of what went wrong."""
_MASKS = ((re.compile(r"\S+@\S+"), "…@…"), (re.compile(r"\d(?=\d{4})"), "*"))


class Outcome(NamedTuple):
    """What a call returned, or what it raised instead.

    Args:
        result: What it returned.
        error: What it raised: any exception, SystemExit and CancelledError too.
    """

    result: Any
    error: BaseException | None = None


class HookFailed(Exception):
    """A call failed in a way that is no exception of its own to pass on.

    Args:
        plugin: Whose implementation it was.
        hook: Of which hook.
        what: What happened, without any data.
    """

    def __init__(self, plugin: str, hook: str, what: str) -> None:
        super().__init__(f"{hook} of {plugin}: {what}")
        self.plugin = plugin
        self.hook = hook


class HookTimeout(HookFailed):
    """A call took longer than it may.

    Args:
        plugin: Whose implementation it was.
        hook: Of which hook.
        seconds: How long it may take.
        abandoned: Whether it could not be stopped and may still use what it was given.
    """

    def __init__(self, plugin: str, hook: str, seconds: float, *, abandoned: bool) -> None:
        still = "; it cannot be stopped and was left behind" if abandoned else ""
        super().__init__(plugin, hook, f"not done in {seconds:g} s{still}")
        self.abandoned = abandoned


def describe(error: BaseException) -> str:
    """Return what is kept of a failure: our own messages masked, of all others type and place."""
    shown = where(error)
    if isinstance(error, ZhikeError | HookFailed):
        message = str(error)
        for pattern, mask in _MASKS:
            message = pattern.sub(mask, message)
        shown = f"{type(error).__name__}: {message}"
    return shown.encode(errors="replace").decode().replace("\0", "")[:MOST_CHARACTERS]


class Isolation:
    """Runs functions that may raise anything, hang, and refuse to be cancelled.

    Args:
        threads: Whether functions that are not coroutine functions run in a thread of their own. Otherwise they
            run in the event loop, where only a watchdog outside of it can end them.
    """

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._stuck: dict[str, set[asyncio.Future[Outcome]]] = {}

    async def call(self, one: Implementation, arguments: Mapping[str, Any], seconds: float) -> Outcome:
        """Call a plugin's function, await what it returns if that can be awaited, and return how it ended.

        Args:
            one: What to call.
            arguments: Its arguments by name.
            seconds: How long it may take; then it is cancelled, and abandoned if that does not help.

        Raises:
            CancelledError: If the caller itself was cancelled, and only then; the function is cancelled with it.
        """
        if len(self._stuck.get(one.plugin, ())) >= MOST_STUCK:
            return Outcome(None, HookFailed(one.plugin, one.hook, "not called, since too many calls hang"))
        ends = time.monotonic() + seconds
        call = functools.partial(one.function, **arguments)
        if self._threads and not inspect.iscoroutinefunction(one.function):
            outcome = await self._until(one, _in_thread(call), seconds, ends)
            if not inspect.isawaitable(outcome.result):
                return outcome
            call = functools.partial(_same, outcome.result)
        return await self._until(one, asyncio.ensure_future(_in_loop(call)), seconds, ends)

    async def _until(
        self, one: Implementation, running: asyncio.Future[Outcome], seconds: float, ends: float
    ) -> Outcome:
        try:
            await asyncio.wait([running], timeout=max(0.0, ends - time.monotonic()))
            if running.done():
                # A function that cancels its own task and returns leaves a task that is cancelled.
                return Outcome(None, asyncio.CancelledError()) if running.cancelled() else running.result()
        finally:
            if not running.done():
                await self._stop(one.plugin, running)
        return Outcome(None, HookTimeout(one.plugin, one.hook, seconds, abandoned=not running.done()))

    async def _stop(self, plugin: str, running: asyncio.Future[Outcome]) -> None:
        try:
            if isinstance(running, asyncio.Task):
                running.cancel()
                await asyncio.wait([running], timeout=GRACE)
        finally:
            if not running.done():
                stuck = self._stuck.setdefault(plugin, set())
                stuck.add(running)
                running.add_done_callback(stuck.discard)


async def _in_loop(call: Callable[[], Any]) -> Outcome:
    # A task that raises SystemExit or KeyboardInterrupt would take the whole event loop with it.
    try:
        result = call()
        return Outcome(await result if inspect.isawaitable(result) else result)
    except BaseException as error:
        return Outcome(None, error)


def _in_thread(call: Callable[[], Any]) -> asyncio.Future[Outcome]:
    """Start `call` in a thread of its own: one that hangs takes no place in a pool and does not delay the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Outcome] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome = Outcome(context.run(call))
        except BaseException as error:
            outcome = Outcome(None, error)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(future.set_result, outcome)

    try:
        threading.Thread(target=run, name="hook", daemon=True).start()
    except RuntimeError as error:
        future.set_result(Outcome(None, error))
    return future


def _same(value: Any) -> Any:
    return value
