"""The shape of the code: small modules, small functions, a core that stays within its budget."""

from __future__ import annotations

import ast
import statistics
import tomllib
from pathlib import Path

import pytest

from workspace import CORE, ROOT, extensions, packages, product_modules, tracked

MODULES = product_modules()
PLUGIN = {
    *("__init__.py", "py.typed", "plugin.py", "hookspecs.py", "tables.py", "schemas.py", "service.py", "api.py"),
    *("pages.py", "jobs.py", "conditions.py", "actions.py", "command.py", "piccolo_app.py"),
}
CONNECTOR = {"__init__.py", "py.typed", "plugin.py", "client.py", "mapping.py", "config.py", "fake.py"}
FOLDERS = {"piccolo_migrations", "templates", "static", "locale", "data"}
# What a distribution below plugins/ is that need not look like a plugin.
PROVIDERS = {"zhike_embedded": "provides the core's database and implements no hook"}
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
    # zhike.testing is what tests are made of, and runs nowhere else. The figure is explained in docs/decisions/0005.
    counted = [path for path in MODULES if CORE in path.parents and CORE / "testing" not in path.parents]
    assert sum(code_lines(path) for path in counted) <= 35_000


def test_the_tools_know_every_package() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    names = {path.name for path in packages()}
    plugins = {path.name for path in extensions()}
    assert {"zhike", "zhike_embedded", "zhike_imports", "zhike_bench", "zhike_limits"} <= names
    assert names <= set(tools["ruff"]["lint"]["isort"]["known-first-party"])
    assert {ROOT / path for path in tools["mypy"]["mypy_path"]} == {path.parent for path in packages()}
    linter = tools["importlinter"]
    assert set(linter["root_packages"]) == names
    forbidden = {tuple(one["source_modules"]): one for one in linter["contracts"] if one["type"] == "forbidden"}
    assert set(forbidden["zhike",]["forbidden_modules"]) == names - {"zhike"}
    rules = [one for sources, one in forbidden.items() if set(sources) == plugins]
    assert [one for one in rules if {"zhike._host", "zhike._engine"} <= set(one["forbidden_modules"])]
    assert [set(one["modules"]) for one in linter["contracts"] if one["type"] == "independence"] == [plugins]


def misplaced(group: str, plugin: str, files: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return those files of a plugin or connector that have no place in one.

    Args:
        group: Folder of the workspace.
        plugin: Folder of the distribution in it, which is the plugin's name.
        files: Paths from there, in parts.
    """
    package = f"zhike_{plugin}"
    allowed = PLUGIN if group == "plugins" else CONNECTOR

    def has_place(parts: tuple[str, ...]) -> bool:
        match parts:
            case ("README.md" | "pyproject.toml",) | ("tests", _, *_):
                return True
            case ("src", first, *_) if first == package and package in PROVIDERS:
                return True
            case ("src", first, file) if first == package:
                return file in allowed
            case ("src", first, "templates" | "static", second, _, *_) if first == package:
                return second == plugin
            case ("src", first, folder, file) if first == package and folder not in FOLDERS:
                # What the files above are made of, where it is too much for them.
                return folder.isidentifier() and file.endswith(".py") and file not in allowed - {"__init__.py"}
            case ("src", first, folder, _, *_) if first == package:
                return folder in FOLDERS - {"templates", "static"}
        return False

    return [parts for parts in files if not has_place(parts)]


@pytest.mark.parametrize("group", ["plugins", "contrib_connectors"])
def test_every_plugin_has_the_same_file_names(group: str) -> None:
    folders = sorted({path.relative_to(ROOT / group).parts[0] for path in tracked() if ROOT / group in path.parents})
    for plugin in folders:
        folder = ROOT / group / plugin
        files = [path.relative_to(folder).parts for path in tracked() if folder in path.parents]
        assert not misplaced(group, plugin, files)
        assert {("README.md",), ("pyproject.toml",), ("src", f"zhike_{plugin}", "__init__.py")} <= set(files)
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["name"] == f"zhike-{plugin}"


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("README.md", True),
        ("tests/test_tags_rules.py", True),
        ("src/zhike_tags/plugin.py", True),
        ("src/zhike_tags/piccolo_migrations/tags_0001_first.py", True),
        ("src/zhike_tags/command.py", True),
        ("src/zhike_tags/rules/__init__.py", True),
        ("src/zhike_tags/rules/words.py", True),
        ("src/zhike_tags/templates/tags/list.html", True),
        ("src/zhike_tags/locale/zh_CN/LC_MESSAGES/zhike_tags.po", True),
        ("src/zhike_tags/data/presets.json", True),
        ("setup.cfg", False),
        ("src/tags.py", False),
        ("src/zhike_other/plugin.py", False),
        ("src/zhike_tags/helpers.py", False),
        ("src/zhike_tags/client.py", False),
        ("src/zhike_tags/rules/plugin.py", False),
        ("src/zhike_tags/rules/words.json", False),
        ("src/zhike_tags/rules/words/verbs.py", False),
        ("src/zhike_tags/templates/list.html", False),
        ("src/zhike_tags/static/other/list.css", False),
    ],
)
def test_a_file_without_a_place_is_found(path: str, right: bool) -> None:
    parts = tuple(path.split("/"))
    assert (misplaced("plugins", "tags", [parts]) == []) is right
