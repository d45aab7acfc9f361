"""The page of exports: what can be chosen, what it says before, and that what comes is masked and scoped alike."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest

from zhike.access import own_roles
from zhike.access.actor import Actor
from zhike.access.own_roles import NewRole

if TYPE_CHECKING:
    import httpx

    from zhike.access.roles import Rule, Scope
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visitor, Visits

SHANGHAI = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}


@pytest.fixture
async def people(record: Record) -> None:
    """Three customers, two of them in one city."""
    await record(
        {"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"name": "王芳", "city": "上海"}},
        {"name": "order.paid", "identities": {"phone": "13900139000"}, "traits": {"name": "<script>x", "city": "北京"}},
        {"name": "app.login", "identities": {"external_id": "c3"}, "traits": {"name": "=张", "city": "上海"}},
    )


def rows(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))


def file_of(page: httpx.Response) -> str:
    found = re.search(r'href="(/exports/\w+/file[^"]*)"', page.text)
    assert found is not None
    return found[1].replace("&amp;", "&")


async def counted(visitor: Visitor, path: str) -> str:
    """Ask for the number of rows as the page does."""
    headers = {"hx-request-type": "partial", "hx-target": "div#export-count"}
    return (await visitor.get(path, headers=headers)).text


async def test_customers_of_a_list_are_exported_as_it_shows_them(
    visit: Visits, people: None, platform: Platform
) -> None:
    admin = await visit("admin")
    condition = json.dumps(SHANGHAI, ensure_ascii=False)
    query = {"condition": condition, "columns": ["phone", "attributes.city", "tags"], "sort": "name"}
    page = await admin.get("/exports/customers", params=query)
    assert "Nothing is masked" in page.text
    assert 'value="attribute:city" checked' in page.text
    assert "2 rows" in await counted(admin, str(page.url))
    assert rows(await admin.get(file_of(page)))[0] == ["phone", "attribute:city"]
    found = await admin.get("/exports/customers?q=13900139000&fields=name")
    assert "13900139000" in found.text
    assert "1 row<" in await counted(admin, str(found.url))
    assert rows(await admin.get(file_of(found)))[1:] == [["<script>x"]]
    whole = await admin.get("/exports/customers/file?format=jsonl&fields=name")
    assert sorted(json.loads(line)["name"] for line in whole.text.splitlines()) == ["<script>x", "=张", "王芳"]
    book = await admin.get("/exports/customers/file?format=xlsx")
    assert book.content.startswith(b"PK")
    async with platform.db.connection() as connection:
        sql = "SELECT action, details::text FROM audit WHERE action LIKE 'export.%' ORDER BY id"
        noted = await connection.fetch(sql)
    assert [row[0] for row in noted] == ["export.start", "export.end"] * 4
    assert json.loads(noted[1][1])["rows"] == 2


async def test_a_part_follows_what_is_chosen(visit: Visits, people: None) -> None:
    admin = await visit("admin")
    part = await admin.part("/exports/customers?format=xlsx&fields=name&fields=phone")
    assert part.text.strip().startswith('<div class="card" id="export-summary"')
    assert file_of(part) == "/exports/customers/file?fields=name&fields=phone&format=xlsx"
    events = await admin.get("/exports/events?since_from=2000-01-01&since_to=2000-01-02")
    assert "0 rows" in await counted(admin, str(events.url))
    assert len(rows(await admin.get(file_of(events)))) == 1
    assert (await admin.get("/exports")).headers["location"] == "/exports/customers"


async def test_what_is_masked_is_said_and_stays_so(visit: Visits, people: None, platform: Platform) -> None:
    grants: dict[str, Scope] = {"customers.read": "all", "customers.export": "all"}
    rules: dict[str, Rule] = {"phone": "mask", "attributes.city": "hide"}
    made = NewRole(name="reporting", label="Reporting", permissions=grants, rules=rules)
    await own_roles.create(platform.db, Actor.command("test"), made, platform.directory)
    reporter, viewer = await visit("reporting"), await visit("viewer")
    page = await reporter.get("/exports/customers?columns=phone&fields=phone&fields=name")
    assert "Masked, as you see them everywhere: Phone." in page.text
    assert re.search(r"Left out: \w+", page.text)
    assert 'value="attribute:city"' not in page.text
    assert "/exports/events" not in page.text
    answer = await reporter.get(file_of(page))
    assert "8000" in answer.text
    assert "13800138000" not in answer.text
    asked = await reporter.get("/exports/customers", params={"condition": json.dumps(SHANGHAI)})
    assert "city" in await counted(reporter, str(asked.url))
    assert (await reporter.get("/exports/events")).status_code == 403
    for path in ("/exports", "/exports/customers", "/exports/events", "/exports/customers/file"):
        assert (await viewer.get(path)).status_code == 403, path
    assert 'href="/exports"' not in (await viewer.get("/customers")).text
    assert 'href="/exports"' in (await reporter.get("/customers")).text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("condition={", 422),
        ("format=doc", 400),
        ("owner=x", 400),
        ("since_from=yesterday", 400),
        ("utm_source=mail", 200),
    ],
)
async def test_a_bad_address_says_what_is_wrong(visit: Visits, query: str, status: int) -> None:
    admin = await visit("admin")
    assert (await admin.get(f"/exports/customers?{query}")).status_code == status
    assert (await admin.get(f"/exports/customers/file?{query}")).status_code == min(status, 400)


async def test_a_condition_that_cannot_be_used_is_told(visit: Visits) -> None:
    admin = await visit("admin")
    path = '/exports/customers?condition={"type":"nonsense"}'
    assert "no type of node" in await counted(admin, path)
    assert (await admin.get("/exports/dogs")).status_code == 404


async def test_the_page_takes_few_statements(visit: Visits, people: None, query_counter: QueryCounter) -> None:
    admin = await visit("admin")
    for path in ("/exports/customers", "/exports/events"):
        query_counter.reset()
        await admin.get(path)
        assert query_counter.count <= 15
