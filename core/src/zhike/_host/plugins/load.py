"""Loading all plugins of a process: one that cannot be loaded is left out, and the database is told why."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from piccolo.table import Table

from zhike._host.db import plugins as migrations
from zhike._host.db.apps import App
from zhike._host.plugins import trial, versions
from zhike._host.plugins.discover import Candidate, discover
from zhike._host.plugins.importing import failure, import_plugin
from zhike._host.plugins.look import fingerprint, look
from zhike.desk import warnings
from zhike.errors import Refused
from zhike.orm import Database
from zhike.platform import Assembled, LoadedPlugin, Platform, Problem, assemble, core_plugins
from zhike.plugins import service
from zhike.plugins.circuits import StoredCircuits
from zhike.settings import Settings

logger = logging.getLogger("zhike.plugins")


@dataclass
class Loading:
    """How far the plugins of a process have come.

    Args:
        generation: The number of the set of plugins.
        candidates: All that are installed, by name.
        known: What the database knew of them before.
        strict: Whether a problem raises instead of being noted.
        codes: Fingerprints of the code of those that are enabled, by name.
        problems: What is wrong with some, by name.
        fingerprints: Of the code of those that were tried, now or earlier, by name; `!` before it says in vain.
        modules: Those that are imported, by name.
        tables: Their tables, by the same name.
    """

    generation: int
    candidates: Mapping[str, Candidate]
    known: Mapping[str, service.Known]
    strict: bool
    codes: Mapping[str, str]
    problems: dict[str, Problem] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    tables: dict[str, list[type[Table]]] = field(default_factory=dict)

    def note(self, *problems: Problem) -> None:
        """Leave plugins out.

        Raises:
            Refused: If it is strict.
        """
        for problem in problems:
            if self.strict:
                raise Refused(problem.told)
            logger.error("left out: plugin %s", problem.told)
            self.problems[problem.plugin] = problem
            self.modules.pop(problem.plugin, None)

    @property
    def enabled(self) -> list[Candidate]:
        """The plugins that are to run and nothing is wrong with so far; in a quarrel the first one wins."""
        return sorted(
            (each for name, each in self.candidates.items() if name in self.codes and name not in self.problems),
            key=lambda each: (not _proven(self.known[each.name]), each.name),
        )

    def app(self, name: str) -> App:
        """Return where an imported plugin's migrations are: in `piccolo_migrations` beside its module, if any."""
        file = self.modules[name].__file__
        if file is None or self.candidates[name].file:
            return App(name, Path(os.devnull))  # a file of the hooks folder has none
        return App(name, Path(file).parent / "piccolo_migrations")

    def assemble(self, **options: Any) -> Assembled:
        """Put the imported plugins together with the core's own, and note what cannot be registered."""
        assembled = assemble({**core_plugins(), **self.modules}, **options)
        self.note(*assembled.problems)
        return assembled


async def load(
    settings: Settings,
    db: Database,
    *,
    threads: bool,
    strict: bool = False,
    trial_seconds: float = trial.SECONDS,
) -> Platform:
    """Load all plugins that are installed, enabled and well, and record which are not, and why.

    Args:
        settings: The deployment's settings.
        db: Its database, with the core's migrations run.
        threads: Whether synchronous hook implementations run in a thread.
        strict: Whether the first problem raises instead.
        trial_seconds: How long import and registration of a new or changed plugin may take.

    Raises:
        Refused: With `strict`, for the first problem.
        Unavailable: If the database cannot be used.
    """
    loading = await import_all(settings, db, strict=strict, trial_seconds=trial_seconds)
    circuits = StoredCircuits(db)
    await circuits.step()
    options = {"circuits": circuits, "threads": threads, "hook_seconds": settings.hook_seconds}
    assembled = loading.assemble(**options)
    if await _unready(loading, db, assembled):
        assembled = loading.assemble(**options)
    await record(loading, db)
    platform = Platform(
        settings=settings,
        db=db,
        hooks=assembled.hooks,
        registry=assembled.registry,
        plugins={name: _loaded(loading.candidates[name], module) for name, module in loading.modules.items()},
        problems=list(loading.problems.values()),
        generation=loading.generation,
        codes=loading.codes,
        look=functools.partial(look, settings.hooks),
        circuits=circuits,
    )
    for name in loading.modules:
        db.bind(loading.tables[name])
    circuits.announce = lambda topic: platform.announce(topic)  # noqa: PLW0108  # it is replaced later
    await platform.customer_fields.renew()
    await platform.config.renew()
    return platform


