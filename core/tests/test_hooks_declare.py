"""Declaring and implementing hooks: mistakes are told when a plugin is registered, not when it is too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy
import pytest

from zhike import hookspecs
from zhike.errors import Refused
from zhike.hooks import BUDGETS, Hooks, check_plugin, check_specs, hook, hookimpl


def manager_with(*specs: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager("zhike")
    for one in (hookspecs, *specs):
        manager.add_hookspecs(one)
    return manager


def implementing(name: str, function: Callable[..., Any], **options: Any) -> object:
    return type("Plugin", (), {name: staticmethod(hookimpl(function, **options))})()


async def nothing() -> None:
    """Do nothing."""


def yielding() -> Any:
    yield 1


async def yielding_later() -> Any:
    yield 1


def wanting_more(events: Any, whatever: Any) -> None:
    """Want an argument that the hook does not have."""


def wanting_position(events: Any, /) -> None:
    """Want an argument by position, where all are given by name."""


@pytest.mark.parametrize(
    ("name", "function", "options", "message"),
    [
        ("on_events_recorded", yielding, {"wrapper": True}, "on_events_recorded is a wrapper, which is never called"),
        ("on_events_recorded", yielding, {"hookwrapper": True}, "on_events_recorded is a wrapper"),
        ("on_events_recorded", yielding, {}, "contains yield"),
        ("provide_health", yielding_later, {}, "contains yield"),
        ("register_jobs", nothing, {}, "register_jobs is asynchronous"),
        ("on_events_recorded", wanting_more, {}, r"takes \(events: .*whatever: .*\).*; it is given events, mode, work"),
        ("on_events_recorded", wanting_position, {}, "it is given events, mode, work"),
        ("provide_health", lambda request: None, {}, r"takes \(request\); it is given nothing"),
        ("on_event_recorded", nothing, {}, r"there is no hook on_event_recorded \(did you mean on_events_recorded\?\)"),
        ("zzz", nothing, {}, "there is no hook zzz$"),
        ("mine", nothing, {"specname": "provide_helth"}, r"provide_helth \(did you mean provide_health\?\)"),
    ],
)
def test_an_implementation_that_could_not_work_is_refused(
    name: str, function: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        check_plugin(manager_with(), implementing(name, function, **options))


@pytest.mark.parametrize(
    ("name", "function", "options"),
    [
        ("on_events_recorded", lambda events: None, {}),
        ("on_events_recorded", lambda *, work, events, depth=1: None, {}),
        ("on_events_recorded", lambda **everything: None, {}),
        ("register_jobs", lambda: [], {}),
        ("on_tags_changed", lambda changes: None, {"optionalhook": True}),
        ("health", lambda: [], {"specname": "provide_health"}),
    ],
)
def test_an_implementation_that_can_work_is_taken(
    name: str, function: Callable[..., Any], options: dict[str, Any]
) -> None:
    manager = manager_with()
    plugin = implementing(name, function, **options)
    check_plugin(manager, plugin)
    manager.register(plugin, "probe")
    hook_name = options.get("specname") or name
    if not options.get("optionalhook"):
        assert Hooks(manager).implementers(hook_name) == ("probe",)


class Owned:
    """The hooks of a plugin."""

    @hook(family="on", since="1.0")
    async def on_tags_changed(self, changes: Any) -> None: ...


class Plain:
    """Hooks declared by pluggy's own marker."""

    @hook(family="on", since="1.0")
    async def on_tags_changed(self, changes: Any) -> None: ...

    @pluggy.HookspecMarker("zhike")
    def on_nothing(self, changes: Any) -> None: ...


async def test_plugins_meet_in_a_hook_that_one_of_them_owns() -> None:
    seen: list[str] = []
    check_specs("tagging", Owned)
    manager = manager_with(Owned)

    def note(changes: str) -> None:
        seen.append(changes)

    plugin = implementing("on_tags_changed", note, optionalhook=True)
    check_plugin(manager, plugin)
    manager.register(plugin, "other")
    await Hooks(manager).notify("other", "on_tags_changed", changes="tags")
    assert seen == ["tags"]


def test_a_hook_without_a_family_is_refused() -> None:
    with pytest.raises(Refused, match=r"tagging declares the hook on_nothing without a family; use zhike\.hooks\.hook"):
        check_specs("tagging", Plain)


def test_a_plugin_with_such_a_hook_does_not_stop_the_others() -> None:
    from zhike.platform import assemble

    bad, good = implementing("provide_health", lambda: []), implementing("provide_health", lambda: [])
    bad.hookspecs = Plain  # type: ignore[attr-defined]  # found by this name
    assembled = assemble({"bad": bad, "good": good})
    assert [problem.plugin for problem in assembled.problems] == ["bad"]
    assert assembled.hooks.implementers("provide_health") == ("good",)


class Redeclared:
    """A hook that is the core's."""

    @hook(family="on", since="1.0")
    async def on_events_recorded(self, events: Any) -> None: ...


def test_a_hook_of_the_core_is_not_declared_again() -> None:
    from zhike.platform import assemble

    thief, good = implementing("provide_health", lambda: []), implementing("on_events_recorded", lambda work: None)
    thief.hookspecs = Redeclared  # type: ignore[attr-defined]  # found by this name
    assembled = assemble({"good": good, "thief": thief})
    assert [problem.plugin for problem in assembled.problems] == ["thief"]
    assert assembled.hooks.implementers("on_events_recorded") == ("good",)


@pytest.mark.parametrize("owner_first", [True, False])
def test_who_implements_a_plugins_hook_wrongly_is_to_blame_and_not_its_owner(owner_first: bool) -> None:
    from zhike.platform import assemble

    owner = implementing("provide_health", lambda: [])
    owner.hookspecs = Owned  # type: ignore[attr-defined]  # found by this name
    others = {
        "wrong": implementing("on_tags_changed", lambda whatever: None, optionalhook=True),
        "right": implementing("on_tags_changed", lambda changes: None),
    }
    plugins = {"tagging": owner, **others} if owner_first else {**others, "tagging": owner}
    assembled = assemble(plugins)
    assert [problem.plugin for problem in assembled.problems] == ["wrong"]
    assert assembled.hooks.implementers("on_tags_changed") == ("right",)


def test_a_declaration_must_fit_its_family() -> None:
    async def before_thing() -> None: ...
    def on_thing() -> None: ...
    async def register_things() -> None: ...

    with pytest.raises(TypeError, match="before_thing is of the family on"):
        hook(family="on", since="0.1")(before_thing)
    with pytest.raises(TypeError, match="on_thing: register_ hooks are plain functions, all others are async"):
        hook(family="on", since="0.1")(on_thing)
    with pytest.raises(TypeError, match="register_things: register_ hooks are plain"):
        hook(family="register", since="0.1")(register_things)


def test_the_budgets_are_those_that_are_promised() -> None:
    assert BUDGETS == {"on": 30, "before": 5, "amend": 0.2, "resolve": 2, "provide": 2, "duty": 5}
