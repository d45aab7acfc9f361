"""Begins new plugins: each folder beside this module is one kind of them, written out with the plugin's name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from packaging.version import Version

from zhike import __version__
from zhike._host.plugins.discover import Candidate, discover, name_problem
from zhike.errors import Refused
from zhike.i18n import text

Kind = Literal["plugin", "connector", "hooks", "theme"]
SUFFIX = ".tmpl"  # what ends with .py would be taken for code of the core


def write(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write the files of a new plugin.

    Args:
        name: The plugin's name.
        kind: `plugin` and `connector` are distributions of their own, in a new folder `zhike-<name>`, and so is
            `theme`, in `zhike-theme-<name>`; `hooks` is a single file for the hooks folder.
        folder: Where to.

    Returns:
        What was written.

    Raises:
        Refused: If no plugin can have that name, there is something already, or nothing can be written there.
    """
    problem = name_problem(Candidate(name=name))
    if problem is not None:
        raise Refused(problem.text)
    if (installed := discover(None).candidates.get(name)) is not None:
        raise Refused(text("{name} is the name of a plugin of {source}", name=name, source=installed.source))
    root = folder / {"hooks": "", "theme": f"zhike-theme-{name}"}.get(kind, f"zhike-{name}")
    templates = Path(__file__).parent / kind
    files = {
        root / _fill(path.relative_to(templates).as_posix(), name).removesuffix(SUFFIX): path
        for path in sorted(templates.rglob(f"*{SUFFIX}"))
    }
    try:
        for path in [root, *files] if root != folder else files:
            if path.exists():
                raise Refused(text("{path} exists already", path=path))
        for path, template in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_fill(template.read_text(encoding="utf-8"), name), encoding="utf-8")
    except OSError as error:
        raise Refused(text("{folder} cannot be written to: {reason}", folder=folder, reason=error.strerror)) from error
    return list(files)


def _fill(template: str, name: str) -> str:
    words = {
        "NAME": name,
        "UPPER": name.upper(),
        "TITLE": name.capitalize(),
        "REQUIRED": required(Version(__version__)),
    }
    for word, meaning in words.items():
        template = template.replace(word, meaning)
    return template


def required(version: Version) -> str:
    """Return which versions of Zhike a plugin made for `version` works with; the next that may break it is not."""
    following = f"{version.major + 1}" if version.major else f"0.{version.minor + 1}"
    return f">={version},<{following}"