async def import_all(
    settings: Settings, db: Database, *, strict: bool = False, trial_seconds: float = trial.SECONDS
) -> Loading:
    """Do the first half of `load`: find, check, try and import plugins; nothing is registered or recorded."""
    found = discover(settings.hooks)
    async with db.connection() as connection:
        # Before the plugins' states: a change after it is seen by the watch, at worst once too often.
        generation = await service.generation(connection)
        known = await service.see(connection, found.installed)
    codes = {
        name: fingerprint(each) for name, each in found.candidates.items() if name in known and known[name].enabled
    }
    loading = Loading(generation, found.candidates, known, strict, codes)
    loading.note(*found.problems.values())
    loading.note(*(problem for each in loading.enabled if (problem := versions.check(each)) is not None))
    await _try(loading, trial_seconds)
    for candidate in loading.enabled:
        _import(loading, candidate)
    return loading


async def record(loading: Loading, db: Database) -> None:
    """Tell the database how it went with each plugin."""
    async with db.connection() as connection:
        for name, known in loading.known.items():
            if name not in loading.candidates:
                continue
            problem = loading.problems.get(name)
            if not known.enabled and problem is None:
                # It was not looked at, except for whether it could be found.
                problem = known.problem if known.problem and known.problem.stage != "discover" else None
                claims, code = known.claims, known.fingerprint
            else:
                claims = getattr(loading.modules.get(name), "CLAIMS", known.claims)
                code = loading.fingerprints.get(name) or None
            await service.record(connection, name, problem, claims=claims, fingerprint=code)
            if known.enabled and problem is not None:
                await warnings.plugin_left_out(connection, problem, loading.generation)


async def _try(loading: Loading, seconds: float) -> None:
    """Try new and changed code; what hung or crashed is not tried again, which would cost each start its time."""
    new = []
    for candidate in loading.enabled:
        code = loading.fingerprints[candidate.name] = loading.codes[candidate.name]
        known = loading.known[candidate.name]
        if known.fingerprint == f"!{code}" and known.problem is not None:
            loading.fingerprints[candidate.name] = known.fingerprint
            loading.note(known.problem)
        elif known.fingerprint != code:
            new.append(candidate)
    for name, problem in (await trial.run(new, seconds=seconds)).items():
        # What was told soon is tried again: what it lacks may be there by then.
        loading.fingerprints[name] = f"!{loading.fingerprints[name]}" if problem.stage == "trial" else ""
        loading.note(problem)


def _import(loading: Loading, candidate: Candidate) -> None:
    try:
        module = import_plugin(candidate)
        loading.tables[candidate.name] = _tables(module)
        loading.modules[candidate.name] = module
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        loading.note(failure(candidate, error))


async def _unready(loading: Loading, db: Database, assembled: Assembled) -> bool:
    """Leave out plugins whose tables are not what they need; return whether there were any."""
    found = []
    async with db.connection() as connection:
        for name in loading.modules:
            problem = await migrations.unready(connection, loading.app(name), assembled.registry.rows_of(name))
            found += [problem] if problem else []
    loading.note(*found)
    return bool(found)


def _tables(module: ModuleType) -> list[type[Table]]:
    """Import the Piccolo tables of a plugin, which lie in `tables.py` beside it."""
    if not module.__package__ or not importlib.util.find_spec(f"{module.__package__}.tables"):
        return []
    beside = importlib.import_module(f"{module.__package__}.tables")
    tables = [getattr(beside, name) for name in beside.__all__]
    if not all(isinstance(each, type) and issubclass(each, Table) for each in tables):
        raise AttributeError(f"{beside.__name__}.__all__ names what is no table")
    return tables


def _proven(known: service.Known) -> bool:
    return known.fingerprint is not None and known.problem is None


def _loaded(candidate: Candidate, module: ModuleType) -> LoadedPlugin:
    return LoadedPlugin(
        name=candidate.name,
        distribution=candidate.distribution or candidate.file,
        version=candidate.version,
        module=module,
    )
