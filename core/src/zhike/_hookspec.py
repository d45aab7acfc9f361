"""How hooks are declared and implemented, and what about an implementation is refused before it is ever called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from zhike.errors import Refused
from zhike.i18n import text

Family = Literal["register", "on", "before", "amend", "resolve", "provide", "duty"]
DUTIES = ("merge_", "export_", "erase_")
"""How the names of the family `duty` begin; those of the others begin with the family's name."""

Function = TypeVar("Function", bound=Callable[..., Any])
hookimpl = pluggy.HookimplMarker("zhike")
"""Marks a function of a plugin as the implementation of the hook it is named after."""
_mark_spec = pluggy.HookspecMarker("zhike")


class HookMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook promises beyond its signature.

    Args:
        family: Decides how it is called and what a failure does.
        since: Version of Zhike it came with.
        fail_closed: Whether a failure counts as "no" instead of being passed over.
        returns: Type of the answer of a `resolve_` hook, or of each item of a `provide_` hook.
    """

    family: Family
    since: str
    fail_closed: bool = False
    returns: type | None = None

    @property
    def skippable(self) -> bool:
        """Whether repeated failures switch it off; not where skipping would let something through or lose something."""
        return self.family in {"amend", "resolve", "provide"} and not self.fail_closed


def hook(
    *, family: Family, since: str, fail_closed: bool = False, returns: type | None = None
) -> Callable[[Function], Function]:
    """Declare a hook: a function with a docstring and no body, `async` unless it is a `register_` hook.

    Args:
        family: Decides how it is called and what a failure does; the name begins accordingly.
        since: Version of Zhike, or of the plugin that owns it, it came with.
        fail_closed: Whether a failure counts as "no" instead of being passed over.
        returns: Type of the answer of a `resolve_` hook, or of each item of a `provide_` hook.
    """

    def mark(function: Function) -> Function:
        if not function.__name__.startswith(DUTIES if family == "duty" else f"{family}_"):
            raise TypeError(f"{function.__name__} is of the family {family}, which its name does not begin with")
        if inspect.iscoroutinefunction(function) == (family == "register"):
            raise TypeError(f"{function.__name__}: register_ hooks are plain functions, all others are async")
        meta = HookMeta(family=family, since=since, fail_closed=fail_closed, returns=returns)
        function.zhike_meta = meta  # type: ignore[attr-defined]  # where pluggy's own marker puts its options too
        return _mark_spec(function)

    return mark


def check_specs(plugin: str, specs: object) -> None:
    """Check the hooks a plugin owns before pluggy is told of them.

    Args:
        plugin: Its name.
        specs: Module or class that declares them.

    Raises:
        Refused: If one is declared by pluggy's own marker, which says nothing of its family.
    """
    for name in dir(specs):
        declared = getattr(specs, name, None)
        if hasattr(declared, "zhike_spec") and not isinstance(getattr(declared, "zhike_meta", None), HookMeta):
            raise Refused(
                text(
                    "{plugin} declares the hook {hook} without a family; use zhike.hooks.hook", plugin=plugin, hook=name
                )
            )


def check_plugin(manager: pluggy.PluginManager, plugin: object) -> None:
    """Check a plugin's implementations before it is registered: none may be there and yet never be run.

    Args:
        manager: Knows all hooks already.
        plugin: Module or object with implementations.

    Raises:
        Refused: If one is of no known hook (unless marked `optionalhook`), a wrapper or generator, asynchronous
            where its hook is not, or wants other arguments than its hook gives.
    """
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        name = options.get("specname") or attribute
        caller = getattr(manager.hook, name, None)
        spec = caller.spec if caller is not None else None
        if spec is not None:
            _check_implementation(name, spec, getattr(plugin, attribute), options)
        elif not options.get("optionalhook"):
            known = [hook for hook, caller in vars(manager.hook).items() if getattr(caller, "spec", None)]
            near = difflib.get_close_matches(name, known, 1)
            guess = text(" (did you mean {hook}?)", hook=near[0]) if near else ""
            raise Refused(text("there is no hook {hook}{guess}", hook=name, guess=guess))


def _check_implementation(name: str, spec: Any, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    if options.get("wrapper") or options.get("hookwrapper"):
        raise Refused(text("{hook} is a wrapper, which is never called; leave wrapper out", hook=name))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Refused(text("{hook} contains yield, so that calling it does nothing; return a list", hook=name))
    if spec.function.zhike_meta.family == "register" and inspect.iscoroutinefunction(function):
        raise Refused(text("{hook} is asynchronous; register_ hooks are plain functions", hook=name))
    signature = inspect.signature(function)
    try:
        signature.bind(**dict.fromkeys(_wanted(function, spec.argnames)))
    except TypeError:
        given = ", ".join(spec.argnames) or text("nothing")
        raise Refused(
            text("{hook} takes {signature}; it is given {given}", hook=name, signature=str(signature), given=given)
        ) from None


class Implementation(msgspec.Struct, frozen=True):
    """One plugin's function for one hook.

    Args:
        plugin: Whose it is.
        hook: The hook's name.
        meta: What the hook promises.
        function: What to call.
        arguments: The hook's arguments that it wants, by name.
    """

    plugin: str
    hook: str
    meta: HookMeta
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    def accept(self, result: Any) -> Any:
        """Return what the function returned.

        Raises:
            TypeError: If it is not what the hook's declaration says.
        """
        expected = self.meta.returns
        if result is None or expected is None:
            return result
        if self.meta.family == "provide" and not isinstance(result, list | tuple):
            raise TypeError(f"returned {type(result).__name__} instead of a list")
        for item in result if self.meta.family == "provide" else (result,):
            if not isinstance(item, expected):
                raise TypeError(f"returned {type(item).__name__} instead of {expected.__name__}")
        return result


def implementations(manager: pluggy.PluginManager) -> Iterator[tuple[Family, str, tuple[Implementation, ...]]]:
    """Return every hook's family, name and implementations, in the order they are called in.

    Args:
        manager: Knows all hooks and all plugins.
    """
    for name, caller in vars(manager.hook).items():
        if (spec := getattr(caller, "spec", None)) is None:
            continue
        meta = spec.function.zhike_meta
        ordered = sorted(caller.get_hookimpls(), key=lambda one: (not one.tryfirst, one.trylast, one.plugin_name))
        found = [
            Implementation(one.plugin_name, name, meta, one.function, _wanted(one.function, spec.argnames))
            for one in ordered
        ]
        yield meta.family, name, tuple(found)


def _wanted(function: Callable[..., Any], given: Sequence[str]) -> tuple[str, ...]:
    return tuple(argument for argument in inspect.signature(function).parameters if argument in given)
