"""A file that comes in through the wizard, is taken back, or is cut off on its way."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from line import Line
from making import until

try:
    from playwright.sync_api import expect
except ImportError:  # the tests are skipped, or fail under CI
    expect: Any = None  # type: ignore[no-redef]

if TYPE_CHECKING:
    import httpx

    from conftest import Site, Visit, Visits

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("journeys")]
PURCHASES, CUSTOMERS = 2_000, 586
"""What the first lines of the CDNOW file hold."""


def cdnow(path: Path) -> Path:
    """Write the beginning of the CDNOW file, and return its path."""
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    with (Path(spec.origin).parent / "datasets" / "CDNOW_master.txt").open(encoding="ascii") as whole:
        path.write_text("".join(islice(whole, PURCHASES + 1)), encoding="ascii")
    return path


def tiles(visit: Visit) -> dict[str, str]:
    """Return the figures of a page by their names."""
    found = visit.page.locator(".zk-tile").all()
    return {each.locator(".zk-tile-label").inner_text(): each.locator(".zk-tile-value").inner_text() for each in found}


def test_the_cdnow_file_is_imported_through_the_wizard_and_taken_back(
    visit: Visit, api: httpx.Client, tmp_path: Path
) -> None:
    page = visit.page
    visit.go("/imports")
    page.get_by_role("link", name="New import").click()
    page.wait_for_url("**/imports/new")
    page.locator("input[type=file]").set_input_files(cdnow(tmp_path / "CDNOW_master.txt"))
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(re.compile(r"/imports/new/\d+"))
    becomes = page.get_by_label(re.compile(r"^What \S+ becomes$"))
    expect(becomes).to_have_count(4)
    shown = [each.evaluate("each => each.selectedOptions[0].text") for each in becomes.all()]
    assert shown == ["Customer number", "When it happened", "Property, a number", "Amount"]
    page.get_by_label("Name of the events").fill("cdnow.bought")
    page.get_by_role("button", name="Preview").click()
    run = page.get_by_role("button", name="Import 2,000 rows")
    expect(run).to_be_visible(timeout=120_000)
    assert tiles(visit) == {
        "Rows": "2,000",
        "Would be accepted": "2,000",
        "Known before": "0",
        "Would be rejected": "0",
    }
    run.click()
    undo = page.get_by_role("button", name="Undo", exact=True)
    expect(undo).to_be_visible(timeout=120_000)
    assert tiles(visit) == {"Rows": "2,000", "Accepted": "2,000", "Known before": "0", "Rejected": "0"}
    bought = {"type": "event", "event": "cdnow.bought", "measure": "count", "op": "gte", "value": 1}
    assert api.post("/conditions/count", json={"condition": bought}).json()["count"] == CUSTOMERS
    undo.click()
    dialog = page.locator("#zk-dialog[open]")
    # Each customer who was made is an event too.
    expect(dialog).to_contain_text(f"{PURCHASES + CUSTOMERS:,} events are deleted")
    expect(dialog).to_contain_text(f"Up to {CUSTOMERS} customers")
    dialog.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(f"Taken back: {PURCHASES + CUSTOMERS:,} events deleted")).to_be_visible(timeout=120_000)
    assert api.post("/conditions/count", json={"condition": bought}).json()["count"] == 0
    visit.settle()
    visit.check()


@pytest.fixture
def line(site: Site) -> Iterator[Line]:
    opened = Line(site.url)
    yield opened
    opened.close()


def test_an_upload_that_is_cut_off_says_so_and_can_be_sent_again(visits: Visits, line: Line, tmp_path: Path) -> None:
    visit, file = visits(locale="en-US", url=line.url), tmp_path / "长长的表格.csv"
    file.write_text("客户编号,姓名\n" + "".join(f"Z{number},林一一\n" for number in range(200_000)))
    page = visit.page
    visit.go("/imports/new")
    page.locator("input[type=file]").set_input_files(file)
    line.weak = 1_000_000
    with page.expect_console_message(lambda said: "net::ERR_" in said.text):
        page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("The upload was cut off. The file is still chosen")
    expect(page.locator("[data-role=chosen]")).to_contain_text("长长的表格.csv")
    told = [each for each in visit.complaints if "net::ERR_" in each]
    assert (len(told), visit.complaints) == (1, told)
    visit.complaints.clear()
    line.weak = None
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(re.compile(r"/imports/new/\d+"))
    expect(page.get_by_label("What 客户编号 becomes", exact=True)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    visit.settle()
    visit.check()
    # What had come of it before is there no more.
    before = re.sub(r"\d+$", lambda number: str(int(number[0]) - 1), page.url.partition("?")[0])
    until(lambda: page.request.get(before).status == 404)
