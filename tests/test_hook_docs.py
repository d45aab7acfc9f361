"""Every hook is declared in one form, documented, called by the core and implemented somewhere in this repository."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest
from hooks import LABELS, declared, hooks_page, sections
from test_examples import RUN

from workspace import CORE, ROOT, tracked
from zhike import contracts, hookspecs
from zhike.access.actor import Actor
from zhike.hooks import HookMeta, Rejected, check_plugin, hookimpl
from zhike.platform import core_plugins
from zhike.registry import KINDS

HOOKS = declared()
CALLS = {"notify": "on", "veto": "before", "duty": "duty", "amend": "amend", "first": "resolve", "gather": "provide"}
"""Methods of `Hooks` to the family each one calls."""
OWN_ARGUMENTS = {"copy", "check"}
"""Keywords of `Hooks.amend` that are not the hook's."""


def meta_of(name: str) -> HookMeta:
    meta: HookMeta = HOOKS[name].zhike_meta  # type: ignore[attr-defined]  # put there by zhike.hooks.hook
    return meta


def arguments_of(name: str) -> set[str]:
    return set(HOOKS[name].__code__.co_varnames[: HOOKS[name].__code__.co_argcount])


def calls_in(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Return every call of a hook in a module: the method, the hook, and the hook's arguments it is given."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    constants = {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in CALLS:
            continue
        given = [one.value if isinstance(one, ast.Constant) else constants.get(ast.unparse(one)) for one in node.args]
        for name in HOOKS.keys() & given:
            keywords = {keyword.arg or "**" for keyword in node.keywords}
            yield node.func.attr, name, keywords - (OWN_ARGUMENTS if node.func.attr == "amend" else set())


def implemented_in(paths: list[Path]) -> set[str]:
    """Return the hooks that functions marked by `hookimpl`, and names that `registers` gives, implement."""
    found = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            if any("hookimpl" in {getattr(mark, "id", None), getattr(mark, "attr", None)} for mark in marks):
                found.add(node.name)
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("registers("):
            found |= {ast.unparse(target) for target in node.targets}
    return found


def executed_in(paths: list[Path]) -> set[str]:
    """Return the hooks that pages and templates implement, which are no Python files; other tests run them."""
    written = "".join(path.read_text(encoding="utf-8") for path in paths)
    return set(re.findall(r"^\+?@hookimpl\n\+?(?:async )?def (\w+)\(", written, re.MULTILINE))


def files(*patterns: str) -> list[Path]:
    return [path for path in tracked() if any(path.relative_to(ROOT).match(pattern) for pattern in patterns)]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_declared_in_the_fixed_form(name: str) -> None:
    found = sections(HOOKS[name].__doc__ or "")
    assert found["Since"] == meta_of(name).since
    listed = {line.split(":")[0] for line in found.get("Args", "").splitlines() if line[0] != " "}
    assert listed == arguments_of(name)
    assert "return" in HOOKS[name].__annotations__
    assert HOOKS[name].__annotations__.keys() - {"return"} == arguments_of(name)
    if meta_of(name).family in {"resolve", "provide"}:
        assert meta_of(name).returns is not None
    assert ("Returns" in found) == (HOOKS[name].__annotations__["return"] != "None")


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_could_be_used(name: str) -> None:
    known: dict[str, Any] = {**vars(contracts), "hookimpl": hookimpl, "Actor": Actor, "Rejected": Rejected}
    exec(sections(HOOKS[name].__doc__ or "")["Example"], known)
    manager = pluggy.PluginManager("zhike")
    manager.add_hookspecs(hookspecs)
    plugin = type("Plugin", (), {name: staticmethod(known[name])})()
    check_plugin(manager, plugin)
    manager.register(plugin, "example")
    assert getattr(manager.hook, name).get_hookimpls()
    if meta_of(name).family == "register":
        registered = known[name]()
        assert registered
        assert {type(struct) for struct in registered} == {KINDS[name.removeprefix("register_")][1]}


@pytest.mark.parametrize(
    "wrong",
    [
        "One line only.\n\nBatching: a\nFailure: b\n",
        "No paragraph.\n\nBatching: a\nFailure: b\nExample: c\nSince: 0.1",
        "No sentence\n\nWhy.\n\nBatching: a\nFailure: b\nExample: c\nSince: 0.1",
        "Order.\n\nWhy.\n\nFailure: b\nBatching: a\nExample: c\nSince: 0.1",
        "Unknown.\n\nWhy.\n\nHint: x\nBatching: a\nFailure: b\nExample: c\nSince: 0.1",
        "Empty.\n\nWhy.\n\nBatching:\nFailure: b\nExample: c\nSince: 0.1",
    ],
)
def test_another_form_is_noticed(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        sections(wrong)
    right = "Line.\n\nWhy.\n\nBatching: a\nFailure: b\n\nExample:\n    c\n\nSince: 0.1"
    assert [label for label in sections(right) if label] == [label for label in LABELS if label in sections(right)]


def test_the_page_is_current_and_has_every_hook() -> None:
    page = (ROOT / "docs" / "plugins" / "hooks.md").read_text(encoding="utf-8")
    assert page == hooks_page(), "run `make docs`"
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(HOOKS)


def test_every_kind_that_is_registered_has_its_hook() -> None:
    registering = {name for name in HOOKS if meta_of(name).family == "register"}
    assert registering == {f"register_{kind}" for kind in KINDS}


@pytest.mark.parametrize("name", [name for name in HOOKS if meta_of(name).family != "register"])
def test_the_core_calls_a_hook_by_its_family_with_its_arguments(name: str) -> None:
    made = [call for path in sorted(CORE.rglob("*.py")) for call in calls_in(path)]
    calls = [(method, given) for method, called, given in made if called == name]
    assert calls, f"nothing in the core calls {name}"
    for method, given in calls:
        assert CALLS[method] == meta_of(name).family
        assert given == arguments_of(name)


def test_every_hook_is_implemented() -> None:
    nouns = {name for plugin in core_plugins().values() for name in vars(plugin) if name in HOOKS}
    assert nouns == implemented_in(files("core/src/zhike/*/plugin.py")) & HOOKS.keys()
    plugins = implemented_in(files("plugins/*/src/*/plugin.py"))
    examples = executed_in([ROOT / "docs" / "plugins" / page for page in RUN])
    examples |= executed_in(files("scaffold/*/src/*/plugin.py.tmpl", "scaffold/hooks/*.py.tmpl"))
    assert examples <= HOOKS.keys()
    assert HOOKS.keys() == nouns | (plugins & HOOKS.keys()) | examples, "a hook that nothing implements is none"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_tested(name: str) -> None:
    tested = "".join(path.read_text(encoding="utf-8") for path in files("core/tests/*.py", "core/tests/*/*.py"))
    assert f"def {name}(" in tested or f'"{name}"' in tested
