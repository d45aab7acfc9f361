"""Any mixture of plugins that behave and plugins that do their worst: the others never notice."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any

import pluggy
import pytest

from zhike import _isolate
from zhike.hooks import BUDGETS, Failure, Hooks, Rejected, hook, hookimpl

BUDGET = 0.4
DEADLINE = 60.0
PLUGINS = {"on_thing": 6, "before_thing": 2, "amend_thing": 6, "resolve_thing": 3, "provide_thing": 6, "merge_thing": 2}
"""How many plugins implement a hook at once: few where a failure or an answer ends the call."""


class Specs:
    """One hook of every family."""

    @hook(family="on", since="0.1")
    async def on_thing(self, value: Any) -> None: ...

    @hook(family="before", since="0.1")
    async def before_thing(self, value: Any) -> None: ...

    @hook(family="amend", since="0.1")
    async def amend_thing(self, value: Any) -> Any: ...

    @hook(family="resolve", since="0.1", returns=list)
    async def resolve_thing(self, value: Any) -> Any: ...

    @hook(family="provide", since="0.1", returns=str)
    async def provide_thing(self, value: Any) -> Any: ...

    @hook(family="duty", since="0.1")
    async def merge_thing(self, value: Any) -> Any: ...


class Trial:
    """One set of plugins, which note that they were called and then behave or not.

    Args:
        number: Which set; all sets of a hook together have every behaviour twice.
        hook_name: The hook they implement.
    """

    BEHAVIOURS = (
        *("ok async", "ok async", "ok sync", "nothing async", "nothing sync"),
        *("raise async", "raise sync", "hang async", "cling async", "hang sync", "cancel async", "wrong sync"),
    )
    RAISED = (ValueError, SystemExit, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, MemoryError, Rejected)

    def __init__(self, number: int, hook_name: str) -> None:
        self.random = random.Random(f"{hook_name} {number}")
        self.hook_name = hook_name
        self.called: list[str] = []
        self.async_release = asyncio.Event()
        self.thread_release = threading.Event()
        self.clinging = 0
        self.let_go = asyncio.Event()
        deck = [*self.BEHAVIOURS] * 2
        random.Random(hook_name).shuffle(deck)
        size = PLUGINS[hook_name]
        self.plugins = {chr(97 + n): behaviour for n, behaviour in enumerate(deck[number * size : (number + 1) * size])}

    def hooks(self) -> Hooks:
        manager = pluggy.PluginManager("zhike")
        manager.add_hookspecs(Specs)
        for name, behaviour in self.plugins.items():
            function = hookimpl(self.implementation(name, behaviour), specname=self.hook_name)
            manager.register(type("Plugin", (), {"thing": staticmethod(function)})(), name)
        return Hooks(manager, budgets=dict.fromkeys(BUDGETS, BUDGET))

    def fails(self, name: str) -> bool:
        kind = self.plugins[name].split()[0]
        judged = self.hook_name in {"amend_thing", "resolve_thing", "provide_thing"}
        return kind in {"raise", "hang", "cling", "cancel"} or (kind == "wrong" and judged)

    def hangs(self, name: str) -> bool:
        return self.plugins[name].split()[0] in {"hang", "cling"}

    def answers(self, name: str) -> bool:
        return self.plugins[name].startswith("ok")

    def release(self) -> None:
        self.async_release.set()
        self.thread_release.set()

    def implementation(self, name: str, behaviour: str) -> Callable[..., Any]:
        kind, shape = behaviour.split()
        raised = self.random.choice(self.RAISED)

        def begin(value: list[str]) -> Any:
            self.called.append(name)
            value.append(f"{name} was here")
            if kind == "raise":
                raise raised("why")
            return {"ok": [*value, name], "wrong": object()}.get(kind)

        def plain(value: list[str]) -> Any:
            result = begin(value)
            if kind == "hang":
                self.thread_release.wait(DEADLINE)
            return result

        async def coroutine(value: list[str]) -> Any:
            await asyncio.sleep(0)
            result = begin(value)
            if kind == "hang":
                await self.async_release.wait()
            if kind == "cling":
                await self.cling()
            if kind == "cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            return result

        return plain if shape == "sync" else coroutine

    async def cling(self) -> None:
        self.clinging += 1
        while not self.async_release.is_set():
            try:
                await self.async_release.wait()
            except asyncio.CancelledError:
                continue
        self.clinging -= 1
        self.let_go.set()


async def check_on(trial: Trial, hooks: Hooks) -> None:
    for name in trial.plugins:
        try:
            await hooks.notify(name, "on_thing", value=[])
        except Exception:
            assert trial.fails(name)
        else:
            assert not trial.fails(name)
    assert trial.called == list(trial.plugins)


async def check_before(trial: Trial, hooks: Hooks) -> None:
    failing = [name for name in trial.plugins if trial.fails(name)]
    if failing:
        with pytest.raises(Rejected):
            await hooks.veto("before_thing", value=[])
    else:
        await hooks.veto("before_thing", value=[])
    assert trial.called == [name for name in trial.plugins if not failing or name <= failing[0]]


async def check_amend(trial: Trial, hooks: Hooks) -> None:
    value = ["given"]
    after = await hooks.amend("amend_thing", "value", copy=list, check=lambda before, after: None, value=value)
    expected = ["given"]
    for name in trial.plugins:
        if not trial.fails(name):
            expected += [f"{name} was here"] + [name] * trial.answers(name)
    assert value == ["given"]
    assert after == expected
    assert trial.called == list(trial.plugins)


async def check_resolve(trial: Trial, hooks: Hooks) -> None:
    answer = await hooks.first("resolve_thing", value=[])
    first = next((name for name in trial.plugins if trial.answers(name)), None)
    assert answer is None if first is None else answer[-1] == first
    assert trial.called == [name for name in trial.plugins if first is None or name <= first]


async def check_provide(trial: Trial, hooks: Hooks) -> None:
    parts = dict(await hooks.gather("provide_thing", value=[]))
    assert {name for name, part in parts.items() if isinstance(part, Failure)} == {
        name for name in trial.plugins if trial.fails(name)
    }
    assert {name for name, part in parts.items() if not isinstance(part, Failure)} == {
        name for name in trial.plugins if trial.answers(name)
    }
    assert sorted(trial.called) == list(trial.plugins)


async def check_duty(trial: Trial, hooks: Hooks) -> None:
    failing = [name for name in trial.plugins if trial.fails(name)]
    if failing:
        with pytest.raises(Exception):  # noqa: B017, PT011  # any, but none that is no Exception
            await hooks.duty("merge_thing", value=[])
    else:
        assert list(await hooks.duty("merge_thing", value=[])) == list(trial.plugins)
    assert trial.called == [name for name in trial.plugins if not failing or name <= failing[0]]


CHECKS = {
    "on_thing": check_on,
    "before_thing": check_before,
    "amend_thing": check_amend,
    "resolve_thing": check_resolve,
    "provide_thing": check_provide,
    "merge_thing": check_duty,
}


@pytest.mark.parametrize(
    ("hook_name", "number"),
    [(name, number) for name, size in PLUGINS.items() for number in range(2 * len(Trial.BEHAVIOURS) // size)],
)
async def test_whatever_some_plugins_do_the_others_run_and_the_caller_goes_on(
    hook_name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_isolate, "GRACE", 0.05)
    call = _isolate.Isolation.call

    async def timed(self: _isolate.Isolation, one: Any, arguments: Any, seconds: float) -> _isolate.Outcome:
        # Those that end have as much time as this machine may need.
        return await call(self, one, arguments, seconds if trial.hangs(one.plugin) else DEADLINE)

    monkeypatch.setattr(_isolate.Isolation, "call", timed)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    trial = Trial(number, hook_name)
    await asyncio.wait_for(CHECKS[hook_name](trial, trial.hooks()), DEADLINE / 2)
    trial.release()
    while trial.clinging:
        trial.let_go.clear()
        await asyncio.wait_for(trial.let_go.wait(), DEADLINE)
    assert not complaints
