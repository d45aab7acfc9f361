"""Declare, implement and call hooks: pluggy finds implementations, `Hooks` calls them and bounds their harm."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
import pluggy

from zhike._hookspec import (
    Family,
    HookMeta,
    Implementation,
    check_plugin,
    check_specs,
    hook,
    hookimpl,
    implementations,
)
from zhike._isolate import HookFailed, HookTimeout, Isolation, Outcome
from zhike.errors import ZhikeError, where
from zhike.i18n import Text, as_text, text

__all__ = [
    "BUDGETS",
    "Circuits",
    "Failure",
    "Family",
    "HookFailed",
    "HookMeta",
    "HookTimeout",
    "Hooks",
    "MemoryCircuits",
    "Rejected",
    "check_plugin",
    "check_specs",
    "hook",
    "hookimpl",
    "registers",
]

BUDGETS: Mapping[Family, float] = {"on": 30.0, "before": 5.0, "amend": 0.2, "resolve": 2.0, "provide": 2.0, "duty": 5.0}
"""Seconds that one implementation may take."""
TRACE = "ZHIKE_TRACE_HOOKS"
"""Environment variable that, set to 1, has every call logged."""

Observe = Callable[[str, str, float, str], None]
"""Told of each call: hook, plugin, seconds, and `ok`, `refused`, `failed`, `timeout` or `skipped`."""
Things = TypeVar("Things")
logger = logging.getLogger("zhike.hooks")


def registers(things: Things) -> Callable[[], Things]:
    """Implement a `register_` hook that has nothing to compute.

    Args:
        things: What the hook returns, such as `api.ROUTES` in `register_routes = registers(api.ROUTES)`.
    """

    def give() -> Things:
        return things

    implemented: Callable[[], Things] = hookimpl(give)
    return implemented


class Rejected(ZhikeError):
    """Raised by a `before_` hook to stop what is about to happen, with a message for the user (HTTP 409).

    Args:
        message: Why; a string is shown as it is in every language.
    """

    status = 409
    default_code = "rejected"

    def __init__(self, message: Text | str) -> None:
        super().__init__(as_text(message))


class Failure(msgspec.Struct, frozen=True):
    """One plugin's failed part of what a `provide_` hook gathered.

    Args:
        plugin: Whose part is missing.
        hook: Of which hook.
        error_type: Name of the exception's class.
        message: What happened and where, without any data.
    """

    plugin: str
    hook: str
    error_type: str
    message: str


class Circuits(Protocol):
    """Remembers which hooks of which plugins are switched off after repeated failures.

    The methods are called between two steps of a request and must not wait for anything.
    """

    def is_open(self, plugin: str, hook: str) -> bool:
        """Return whether the plugin's implementation is not to be called."""

    def failed(self, plugin: str, hook: str, error: str) -> None:
        """Note a failure; `error` says what happened, without any data."""

    def succeeded(self, plugin: str, hook: str) -> None:
        """Note a success, which ends a row of failures."""


class MemoryCircuits:
    """Circuits of one process, which are forgotten with it.

    Args:
        limit: How many failures in a row switch a hook off.
    """

    def __init__(self, limit: int = 5) -> None:
        self._limit = limit
        self._failures: dict[tuple[str, str], int] = {}

    def is_open(self, plugin: str, hook: str) -> bool:
        """Return whether the plugin's implementation is not to be called."""
        return self._failures.get((plugin, hook), 0) >= self._limit

    def failed(self, plugin: str, hook: str, error: str) -> None:
        """Note a failure."""
        self._failures[plugin, hook] = self._failures.get((plugin, hook), 0) + 1

    def succeeded(self, plugin: str, hook: str) -> None:
        """Note a success; one that had begun before the hook was switched off does not switch it on."""
        if not self.is_open(plugin, hook):
            self._failures.pop((plugin, hook), None)


