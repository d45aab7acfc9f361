"""Who may import whom, and that importing does nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workspace import CORE, ROOT, extensions, modules_of

MODULES = [
    ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
    for package in [CORE, *extensions()]
    for path in modules_of(package)
]


def test_import_contracts() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_package_itself_is_cheap_to_import() -> None:
    heavy = ["litestar", "piccolo", "asyncpg", "jinja2", "babel", "phonenumbers", "argon2", "msgspec"]
    code = f"import sys, zhike; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_module_does_anything_when_it_is_imported() -> None:
    """Every module imports with sockets, subprocesses and threads forbidden and an empty environment."""
    code = f"""
import importlib, socket, subprocess, threading
def forbid(*args, **kwargs):
    raise AssertionError("an import opened a socket, started a process or a thread")
socket.socket.connect = subprocess.Popen.__init__ = threading.Thread.start = forbid
for name in {MODULES!r}:
    importlib.import_module(name)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.parametrize("name", ["zhike.i18n", "zhike.errors", "zhike.settings", "zhike.clock"])
def test_the_small_modules_stay_light(name: str) -> None:
    code = f"import sys, {name}; print([m for m in ('litestar', 'piccolo', 'asyncpg', 'babel') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
