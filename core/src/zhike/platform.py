"""What one process works with: settings, database, and the plugins put together so that none can hurt another."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

from zhike import hookspecs
from zhike._wellformed import Misuse
from zhike.access.directory import Directory
from zhike.access.roles import with_permissions
from zhike.conditions.catalog import Fields
from zhike.config.service import Config
from zhike.customers.fields import CustomerFields
from zhike.errors import Refused, where
from zhike.hooks import Hooks, check_plugin, check_specs
from zhike.i18n import Text, text
from zhike.registry import KINDS, Registry
from zhike.vault import Vault

if TYPE_CHECKING:
    from zhike.hooks import Circuits
    from zhike.orm import Database
    from zhike.plugins.circuits import StoredCircuits
    from zhike.plugins.service import Look
    from zhike.settings import Settings

CORE = (
    "access",
    "calendar",
    "conditions",
    "config",
    "consumers",
    "customers",
    "desk",
    "events",
    "files",
    "jobs",
    "pages",
    "plugins",
    "tasks",
)
"""The core's own nouns, which are plugins like any other."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a plugin is not running.

    Args:
        plugin: Its name.
        stage: Where it failed: discover, version, trial, import, register, registry, migration or run.
        text: What is wrong.
        hint: How to mend it.
    """

    plugin: str
    stage: str
    text: Text
    hint: Text

    @property
    def told(self) -> Text:
        """All of it in one line."""
        return text("{plugin}: {what}. {hint}", plugin=self.plugin, what=self.text, hint=self.hint)


class LoadedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that is running in this process.

    Args:
        name: Its name.
        distribution: The distribution it came with, or the file.
        version: The distribution's version, or "".
        module: What holds its hook implementations.
    """

    name: str
    distribution: str
    version: str
    module: Any


class Assembled(msgspec.Struct, frozen=True):
    """Plugins put together.

    Args:
        hooks: Calls their implementations.
        registry: What they have registered.
        problems: What is wrong with those that were left out.
    """

    hooks: Hooks
    registry: Registry
    problems: list[Problem]


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(kw_only=True)
class Platform:
    """What one process works with.

    Args:
        settings: The deployment's settings.
        db: The process's connections to the database.
        hooks: Calls the plugins' implementations.
        registry: What the plugins have registered.
        plugins: The plugins that run, by name; the core's own nouns are not among them.
        problems: What is wrong with those that do not.
        generation: The number of the set of plugins, which counts up when that changes.
        codes: The enabled plugins it found, running or not, each with the fingerprint of its code.
        look: Looks at what is installed by now; None where plugins are given to the process, as in tests.
        circuits: Hooks switched off after repeated failures, in all processes; None for a process of its own.
        announce: Tells the other processes after a commit that there is news on a topic: `log`, `jobs` or
            `plugins`. It returns at once and never raises.
    """

    settings: Settings
    db: Database
    hooks: Hooks
    registry: Registry
    plugins: Mapping[str, LoadedPlugin] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    generation: int = 0
    codes: Mapping[str, str] = field(default_factory=dict)
    look: Callable[[], Look] | None = None
    circuits: StoredCircuits | None = None
    announce: Callable[[str], None] = _silent

    @cached_property
    def vault(self) -> Vault:
        """Seals, opens and hashes what must not be read in the database."""
        return Vault(self.db, self.settings)

    @cached_property
    def directory(self) -> Directory:
        """Finds the actors behind tokens and users."""
        known = self.registry.permissions
        return Directory(self.db, with_permissions(known.values()), [key for key in known if known[key].whole])

    @cached_property
    def customer_fields(self) -> CustomerFields:
        """The fields of customers; `renew` them first."""
        return CustomerFields(self.db, self.vault)

    @cached_property
    def config(self) -> Config:
        """The settings that are changed while Zhike runs: `platform.config.get(Struct)`."""
        return Config(self)

    @cached_property
    def fields(self) -> Fields:
        """The fields that conditions may ask about."""
        return Fields(self.registry, self.customer_fields)


def core_plugins() -> dict[str, ModuleType]:
    """Return the core's own nouns, by name."""
    return {name: importlib.import_module(f"zhike.{name}.plugin") for name in CORE}


