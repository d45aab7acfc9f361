"""Themes: where templates and static files are looked for, and the addresses static files are served at."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from zhike.errors import Refused
from zhike.i18n import text

DEFAULT = "default"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
_PACKED = {"text/javascript", "text/css", "image/svg+xml", "application/json"}


@dataclass(frozen=True)
class Place:
    """A folder with templates and static files.

    Args:
        owner: Whose it is: `site`, a theme, a plugin, or `core`.
        folder: Holds `templates` and `static`.
        module: A theme's package, or None.
    """

    owner: str
    folder: Path
    module: Any = None


def themes(name: str) -> list[Place]:
    """Return a theme and those it builds on; the default theme is below all others.

    Args:
        name: The entry point in the group `zhike.themes`; it names a package with the folders `templates` and
            `static`, and perhaps `PARENT`, the name of the theme it builds on.

    Raises:
        Refused: If one of them is not installed or cannot be used.
    """
    found: list[Place] = []
    while name:
        entries = entry_points(group="zhike.themes", name=name)
        if not entries:
            known = ", ".join(sorted(entry_points(group="zhike.themes").names)) or "-"
            raise Refused(
                text("There is no theme {name!r}; installed: {known}. See ZHIKE_THEME", name=name, known=known)
            )
        try:
            module = importlib.import_module(next(iter(entries)).value)
            folder = Path(str(module.__file__)).parent
            getattr(module, "require_assets", bool)()
        except Exception as error:  # a theme may raise anything
            raise Refused(
                text(
                    "The theme {name!r} cannot be loaded: {error}", name=name, error=str(error) or type(error).__name__
                )
            ) from error
        found.append(Place(name, folder, module))
        parent = str(getattr(module, "PARENT", "" if name == DEFAULT else DEFAULT))
        name = parent if parent not in {place.owner for place in found} else ""
    return found


@dataclass
class StaticFile:
    """A static file, ready to be sent.

    Args:
        content: Its bytes.
        media_type: What they are.
        packed: The same, compressed; None where that is no use.
    """

    content: bytes
    media_type: str
    packed: bytes | None


@dataclass
class Statics:
    """The static files of all owners; an owner's address changes when any of its files does.

    Args:
        places: Where they are.
        dev: Whether files are read again each time.
    """

    places: Sequence[Place]
    dev: bool = False
    _files: dict[tuple[str, str], StaticFile] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def folders(self) -> dict[str, Path]:
        """Owner to folder; a plugin's files lie in a folder of its name, so that none can be taken for another's."""
        found = {}
        for place in self.places:
            folder = place.folder / "static"
            own = folder / place.owner
            found[place.owner] = own if place.module is None and own.is_dir() else folder
        return found

    def address(self, owner: str, path: str) -> str:
        """Return where a static file is served."""
        if owner not in self._hashes or self.dev:
            digest = hashlib.sha256()
            for name, file in sorted(_walk(self.folders[owner])):
                digest.update(f"{name}\0{file.stat().st_size}\0".encode())
                # In development it is asked for with every page.
                told = str(file.stat().st_mtime_ns).encode() if self.dev else hashlib.sha256(file.read_bytes()).digest()
                digest.update(told)
            self._hashes[owner] = digest.hexdigest()[:16]
        return f"/static/{owner}/{self._hashes[owner]}/{path}"

    def find(self, owner: str, path: str) -> StaticFile | None:
        """Return a static file, or None if there is none."""
        known = self._files.get((owner, path))
        if known is not None and not self.dev:
            return known
        folder = self.folders.get(owner)
        if folder is None or ".." in path.split("/") or path.startswith("/") or "\\" in path:
            return None
        file = folder / path
        media_type = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
        if media_type is None or not file.is_file():
            return None
        content = file.read_bytes()
        packed = gzip.compress(content, 9, mtime=0) if media_type in _PACKED else None
        self._files[owner, path] = found = StaticFile(content, media_type, packed)
        return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file.relative_to(folder)), file
