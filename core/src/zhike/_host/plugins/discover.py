"""Which plugins are installed, learnt without running any of their code: from entry points and the hooks folder."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from zhike._shown import printable
from zhike.i18n import Text, text
from zhike.platform import CORE, Problem
from zhike.plugins.service import Installed

GROUP = "zhike.plugins"
# A plugin's name begins its paths, tables and commands, so it must not be how the core's own begin.
_WORDS = """
admin api app audit backup bench calendar calendars check circuit consumer consumers core customer data dead
deadletters demo dev duplicate duplicates erased erasures event export field file files health hooks import job jobs
keys log login logout merges metrics migrate migration notices permissions plugin process profile progress restore
role roles saved schedule schedules schema search secret secrets serve session sessions setting settings start static
system task tasks teams token tokens user users vault views worker zhike
"""
RESERVED = frozenset(CORE) | frozenset(_WORDS.split())
_NAME = re.compile(r"[a-z][a-z0-9]{0,29}")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that is installed.

    Args:
        name: Its name.
        module: The module to import; empty if `file` is.
        file: The file of the hooks folder; empty if it comes with a distribution.
        distribution: The distribution's name, or "".
        version: The distribution's version, or "".
        requires: What the distribution says it needs, one `Requires-Dist` each.
    """

    name: str
    module: str = ""
    file: str = ""
    distribution: str = ""
    version: str = ""
    requires: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return f"{self.distribution} {self.version}".rstrip() or str(self.place)

    @property
    def place(self) -> Path:
        """The file, for people."""
        return Path(printable(self.file, 5000))

    @property
    def installed(self) -> Installed:
        """What the database is told of it."""
        return Installed(name=self.name, distribution=self.distribution, version=self.version)

    def problem(self, stage: str, what: Text, hint: Text | None = None) -> Problem:
        """Return what is wrong with it; without `hint` another version of its code is what mends it."""
        return Problem(plugin=self.name, stage=stage, text=what, hint=hint or self._hint())

    def _hint(self) -> Text:
        if self.file:
            return text("Mend {file} or move it elsewhere, then restart the server", file=self.place)
        return text(
            "Install a version that works with `pip install --upgrade {distribution}`, or switch it off with "
            "`zhike plugin disable {plugin}`",
            distribution=self.distribution,
            plugin=self.name,
        )


class Found(msgspec.Struct, frozen=True):
    """What discovery has found.

    Args:
        candidates: All plugins, by name; of those given twice one of the two.
        problems: Why some of them cannot be used, by name.
    """

    candidates: dict[str, Candidate]
    problems: dict[str, Problem]

    @property
    def installed(self) -> list[Installed]:
        """What the database is told of; what can be no plugin is not."""
        return [each.installed for each in self.candidates.values() if name_problem(each) is None]


def discover(hooks: Path | None) -> Found:
    """Find the installed plugins; whatever is wrong with one is its own problem and raises nothing.

    Args:
        hooks: The folder whose `*.py` files are plugins of one file each; names that begin with `_` or `.` are
            left out. It need not exist.
    """
    found = Found({}, {})
    # Distributions come before files: one stays as it is, running or disabled, whatever lies in the folder.
    for candidate, problem in [*_from_distributions(), *_from_folder(hooks)]:
        first = found.candidates.setdefault(candidate.name, candidate)
        if first is candidate:
            wrong = problem or name_problem(candidate)
        elif candidate.file:
            refused = msgspec.structs.replace(candidate, name=f"{candidate.name}.py")
            found.candidates[refused.name], wrong = refused, _twice(first, refused)
        else:
            wrong = _twice(first, candidate)
        if wrong is not None:
            found.problems.setdefault(wrong.plugin, wrong)
    return found


_Finding = tuple[Candidate, Problem | None]


def _from_distributions() -> Iterator[_Finding]:
    seen = set()
    for distribution in importlib.metadata.distributions():
        folder = Path(str(getattr(distribution, "_path", "")))
        try:
            findings = list(_entries(distribution))
        except Exception as error:  # metadata that cannot be read fails in as many ways as there are
            yield _unreadable(folder, error)
            continue
        # As for imports, what comes later on sys.path is hidden by its namesake.
        name = canonicalize_name(findings[0][0].distribution) if findings else ""
        if name not in seen:
            yield from findings
        seen.add(name)


def _entries(distribution: importlib.metadata.Distribution) -> Iterator[_Finding]:
    if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
        return
    metadata = distribution.metadata
    name, version = _clean(metadata["Name"] or ""), _clean(metadata["Version"] or "")
    if not name or not version:
        raise ValueError("no METADATA with a name and a version")
    requires = tuple(distribution.requires or ())
    for entry in distribution.entry_points.select(group=GROUP):
        candidate = Candidate(
            name=_clean(entry.name), module=entry.value, distribution=name, version=version, requires=requires
        )
        problem = None
        if not _MODULE.fullmatch(entry.value):
            problem = candidate.problem(
                "discover", text("its entry point names {value!r}; expected a module", value=entry.value)
            )
        yield candidate, problem


def _unreadable(folder: Path, error: Exception) -> _Finding:
    name = _clean(folder.name.removesuffix(".dist-info").removesuffix(".egg-info"))
    name = name.rpartition("-")[0] or name
    candidate = Candidate(name=name, distribution=name)
    what = text(
        "the metadata of the distribution in {folder} cannot be read ({error})",
        folder=folder,
        error=type(error).__name__,
    )
    hint = text("Install it again with `pip install --force-reinstall {distribution}`", distribution=name)
    return candidate, candidate.problem("discover", what, hint)


def _from_folder(folder: Path | None) -> Iterator[_Finding]:
    if folder is None:
        return
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return
    except OSError as error:
        candidate = Candidate(name="hooks", file=str(folder))
        what = text("the hooks folder {folder} cannot be read: {reason}", folder=folder, reason=error.strerror)
        hint = text("Make it a folder that Zhike may read, or name another one in ZHIKE_HOOKS")
        yield candidate, candidate.problem("discover", what, hint)
        return
    for name in names:
        if name.endswith(".py") and not name.startswith((".", "_")):
            yield Candidate(name=_clean(name.removesuffix(".py")), file=str(folder / name)), None


def _clean(name: str) -> str:
    """Return a name that can be stored and shown."""
    return printable(name, 100)


def name_problem(candidate: Candidate) -> Problem | None:
    """Return why a plugin cannot have its name, or None."""
    if candidate.name in RESERVED:
        what = text("{name!r} is a word of the core and no name for a plugin", name=candidate.name)
    elif not _NAME.fullmatch(candidate.name):
        what = text(
            "{name!r} is no name for a plugin; expected one word of at most 30 lower-case letters and digits",
            name=candidate.name,
        )
    else:
        return None
    if candidate.file:
        hint = text("Rename {file}, then restart the server", file=candidate.place)
    else:
        hint = text(
            'Rename it in [project.entry-points."{group}"] of {distribution} and install that again',
            group=GROUP,
            distribution=candidate.distribution,
        )
    return candidate.problem("discover", what, hint)


def _twice(first: Candidate, second: Candidate) -> Problem:
    what = text(
        "{name} is the name of two plugins: of {first} and of {second}",
        name=first.name,
        first=first.source,
        second=second.source,
    )
    if second.file:
        hint = text("Rename {file}, then restart the server", file=second.place)
    else:
        hint = text("Remove one of them, such as with `pip uninstall {distribution}`", distribution=second.distribution)
    return second.problem("discover", what, hint)
