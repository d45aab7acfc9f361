"""The shape of the code: small modules, small functions, a core that stays within its budget."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

from workspace import CORE, ROOT, product_modules

MODULES = product_modules()
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_lines(path: Path) -> int:
    """Count lines without blanks, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            docstring = node.body[0]
            documented.update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in documented
        for number, line in enumerate(source.splitlines(), start=1)
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_is_small_and_says_what_it_is(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= 400
    docstring = ast.get_docstring(tree)
    assert docstring, "a module opens with one sentence"
    assert docstring.split("\n\n")[0].rstrip().endswith((".", ":")), docstring
    too_long = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60
    }
    assert not too_long


def test_the_median_module_is_short() -> None:
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES if path.name != "__init__.py"]
    assert statistics.median(sizes) <= 100


def test_the_core_stays_within_its_budget() -> None:
    assert sum(code_lines(path) for path in MODULES if CORE in path.parents) <= 9_000


def test_workspace_members_are_what_the_tools_check() -> None:
    config = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    inits = [path for path in MODULES if path.name == "__init__.py"]
    packages = {path.parent.name for path in inits if path.parent.parent.name in {"src", "limits"}}
    assert packages
    missing = [package for package in packages if f'"{package}"' not in config]
    assert not missing, "import-linter's root_packages leave these out"
