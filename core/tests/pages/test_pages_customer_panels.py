"""The panels on the page of a customer: each loads by itself, and whatever a plugin does, the page stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zhike.settings import Settings
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

PLUGIN = """
from zhike.contracts import Panel
from zhike.hooks import hookimpl

NAME = {name!r}


async def load(call, customer_id):
    {body}


@hookimpl
def register_panels():
    what = {{"template": {template!r}, "permission": "customers.read", "place": {place!r}}}
    return [Panel(key=NAME + ".card", label="Card of " + NAME, load=load, **what)]
"""
GOOD = 'async with call.db.connection() as connection:\n        return {"count": await connection.fetchval("SELECT 1")}'
BODIES = {
    "raising": "raise RuntimeError('a secret 13800138000')",
    "leaving": "raise SystemExit",
    "hanging": "import asyncio; await asyncio.sleep(60)",
    "rubbish": "return 7",
    "lacking": "return {}",
}


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve plugins with a panel each; five of them fail in their own ways."""
    folder = tmp_path_factory.mktemp("hooks")
    for number in range(7):
        BODIES[f"good{number}"] = GOOD
    for number, (name, body) in enumerate(BODIES.items()):
        place = ("customer.side", "customer.main", "customer.header")[number % 3]
        source = PLUGIN.format(name=name, body=body, template=f"{name}/card.html", place=place)
        (folder / f"{name}.py").write_text(source, "utf-8")
    return folder


@pytest.fixture
def cards(settings: Settings) -> None:
    """Templates of the panels: a file of the hooks folder has none of its own, so they stand in the site folder."""
    for name in BODIES:
        file = settings.data / "site" / "templates" / name / "card.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<p>{name}: {{{{ count }}}}</p>", "utf-8")


@pytest.fixture
async def fang(record: Record) -> int:
    """A customer."""
    [event] = await record({"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"name": "王芳"}})
    assert event.customer_id is not None
    return event.customer_id


@pytest.mark.usefixtures("cards")
async def test_twelve_panels_load_by_themselves_and_none_breaks_the_page(
    visit: Visits, fang: int, query_counter: QueryCounter
) -> None:
    admin = await visit("admin")
    await admin.get(f"/customers/{fang}")
    query_counter.reset()
    page = (await admin.get(f"/customers/{fang}")).text
    assert query_counter.count <= 15, query_counter.statements
    assert page.count(f'hx-get="/customers/{fang}/panels/') == 12 + page.count("/panels/pages.") + page.count(
        "/panels/tagging."
    )
    assert "王芳" in page
    for path in ("/timeline", "/edit", "/relations", "/history"):
        query_counter.reset()
        await admin.get(f"/customers/{fang}{path}")
        assert query_counter.count <= 15, path
    query_counter.reset()
    good = await admin.part(f"/customers/{fang}/panels/good0.card")
    assert good.text == "<p>good0: 1</p>"
    assert query_counter.count <= 8
    assert "<h1" in (await admin.get(f"/customers/{fang}/panels/good0.card")).text
    for name in ("raising", "leaving", "rubbish", "lacking"):
        failed = await admin.part(f"/customers/{fang}/panels/{name}.card")
        assert failed.status_code == 200, name
        assert "Try again" in failed.text, name
        assert "secret" not in failed.text
        assert f'hx-get="/customers/{fang}/panels/{name}.card"' in failed.text
    assert (await admin.part(f"/customers/{fang}/panels/nothing.card")).status_code == 404


@pytest.mark.usefixtures("cards")
async def test_a_panel_that_hangs_is_given_up(visit: Visits, fang: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhike.pages import panels

    monkeypatch.setattr(panels, "BUDGETS", {"provide": 0.05})
    admin = await visit("admin")
    failed = await admin.part(f"/customers/{fang}/panels/hanging.card")
    assert failed.status_code == 200
    assert "Try again" in failed.text
