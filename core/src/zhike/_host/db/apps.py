"""The apps whose migrations make the tables of the core and of plugins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import zhike


@dataclass(frozen=True)
class App:
    """Something that owns tables.

    Args:
        name: Its name in the table `migration`, which is also the prefix of its migration files.
        folder: Where these files lie; it need not exist.
    """

    name: str
    folder: Path

    @property
    def migrations(self) -> list[str]:
        """The ids of its migrations in the order they run."""
        return sorted(file.stem for file in self.folder.glob(f"{self.name}_*.py"))

    @property
    def misnamed(self) -> list[str]:
        """The names of Python files between its migrations that are not named `<name>_NNNN_slug.py`."""
        fits = re.compile(rf"{re.escape(self.name)}_[0-9]{{4,}}_\w+\.py|__init__\.py").fullmatch
        return sorted(file.name for file in self.folder.glob("*.py") if not fits(file.name))


# In the order they are migrated: what `plugins` makes is where the others record their customer rows.
CORE = tuple(
    App(name, Path(zhike.__file__).parent / name / "piccolo_migrations")
    for name in (
        "plugins",
        "config",
        "customers",
        "events",
        "access",
        "calendar",
        "consumers",
        "desk",
        "files",
        "jobs",
        "tasks",
    )
)