class Hooks:
    """Calls hooks by name; the family decides on order, waiting and what a failure does.

    Implementations run in the order of pluggy's `tryfirst` and `trylast`, then of the plugins' names. Each gets
    those of the hook's arguments that it names. What it raises, whatever it is, is this plugin's failure and
    nobody else's; only the cancellation of the caller itself passes through.

    Args:
        manager: Knows hooks and plugins; both are complete.
        circuits: What is switched off; forgotten with the process when absent.
        budgets: Seconds one implementation may take, by family.
        threads: Whether synchronous implementations run in a thread, so that they cannot stop the event loop.
        hook_seconds: Seconds for the family `on`, when they are not those of `budgets`.
        observe: Told of each call.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        *,
        circuits: Circuits | None = None,
        budgets: Mapping[Family, float] = BUDGETS,
        threads: bool = True,
        hook_seconds: float | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._circuits = MemoryCircuits() if circuits is None else circuits
        self._budgets = budgets if hook_seconds is None else {**budgets, "on": hook_seconds}
        self._isolation = Isolation(threads=threads)
        self._observers = [observe] if observe else []
        if os.environ.get(TRACE) == "1":
            self._observers.append(_trace)
        self._hooks = {(family, name): found for family, name, found in implementations(manager)}

    def implementers(self, name: str) -> tuple[str, ...]:
        """Return the plugins that implement a hook, in the order they are called in; none if there is no such hook."""
        return tuple(one.plugin for key, found in self._hooks.items() if key[1] == name for one in found)

    async def notify(self, plugin: str, name: str, **kwargs: Any) -> None:
        """Call one plugin's implementation of an `on_` hook, if it has one.

        Args:
            plugin: Whom to tell.
            name: The hook.
            kwargs: Its arguments.

        Raises:
            HookTimeout: If it took longer than it may.
            HookFailed: If it raised something that is no `Exception`, such as SystemExit.
            Exception: Whatever else it raised.
        """
        for one in self._find("on", name):
            if one.plugin == plugin:
                _raise(one, await self._attempt(one, kwargs))

    async def veto(self, name: str, **kwargs: Any) -> None:
        """Ask all plugins whether something may happen, one after the other, in its transaction.

        Args:
            name: A `before_` hook.
            kwargs: Its arguments.

        Raises:
            Rejected: If a plugin says no or fails.
        """
        for one in self._find("before", name):
            error = (await self._attempt(one, kwargs)).error
            if isinstance(error, Rejected):
                raise error
            if error is not None:
                raise Rejected(
                    text("Stopped, since {plugin} failed in {hook}", plugin=one.plugin, hook=name)
                ) from error

    async def duty(self, name: str, **kwargs: Any) -> dict[str, Any]:
        """Have all plugins do their part, one after the other, in one transaction.

        Args:
            name: A hook of the family `duty`.
            kwargs: Its arguments.

        Returns:
            What each plugin returned.

        Raises:
            HookTimeout: If one took longer than it may.
            HookFailed: If one raised something that is no `Exception`.
            Exception: Whatever else the first that failed raised; those after it are not called.
        """
        done = {}
        for one in self._find("duty", name):
            done[one.plugin] = _raise(one, await self._attempt(one, kwargs))
        return done

    async def amend(
        self,
        name: str,
        argument: str,
        *,
        copy: Callable[[Any], Any],
        check: Callable[[Any, Any], None],
        **kwargs: Any,
    ) -> Any:
        """Pass a value through all plugins; one that fails leaves no trace in it.

        Args:
            name: An `amend_` hook.
            argument: The one of its arguments that is passed through.
            copy: Makes the copy that an implementation may change, or replace by returning another value; called
                once for each of `implementers`, in their order.
            check: Gets the value before and after one implementation and raises if that is not acceptable.
            kwargs: The hook's arguments.

        Returns:
            The value after the last plugin.
        """
        for one in self._find("amend", name):
            draft = copy(kwargs[argument])
            accept = _amended(kwargs[argument], draft, check)
            outcome = await self._attempt(one, {**kwargs, argument: draft}, accept)
            if outcome.error is None:
                kwargs[argument] = outcome.result
        return kwargs[argument]

    async def first(self, name: str, **kwargs: Any) -> Any:
        """Return the first answer that is not None; plugins after it are not asked.

        Args:
            name: A `resolve_` hook.
            kwargs: Its arguments.

        Raises:
            HookTimeout: If the hook fails closed and one took longer than it may.
            HookFailed: If the hook fails closed and one raised something that is no `Exception`.
            Exception: Whatever else was raised by one, if the hook fails closed.
        """
        for one in self._find("resolve", name):
            outcome = await self._attempt(one, kwargs, one.accept)
            if one.meta.fail_closed:
                _raise(one, outcome)
            if outcome.result is not None:
                return outcome.result
        return None

    async def gather(self, name: str, **kwargs: Any) -> list[tuple[str, Any]]:
        """Collect the parts of all plugins, which work at the same time.

        Args:
            name: A `provide_` hook.
            kwargs: Its arguments.

        Returns:
            Each plugin's part, or the `Failure` in its place; plugins that returned None are left out.

        Raises:
            Exception: If the hook fails closed and one failed, when all have ended.
        """
        implementations = self._find("provide", name)
        if not implementations:
            return []
        outcomes = await asyncio.gather(*(self._attempt(one, kwargs, one.accept) for one in implementations))
        parts: list[tuple[str, Any]] = []
        for one, outcome in zip(implementations, outcomes, strict=True):
            if one.meta.fail_closed:
                _raise(one, outcome)
            if outcome.error is not None:
                error_type = type(outcome.error).__name__
                parts.append((one.plugin, Failure(one.plugin, name, error_type, _describe(outcome.error))))
            elif outcome.result is not None:
                parts.append((one.plugin, outcome.result))
        return parts

    def _find(self, family: Family, name: str) -> tuple[Implementation, ...]:
        found = self._hooks.get((family, name))
        if found is None:
            raise TypeError(f"There is no hook {name} of the family {family}")
        return found

    async def _attempt(
        self, one: Implementation, kwargs: Mapping[str, Any], accept: Callable[[Any], Any] | None = None
    ) -> Outcome:
        if one.meta.skippable and self._circuits.is_open(one.plugin, one.hook):
            self._tell(one, 0.0, "skipped")
            return Outcome(None, HookFailed(one.plugin, one.hook, "switched off after repeated failures"))
        started = time.perf_counter()
        arguments = {argument: kwargs[argument] for argument in one.arguments}
        outcome = await self._isolation.call(one, arguments, self._budgets[one.meta.family])
        if outcome.error is None and accept is not None:
            try:
                outcome = Outcome(accept(outcome.result))
            except Exception as error:
                outcome = Outcome(None, error)
        self._note(one, time.perf_counter() - started, outcome.error)
        return outcome

    def _note(self, one: Implementation, seconds: float, error: BaseException | None) -> None:
        if error is None or _refuses(one.meta, error):
            self._tell(one, seconds, "ok" if error is None else "refused")
            if one.meta.skippable:
                self._circuits.succeeded(one.plugin, one.hook)
            return
        self._tell(one, seconds, "timeout" if isinstance(error, HookTimeout) else "failed")
        if one.meta.family != "on":  # the engine that tries those again says what came of it
            logger.error("hook %s of plugin %s failed: %s", one.hook, one.plugin, _describe(error))
        if one.meta.skippable:
            self._circuits.failed(one.plugin, one.hook, _describe(error))

    def _tell(self, one: Implementation, seconds: float, outcome: str) -> None:
        for observe in self._observers:
            observe(one.hook, one.plugin, seconds, outcome)


def _raise(one: Implementation, outcome: Outcome) -> Any:
    """Return the result, or raise the error if it is one that callers may be expected to handle."""
    if outcome.error is None:
        return outcome.result
    if isinstance(outcome.error, Exception):
        raise outcome.error
    raise HookFailed(one.plugin, one.hook, type(outcome.error).__name__) from outcome.error


def _refuses(meta: HookMeta, error: BaseException) -> bool:
    """Return whether an error is the answer "no" and not a mistake of the plugin."""
    if meta.family == "before":
        return isinstance(error, Rejected)
    return meta.fail_closed and isinstance(error, ZhikeError) and error.status < 500


def _amended(before: Any, draft: Any, check: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    def accept(returned: Any) -> Any:
        after = draft if returned is None else returned
        if type(after) is not type(draft):
            raise TypeError(f"returned {type(after).__name__} instead of {type(draft).__name__}")
        check(before, after)
        return after

    return accept


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, HookFailed) else where(error)


def _trace(hook: str, plugin: str, seconds: float, outcome: str) -> None:
    logger.info("hook %s of plugin %s: %.1f ms, %s", hook, plugin, seconds * 1000, outcome)
