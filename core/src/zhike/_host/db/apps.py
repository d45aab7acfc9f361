"""The apps whose migrations make the core's tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zhike


@dataclass(frozen=True)
class App:
    """Something that owns tables.

    Args:
        name: Its name in the table `migration`, which is also the prefix of its migration files.
        folder: Where these files lie.
    """

    name: str
    folder: Path

    @property
    def migrations(self) -> list[str]:
        """The ids of its migrations in the order they run."""
        return sorted(file.stem for file in self.folder.glob(f"{self.name}_*.py"))


# In the order they are migrated.
CORE = tuple(
    App(name, Path(zhike.__file__).parent / name / "piccolo_migrations")
    for name in ("customers", "events", "access", "imports")
)
