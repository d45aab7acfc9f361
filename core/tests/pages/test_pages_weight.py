"""How many bytes pages are: at the first view with all static files, and later, when browsers have those."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

if TYPE_CHECKING:
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visitor, Visits

FIRST, WITH_CHARTS, LATER = 300 * 1024, 650 * 1024, 60 * 1024
_AT_ONCE = ("load", "revealed", "intersect")


class Reader(HTMLParser):
    """Finds what a page has its browser ask for by itself.

    Args:
        html: The page, or a part of one.

    Attributes:
        files: Addresses of styles and scripts.
        parts: Addresses of what htmx puts into the page as soon as it is there.
        widgets: Names of the widgets on it.
        known: The files of each widget, if it says so.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.files: set[str] = set()
        self.parts: set[str] = set()
        self.widgets: set[str] = set()
        self.known: dict[str, list[str]] = {}
        self._list = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._list = given.get("id") == "zhike-widgets"
        if tag == "script" and "src" in given:
            self.files.add(given["src"])
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "modulepreload", "preload"}:
            self.files.add(given["href"])
        if "data-widget" in given:
            self.widgets.add(given["data-widget"])
        if "hx-get" in given and any(word in given.get("hx-trigger", "") for word in _AT_ONCE):
            self.parts.add(given["hx-get"])

    def handle_data(self, data: str) -> None:
        if self._list:
            self.known = json.loads(data)
            self._list = False


async def weigh(visitor: Visitor, path: str, *, widgets: frozenset[str] = frozenset()) -> tuple[int, int]:
    """Return the bytes of a page with the parts that it asks for, and of the static files of all of them."""
    page = await visitor.get(path)
    assert page.status_code == 200
    assert page.headers["content-encoding"] == "gzip"
    readers = [Reader(page.text)]
    later = int(page.headers["content-length"])
    for part in readers[0].parts:
        answer = await visitor.part(urljoin(path, part))
        assert answer.status_code in {200, 204}, part
        later += int(answer.headers["content-length"])
        readers.append(Reader(answer.text))
    met = widgets.union(*(reader.widgets for reader in readers))
    files = set().union(*(reader.files for reader in readers), *(readers[0].known.get(name, ()) for name in met))
    assert readers[0].known
    once = 0
    for file in files:
        answer = await visitor.get(file)
        assert answer.status_code == 200, file
        assert "immutable" in answer.headers["cache-control"], file
        once += int(answer.headers["content-length"])
    return later, once


@pytest.mark.parametrize("path", ["/", "/customers", "/customers/{id}"])
async def test_the_first_view_of_a_page_is_light_and_later_ones_lighter(
    visit: Visits, record: Record, path: str
) -> None:
    made = await record(
        *(
            {
                "name": ("page.view", "order.paid", "app.login")[number % 3],
                "identities": {"phone": f"138{number % 50:08d}"},
                "traits": {"name": f"客户第{number}号", "city": "上海", "company": f"某某贸易有限公司{number}"},
                "properties": {"path": f"/p/{number}", "device": "ios"},
            }
            for number in range(90)
        ),
        *({"name": "page.view", "identities": {"phone": "13800000000"}} for _ in range(40)),
    )
    later, once = await weigh(await visit("admin", language="zh-CN"), path.format(id=made[0].customer_id))
    assert later <= LATER
    assert later + once <= FIRST


async def test_a_page_with_charts_is_not_much_heavier(visit: Visits) -> None:
    plain = await weigh(await visit("admin"), "/customers")
    later, once = await weigh(await visit("admin"), "/customers", widgets=frozenset({"chart"}))
    assert once > plain[1]
    assert later + once <= WITH_CHARTS
