"""Looking at the installed plugins without running any of their code: what is there, and whether it has changed."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from msgspec.structs import replace

import zhike
from zhike._host.plugins.discover import Candidate, discover
from zhike.plugins.service import Look

_CODE = {".py", ".pyc", ".so", ".pyd"}


def look(hooks: Path | None) -> Look:
    """Find the installed plugins and their code; arguments as for `discover`."""
    found = discover(hooks)
    installed = [replace(each, code=fingerprint(found.candidates[each.name])) for each in found.installed]
    return Look(installed, found.problems)


def fingerprint(candidate: Candidate) -> str:
    """Return a text that differs when the plugin's code, its version, the core's or Python's does."""
    digest = hashlib.sha256(repr((candidate, zhike.__version__, sys.version)).encode())
    for root in code_of(candidate):
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.suffix in _CODE and "__pycache__" not in path.parts:
                digest.update(f"\0{path.relative_to(root)}\0".encode() + _sha256(path))
    return digest.hexdigest()


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:  # its import will tell
        return b""


def code_of(candidate: Candidate) -> list[Path]:
    """Return the folders of the plugin's package, or its one file, without importing it; empty if there is none."""
    if candidate.file:
        return [Path(candidate.file)]
    try:
        # Of the outermost package, since finding an inner one would import those around it.
        spec = importlib.util.find_spec(candidate.module.partition(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return [Path(place) for place in places]
