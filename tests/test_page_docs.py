"""The example of docs/plugins/pages.md is a plugin with a page: it is loaded, and the page is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_examples import blocks

from workspace import ROOT

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.testing.visiting import Visits

# What the page leaves out because it is on others: what is listed, the permission, the registration.
AROUND = """
import types

import zhike.contracts as contracts
from zhike.hooks import hookimpl

query = types.SimpleNamespace(q="", sort="name", cursor=None)
next_cursor = ""


async def groups_of(db, actor):
    return TABLE


service = types.SimpleNamespace(groups=groups_of)


@hookimpl
def register_permissions():
    return [contracts.Permission(key="stamps.read", label="See", roles=("viewer",)),
            contracts.Permission(key="stamps.write", label="Change")]


@hookimpl
def register_pages():
    return PAGES


@hookimpl
def register_nav_items():
    return NAV
"""


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin `stamps` as the page says it, with what goes without saying."""
    folder = tmp_path_factory.mktemp("hooks")
    found = blocks(ROOT / "docs" / "plugins" / "pages.md")
    page, table = (block.content for block in found if block.language == "python")
    (folder / "stamps.py").write_text(page + AROUND + table.replace("\nTable(", "\nTABLE = Table("), "utf-8")
    template = folder / "templates" / "stamps" / "groups.html"
    template.parent.mkdir(parents=True)
    template.write_text(next(block.content for block in found if block.language == "html"), "utf-8")
    return folder


async def test_the_page_of_the_documentation_opens(platform: Platform, visit: Visits) -> None:
    assert not platform.problems
    viewer, admin = await visit("viewer"), await visit("admin")
    page = (await viewer.get("/stamps/groups")).text
    assert '<a href="/stamps/groups/1">VIP</a>' in page
    assert "1,280" in page
    assert "/stamps/groups/new" not in page
    assert "/stamps/groups/new" in (await admin.get("/stamps/groups")).text
    part = (await viewer.part("/stamps/groups")).text
    assert 'id="groups"' in part
    assert "<html" not in part
    assert 'href="/stamps/groups"' in (await viewer.get("/")).text