def assemble(
    plugins: Mapping[str, object],
    *,
    circuits: Circuits | None = None,
    threads: bool = True,
    hook_seconds: float | None = None,
) -> Assembled:
    """Put plugins together: register their hook implementations and collect what they register.

    A plugin with a mistake is left out whole, as if it were not there; the others do not notice.

    Args:
        plugins: Modules, or objects with implementations as methods, by name; the core's nouns first.
        circuits: Which hooks are switched off; none ever when absent.
        threads: Whether synchronous implementations run in a thread.
        hook_seconds: Budget of a call of an `on_` hook, when it is not the usual one.
    """
    manager = pluggy.PluginManager("zhike")
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    problems: list[Problem] = []
    mistakes = {name: _declare(manager, name, plugin) for name, plugin in plugins.items()}
    for name, plugin in plugins.items():
        core = isinstance(plugin, ModuleType) and plugin.__name__ == f"zhike.{name}.plugin"
        try:
            if (mistake := mistakes[name]) is not None:
                raise mistake
            others = () if core else plugins.keys() - {name}
            _add(manager, registry, name, plugin, others, core=core)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may raise anything when it is asked for an attribute
            if core:
                raise
            problems.append(_problem(name, error))
    hooks = Hooks(manager, circuits=circuits, threads=threads, hook_seconds=hook_seconds)
    return Assembled(hooks, registry, problems)


class _AtStage(Exception):
    """An error with the stage it belongs to."""

    def __init__(self, stage: str, message: Text) -> None:
        super().__init__(str(message))
        self.stage = stage
        self.message = message


def _declare(manager: pluggy.PluginManager, name: str, plugin: object) -> BaseException | None:
    """Make the hooks known that a plugin owns, before others implement them: a mistake of theirs is not the owner's."""
    try:
        if (specs := getattr(plugin, "hookspecs", None)) is not None:
            check_specs(name, specs)
            manager.add_hookspecs(specs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


def _add(
    manager: pluggy.PluginManager,
    registry: Registry,
    name: str,
    plugin: object,
    others: Collection[str],
    *,
    core: bool,
) -> None:
    try:
        claims = _claims(plugin)
        for noun in claims:
            if noun in others:  # whichever of the two comes first
                raise Misuse(text("the noun {noun!r} cannot be claimed: it belongs to {owner}", noun=noun, owner=noun))
        registry.claim(name, claims)
        _register(manager, name, plugin)
        registry.add(name, dict(_registered(manager, name, plugin)), core=core)
    except BaseException as error:
        registry.disown(name)
        if manager.has_plugin(name):
            manager.unregister(name=name)
        if isinstance(error, Misuse):
            raise _AtStage("registry", error.message) from error
        raise


def _claims(plugin: object) -> Sequence[str]:
    claims = getattr(plugin, "CLAIMS", ())
    if not isinstance(claims, tuple) or not all(isinstance(noun, str) for noun in claims):
        raise _AtStage("registry", text("CLAIMS is {claims}; expected a tuple of words", claims=repr(claims)))
    return claims


def _register(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    check_plugin(manager, plugin)
    manager.register(plugin, name)


def _registered(manager: pluggy.PluginManager, name: str, plugin: object) -> Iterator[tuple[str, Sequence[Any]]]:
    for kind in KINDS:
        hook = f"register_{kind}"
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            structs = _call(hook, implementation.function)
            if not isinstance(structs, list | tuple):
                given = type(structs).__name__
                raise _AtStage("register", text("{hook} returned {given}; expected a list", hook=hook, given=given))
            yield kind, structs


def _call(hook: str, function: Callable[[], Any]) -> Any:
    """Call a `register_` implementation; whatever it raises, SystemExit too, is the plugin's mistake."""
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Not its words, which may quote a secret of the environment.
        raise _AtStage("register", text("{hook} failed: {what}", hook=hook, what=where(error))) from error


def _problem(plugin: str, error: BaseException) -> Problem:
    if isinstance(error, _AtStage):
        stage, what = error.stage, error.message
    elif isinstance(error, Refused):
        stage, what = "register", error.message
    else:
        stage, what = "register", text("its registration failed: {what}", what=where(error))
    hint = text(
        "Mend the plugin or ask its vendor, then restart; `zhike plugin check {plugin}` tells whether it is well",
        plugin=plugin,
    )
    return Problem(plugin=plugin, stage=stage, text=what, hint=hint)
