"""The database of a data folder: an installed distribution provides it where ZHIKE_DATABASE_URL names no server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from zhike.errors import Refused
from zhike.i18n import text

GROUP = "zhike.databases"


class Provider(Protocol):
    """What an entry point of the group `zhike.databases` names: an object, such as a module, with two functions."""

    def attach(self, data: Path) -> AbstractContextManager[str]:
        """Make and start the database of a data folder, as far as needed.

        Args:
            data: The folder; it is made if missing.

        Yields:
            The URL of the database, which runs until the block ends.

        Raises:
            Refused: If it cannot run there; the message says what mends it.
        """

    def serve_lock(self, data: Path) -> AbstractContextManager[None]:
        """Be the only server process on a data folder until the block ends.

        Args:
            data: The folder; it is made if missing.

        Raises:
            Refused: If another one is running.
        """


def provider() -> Provider:
    """Return the installed provider.

    Raises:
        Refused: If there is none.
    """
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    if not found:
        raise Refused(
            text(
                "There is no database: run `pip install zhike-embedded` for one in the data folder, or set "
                "ZHIKE_DATABASE_URL to a PostgreSQL server"
            )
        )
    chosen: Provider = found[0].load()
    return chosen


def attach(data: Path) -> AbstractContextManager[str]:
    """Use the database of a data folder (`Provider.attach`)."""
    return provider().attach(data)


def serve_lock(data: Path) -> AbstractContextManager[None]:
    """Be the only server process on a data folder (`Provider.serve_lock`)."""
    return provider().serve_lock(data)
