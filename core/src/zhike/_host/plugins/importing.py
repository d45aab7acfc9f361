"""Importing one plugin, telling what went wrong with it, and knowing its code again."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import zhike
from zhike._host.plugins.discover import Candidate
from zhike.i18n import add_catalog, text
from zhike.platform import Problem

_CODE = {".py", ".pyc", ".so", ".pyd"}
# What these say is about code, while the message of any other error may quote a secret of the environment.
_TELLING = {ImportError, ModuleNotFoundError, SyntaxError, IndentationError, TabError, NameError, AttributeError}


def import_plugin(candidate: Candidate) -> ModuleType:
    """Import a plugin's module with its catalogs; a file of the hooks folder becomes `zhike_hooks_<name>`.

    Raises:
        BaseException: Whatever the plugin's code raises.
    """
    for folder in code_of(candidate):
        if (folder / "locale").is_dir():
            add_catalog(folder / "locale")
    if not candidate.file:
        return importlib.import_module(candidate.module)
    name = f"zhike_hooks_{candidate.name}"
    spec = importlib.util.spec_from_file_location(name, candidate.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{candidate.file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # msgspec and dataclasses look annotations up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def failure(candidate: Candidate, error: BaseException) -> Problem:
    """Return the problem of a plugin whose import raised `error`."""
    core = (str(Path(zhike.__file__).parent), importlib.__file__, "<frozen")
    own = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith(core)]
    what = type(error).__name__ + (f": {error}" if type(error) in _TELLING else "")
    if own:
        what += f" ({Path(own[-1].filename).name}:{own[-1].lineno})"
    hint = None
    missing = str(error.name or "").partition(".")[0] if type(error) is ModuleNotFoundError else ""
    if missing and candidate.file:
        hint = text("Install what provides the module {module}, then restart the server", module=missing)
    elif missing and missing != candidate.module.partition(".")[0]:
        hint = text(
            "Install the module {module}, such as with `pip install {distribution}`, which fetches what that needs",
            module=missing,
            distribution=candidate.distribution,
        )
    return candidate.problem("import", text("its import failed: {error}", error=what), hint)


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
