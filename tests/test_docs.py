"""Docs and code say the same."""

from __future__ import annotations

import importlib.util
import re

import pytest

from workspace import ROOT, product_modules, tracked
from zhike._host.cli.main import COMMANDS, cli
from zhike.access.roles import ROLES
from zhike.api import Route
from zhike.conditions.catalog import Fields
from zhike.conditions.check import check
from zhike.conditions.comparison import ATTRIBUTE_OPS
from zhike.conditions.decode import decode
from zhike.conditions.measured import MEASURES
from zhike.conditions.schema import Node
from zhike.platform import assemble, core_plugins
from zhike.settings import load
from zhike_imports.columns.mapping import TARGETS


def api_routes() -> list[Route]:
    return [route for _, route in assemble(core_plugins()).registry.routes]


MARKDOWN = [path for path in tracked() if path.suffix == ".md"]


def generated() -> dict[str, tuple[str, str]]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {path.name: (path.read_text(encoding="utf-8"), content) for path, content in module.pages().items()}


def test_generated_pages_are_current() -> None:
    stale = [name for name, (stored, made) in generated().items() if stored != made]
    assert not stale, "run `make docs`"


def test_every_route_is_in_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [route.path for route in api_routes() if f"## {route.method} /api/v1{route.path}\n" not in page]
    assert not missing


def test_every_setting_is_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    read = set()
    for path in product_modules():
        read.update(re.findall(r"[\"']((?:ZHIKE)_[A-Z_]+)[\"']", path.read_text(encoding="utf-8")))
    internal = {"ZHIKE_TEST_DATABASE_URL"}
    missing = sorted(name for name in read - internal if f"`{name}`" not in operations)
    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_imports_and_is_documented(name: str) -> None:
    command = cli.get_command(cli.make_context("zhike", [], resilient_parsing=True), name)
    assert command is not None
    assert command.name == name
    text = "".join(path.read_text(encoding="utf-8") for path in MARKDOWN)
    assert f"zhike {name}" in text


def test_roles_and_import_targets_are_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert not [role for role in ROLES if f"| `{role}` |" not in operations]
    imports = (ROOT / "docs" / "import.md").read_text(encoding="utf-8")
    named = {name for each in TARGETS.values() for name in (*each.single, *(f"{kind}:<" for kind in each.keyed))}
    assert not [target for target in named if f"`{target}" not in imports]


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: object) -> None:
    from pathlib import Path

    assert isinstance(path, Path)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_conditions_on_the_page_are_conditions() -> None:
    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    examples = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 5
    settings = load(None, {})
    for example in examples:
        check(decode(example.encode()), fields=Fields(assemble(core_plugins()).registry), settings=settings)
    said = set(re.findall(r"`(\w+)`", page))
    missing = {*ATTRIBUTE_OPS, *MEASURES, *(node.__struct_config__.tag for node in Node.__subclasses__())} - said
    assert not missing
