"""Importing one plugin, and telling what went wrong with it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import zhike
from zhike._host.plugins.discover import Candidate
from zhike._host.plugins.look import code_of
from zhike.i18n import add_catalog, text
from zhike.platform import Problem

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
    if missing.startswith("zhike_hooks_"):
        hint = text("Files of the hooks folder cannot import each other; install what they share as a module")
    elif missing and candidate.file:
        hint = text("Install what provides the module {module}, then restart the server", module=missing)
    elif missing and missing != candidate.module.partition(".")[0]:
        hint = text(
            "Install the module {module}, such as with `pip install {distribution}`, which fetches what that needs",
            module=missing,
            distribution=candidate.distribution,
        )
    return candidate.problem("import", text("its import failed: {error}", error=what), hint)
