"""The page about hooks, made from their declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from zhike import hookspecs
from zhike.hooks import BUDGETS, Family, HookMeta

LABELS = ("Args", "Returns", "Raises", "Batching", "Failure", "Example", "Since")
"""The sections of a hook's docstring, in their order; the first three are there where they have something to say."""
REQUIRED = {"Batching", "Failure", "Example", "Since"}

HEADER = """# Hooks

A plugin implements a hook by a function of the same name, marked `@hookimpl` (`from zhike.hooks import hookimpl`), in
the module its entry point names. It takes those of the hook's arguments that it wants, by name. The first word of a
hook's name tells its family, and the family fixes everything else:

| family | when | gives back | seconds | when an implementation fails |
|---|---|---|---|---|
{families}

Implementations run in the order of `tryfirst` and `trylast` (`@hookimpl(tryfirst=True)`), then of the plugins' names.
All but `register_` hooks may be `async`; a plain function runs in a thread in the web process and in commands, and in
the event loop of the runner, where it must not block. Every exception counts as a failure of this plugin only,
SystemExit and CancelledError too, and so does taking longer than the seconds above (`ZHIKE_HOOK_SECONDS` sets those
of `on_`); a coroutine is cancelled then, a thread is left behind. Wrappers (`wrapper=True`) are refused. With
`ZHIKE_TRACE_HOOKS=1` every call is logged: hook, plugin, milliseconds and outcome.

Five failures in a row switch an `amend_`, `resolve_` or `provide_` hook of the plugin off, until someone closes the
circuit (`POST /api/v1/plugins/<name>/circuits/<hook>/close`). Those that fail closed are never switched off.

A plugin may own hooks: its plugin module has the attribute `hookspecs`, a module that declares them with
`zhike.hooks.hook`. Other plugins implement them with `@hookimpl(optionalhook=True)` and run with and without their
owner.

The structs in the examples come from `zhike.contracts`. This page is made from the declarations in `zhike.hookspecs`.
"""

FAMILIES: dict[Family, tuple[str, str, str]] = {
    "register": ("once when a process starts, without I/O", "a list of structs", "the plugin is left out whole"),
    "on": ("after the commit, from the log", "nothing", "tried again, then dead letters"),
    "before": ("in the transaction", "nothing, or raises `Rejected`", "it does not happen"),
    "amend": ("on a value's way, before the transaction", "the value, or None", "the value stays as it was"),
    "resolve": ("when something must be found out", "the answer, or None", "the next plugin is asked"),
    "provide": ("for a page or answer, all at once", "a list of structs", "an error stands in for this part"),
    "duty": ("in the transaction", "what it did, or None", "it does not happen; nobody is skipped"),
}
"""When a family's hooks are called, what they give back, and what a failure does."""
NAMES: dict[Family, str] = {"duty": "`merge_` `export_` `erase_`"}


def declared() -> dict[str, Callable[..., Any]]:
    """Return every hook of the core by its name, in the order they are declared in."""
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, "zhike_meta")}


def sections(docstring: str) -> dict[str, str]:
    """Return the sections of a hook's docstring by their labels; what comes before the first has the label "".

    Args:
        docstring: In the form: one line, paragraphs, then the sections of `LABELS`.

    Raises:
        ValueError: If a section is unknown, missing, empty or out of order, or there is no paragraph.
    """
    parts = re.split(r"^([A-Z][a-z]+):(?= |$)", inspect.cleandoc(docstring), flags=re.MULTILINE)
    found = {label: inspect.cleandoc(text).strip() for label, text in zip(parts[1::2], parts[2::2], strict=True)}
    empty = [label for label, text in found.items() if not text]
    if list(found) != [label for label in LABELS if label in found] or REQUIRED - found.keys() or empty:
        raise ValueError(f"the sections are {list(found)}; expected {LABELS} in this order, none empty")
    summary, _, explanation = parts[0].strip().partition("\n\n")
    if "\n" in summary or not summary.endswith(".") or not explanation:
        raise ValueError("expected one sentence on a line and a paragraph after it")
    return {"": parts[0].strip(), **found}


def hooks_page() -> str:
    """Return docs/plugins/hooks.md."""
    hooks = declared()
    families = "\n".join(_family(family) for family in FAMILIES)
    return "\n".join([HEADER.format(families=families), *(_hook(name, hook) for name, hook in hooks.items())])


def _family(family: Family) -> str:
    when, shape, failure = FAMILIES[family]
    name = NAMES.get(family, f"`{family}_`")
    seconds = f"{BUDGETS[family]:g}" if family in BUDGETS else ""
    return f"| {name} | {when} | {shape} | {seconds} | {failure} |"


def _hook(name: str, hook: Callable[..., Any]) -> str:
    meta: HookMeta = hook.zhike_meta  # type: ignore[attr-defined]  # put there by zhike.hooks.hook
    found = sections(hook.__doc__ or "")
    closed = " It fails closed." if meta.fail_closed else ""
    lines = [f"## {name}\n", f"```python\n{_signature(name, hook)}\n```\n", found[""], ""]
    if "Args" in found:
        lines += [*(f"- `{argument}`: {text}" for argument, text in _entries(found["Args"])), ""]
    if "Returns" in found:
        lines += [f"Returns: {_line(found['Returns'])}\n"]
    if "Raises" in found:
        lines += [*(f"Raises `{error}`: {text}\n" for error, text in _entries(found["Raises"]))]
    lines += [f"Batching: {_line(found['Batching'])}\n", f"Failure: {_line(found['Failure'])}{closed}\n"]
    lines += [f"```python\n{found['Example']}\n```\n", f"Since {found['Since']}.\n"]
    return "\n".join(lines)


def _signature(name: str, hook: Callable[..., Any]) -> str:
    signature = inspect.signature(hook)
    arguments = ", ".join(f"{one.name}: {one.annotation}" for one in signature.parameters.values())
    word = "async def" if inspect.iscoroutinefunction(hook) else "def"
    return f"{word} {name}({arguments}) -> {signature.return_annotation}"


def _entries(text: str) -> list[tuple[str, str]]:
    """Return the entries `name: text` of a section; the lines of one that is longer are indented."""
    parts = re.split(r"^(\w+): ", text, flags=re.MULTILINE)
    return [(name, _line(value)) for name, value in zip(parts[1::2], parts[2::2], strict=True)]


def _line(text: str) -> str:
    return " ".join(text.split())
