"""Finding out what a server would find wrong with one plugin, installed or not, without enabling it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from zhike._host.db import plugins as migrations
from zhike._host.plugins import trial, versions
from zhike._host.plugins.discover import GROUP, Candidate, discover, name_problem
from zhike._host.plugins.importing import failure, import_plugin
from zhike._host.plugins.load import import_all
from zhike.errors import NotFound, Refused
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Problem
from zhike.settings import Settings


def find(settings: Settings, which: str) -> tuple[Candidate, Problem | None]:
    """Return a plugin and what is wrong with it at first sight.

    Args:
        settings: The deployment's settings.
        which: The name of an installed plugin, a file as in the hooks folder, or the folder of a distribution.

    Raises:
        NotFound: If there is no such plugin.
        Refused: If the folder's pyproject.toml declares no plugin.
    """
    found = discover(settings.hooks)
    if which in found.candidates:
        return found.candidates[which], found.problems.get(which)
    path = Path(which)
    if path.suffix == ".py" and path.is_file():
        candidate = Candidate(name=path.stem, file=str(path.absolute()))
    elif (path / "pyproject.toml").is_file():
        candidate = _of_folder(path.absolute())
    else:
        raise NotFound(text("{which} is neither an installed plugin nor a file or folder with one", which=which))
    return candidate, name_problem(candidate)


def _of_folder(folder: Path) -> Candidate:
    try:
        project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name, module = next(iter(project["entry-points"][GROUP].items()))
        version = str(project.get("version", ""))
        requires = tuple(project.get("dependencies", ()))
        candidate = Candidate(
            name=name, module=module, distribution=project["name"], version=version, requires=requires
        )
    except (ValueError, LookupError, StopIteration, AttributeError, TypeError):
        message = text('{file} declares no plugin in [project.entry-points."{group}"]', file=folder, group=GROUP)
        raise Refused(message) from None
    # Its code comes from there, not from where another version of it may be installed.
    sys.path.insert(0, str(folder / "src" if (folder / "src").is_dir() else folder))
    return candidate


async def check(settings: Settings, db: Database, candidate: Candidate) -> Problem | None:
    """Return the first thing that is wrong with a plugin, or None; enables and changes nothing.

    It is registered beside the plugins that are enabled, and its migrations are run and taken back.

    Args:
        settings: The deployment's settings.
        db: Its database, with the core's migrations run.
        candidate: The plugin.
    """
    name = candidate.name
    problem = versions.check(candidate) or (await trial.run([candidate])).get(name)
    if problem is not None:
        return problem
    loading = await import_all(settings, db)
    loading.modules.pop(name, None)
    loading.problems.pop(name, None)
    loading.candidates = {**loading.candidates, name: candidate}
    try:
        loading.modules[name] = import_plugin(candidate)
    except Exception as error:
        return failure(candidate, error)
    assembled = loading.assemble()
    if name in loading.problems:
        return loading.problems[name]
    return await migrations.rehearse(db, loading.app(name), assembled.registry.rows_of(name))
