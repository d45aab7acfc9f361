"""The pages of imports, as somebody walks through them: from a file to what came of it, and back again."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from zhike_imports.run import uploads

if TYPE_CHECKING:
    import httpx

    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import RunUntilIdle
    from zhike.testing.visiting import Visitor, Visits

PURCHASES = (
    "customer_id     date number_of_cds dollar_value\n"
    "       1 19970101        1        11.77\n"
    "       2 19970112        1        12.00\n"
    "       2 19970112        5        77.00\n"
    "       3 1997x102        2        20.76\n"
)
PEOPLE = "客户编号,姓名,手机号,城市\nA1,王伟,13811118000,上海\nA2,<script>x,12,北京\nA3,张敏,13900139000,\n"


async def uploaded(visitor: Visitor, content: str | bytes, name: str = "客户.csv") -> str:
    """Upload a file and return the address of its page."""
    raw = content.encode() if isinstance(content, str) else content
    answer = await visitor.post("/imports/new", files={"file": (name, raw, "text/csv")})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def form_of(page: httpx.Response) -> dict[str, Any]:
    """Return what the form with the columns holds as it comes."""
    assert page.status_code == 200, page.text
    html = page.text
    held: dict[str, Any] = {"key": re.findall(r'name="key" value="(\d+)" checked', html)}
    held["columns"] = re.search(r'name="columns" value="([^"]*)"', html)[1].replace("&#34;", '"')  # type: ignore[index]  # it is there
    for place, body in re.findall(r'<select class="form-select" name="(target_\d+)".*?>(.*?)</select>', html, re.S):
        held[place] = re.search(r'value="([^"]*)"[^>]*selected', body)[1]  # type: ignore[index]  # one is selected
    held |= dict(re.findall(r'name="(called_\d+)" value="([^"]*)"', html))
    event = re.search(r'name="event" value="([^"]*)"', html)
    return held | ({"event": event[1]} if event else {})


def action_of(page: httpx.Response) -> str:
    """Return where the form with the columns goes."""
    found = re.search(r'<form class="zk-form" method="post" action="([^"]*)"', page.text)
    assert found is not None
    return found[1].replace("&amp;", "&")


def tile(page: httpx.Response, label: str) -> str:
    found = re.search(rf"{label}</span>\s*<span class=\"zk-tile-value\">([^<]*)<", page.text)
    return found[1] if found else ""


async def test_from_a_file_to_what_came_of_it_and_back(visit: Visits, run_until_idle: RunUntilIdle) -> None:
    admin = await visit("admin")
    assert "Nothing has been imported yet" in (await admin.get("/imports")).text
    path = await uploaded(admin, PURCHASES, "CDNOW_master.txt")
    page = await admin.get(path)
    held = form_of(page)
    assert [held[f"target_{n}"] for n in range(4)] == ["identity:external_id", "occurred_at", "number:", "amount"]
    assert (held["event"], held["called_2"], "19970101" in page.text) == ("order.paid", "number_of_cds", True)
    sent = await admin.post(action_of(page), data=held)
    assert sent.status_code == 303
    tried = sent.headers["location"]
    running = await admin.get(tried)
    assert f'hx-get="{tried}/progress"' in running.text
    assert (await admin.part(f"{tried}/progress")).status_code == 200
    await run_until_idle()
    assert (await admin.part(f"{tried}/progress")).headers["hx-redirect"] == tried
    preview = await admin.get(tried)
    assert [tile(preview, each) for each in ("Rows", "Would be accepted", "Would be rejected")] == ["4", "3", "1"]
    assert "25% of the rows would be rejected" in preview.text
    assert "1997-01-12" in preview.text
    assert "1997x102" in preview.text
    assert "No event has" not in preview.text
    begun = [(await admin.post(f"{tried}/run")).headers["location"] for _ in range(2)]
    assert begun[0] == begun[1]
    await run_until_idle()
    assert (await admin.post(f"{tried}/run")).headers["location"] == begun[0]
    result = await admin.get(begun[0])
    assert [tile(result, each) for each in ("Accepted", "Known before", "Rejected")] == ["3", "0", "1"]
    assert "1997x102" in result.text
    listed = await admin.get("/imports")
    assert f'<a href="{begun[0]}">CDNOW_master.txt</a>' in listed.text
    aside = await admin.get(f"{begun[0]}/rejected")
    assert [row[4:] for row in csv.reader(io.StringIO(aside.content.decode("utf-8-sig")))][1:] == [
        ["3", "1997x102", "2", "20.76"]
    ]
    asked = await admin.get(f"{begun[0]}/undo")
    assert "Up to 2 customers" in asked.text
    for _ in range(2):
        assert (await admin.post(f"{begun[0]}/undo")).headers["location"] == begun[0]
    await run_until_idle()
    assert "The same file can be imported anew" in (await admin.get(begun[0])).text
    assert (await admin.get(f"{begun[0]}/undo")).status_code == 409
    assert (await admin.post(f"{begun[0]}/undo")).status_code == 303
    again = (await admin.post(f"{tried}/run")).headers["location"]
    assert again != begun[0]


async def test_asked_for_twice_a_file_that_was_tried_is_imported_once(
    visit: Visits, run_until_idle: RunUntilIdle, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await visit("admin")
    page = await admin.get(await uploaded(admin, PURCHASES, "CDNOW_master.txt"))
    tried = (await admin.post(action_of(page), data=form_of(page))).headers["location"]
    await run_until_idle()

    async def too_early(*_: object) -> None:
        """Look before the other request has begun it, which has ended when this one begins it."""

    monkeypatch.setattr(uploads, "begun_after", too_early)
    begun = []
    for _ in range(2):
        begun.append((await admin.post(f"{tried}/run")).headers["location"])
        await run_until_idle()
    assert begun[0] == begun[1]
    assert begun[0] != tried


def workbook(*sheets: tuple[str, str]) -> bytes:
    stream, book = io.BytesIO(), openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, content in sheets:
        sheet = book.create_sheet(title)
        for row in csv.reader(io.StringIO(content)):
            sheet.append(row)
    book.save(stream)
    return stream.getvalue()


async def test_a_workbook_of_customers_a_sheet_of_it_and_a_profile(
    visit: Visits, run_until_idle: RunUntilIdle, platform: Platform
) -> None:
    admin = await visit("admin")
    raw = workbook(("说明", "甲,乙\n1,2\n"), ("客户", PEOPLE))
    path = await uploaded(admin, raw, "客户.xlsx")
    first = await admin.get(path)
    assert '<option value="客户">' in first.text
    page = await admin.get(f"{path}?sheet=客户")
    held = form_of(page)
    assert [held[f"target_{n}"] for n in range(4)] == ["identity:external_id", "name", "phone", "text:"]
    assert held["called_3"] == "city"
    assert "&lt;script&gt;x" in page.text
    assert "<script>x" not in page.text
    tried = (await admin.post(action_of(page), data=held)).headers["location"]
    await run_until_idle()
    preview = await admin.get(tried)
    assert "2 new customers" in preview.text
    assert "8000" in preview.text
    assert "13811118000" not in preview.text
    bad = await admin.post(f"{tried}/profile", data={"name": ""})
    assert bad.status_code == 422
    saved = await admin.post(f"{tried}/profile", data={"name": "总部月报"})
    assert saved.headers["location"] == tried
    done = (await admin.post(f"{tried}/run")).headers["location"]
    await run_until_idle()
    result = await admin.get(done)
    assert [tile(result, each) for each in ("Accepted", "Rejected")] == ["2", "1"]
    assert "&lt;script&gt;x" in result.text
    other = await uploaded(admin, raw, "下月.xlsx")
    offered = re.search(r'<option value="(\d+)">总部月报', (await admin.get(f"{other}?sheet=客户")).text)
    assert offered is not None
    by_profile = await admin.get(f"{other}?profile={offered[1]}")
    assert form_of(by_profile)["called_3"] == "city"
    assert "sheet=" in action_of(by_profile)
    assert f'<option value="{offered[1]}" selected>' in by_profile.text
    assert "甲" in (await admin.get(f"{other}?profile={offered[1]}&sheet=说明")).text
    assert (await admin.post(f"/imports/profiles/{offered[1]}/remove")).status_code == 303
    assert "总部月报" not in (await admin.get("/imports")).text
    changed = form_of(await admin.get(f"{path}?like={tried.rpartition('/')[2]}"))
    assert changed["target_1"] == "name"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target_0": "ignore"}, "Choose the column that says who the customer is"),
        ({"target_1": "ignore"}, "Choose the column that says when it happened"),
        ({"event": ""}, "Say what the events are called"),
        ({"target_2": "amount"}, "number_of_cds and dollar_value cannot both be this"),
        ({"target_0": "identity:", "called_0": "客户"}, "Give it a short name"),
    ],
)
async def test_what_is_wrong_stands_beside_its_column_and_nothing_is_lost(
    visit: Visits, changes: dict[str, str], told: str
) -> None:
    admin = await visit("admin")
    page = await admin.get(await uploaded(admin, PURCHASES, "cdnow.txt"))
    held = form_of(page) | {"called_2": "how_many", "source": "门店", "key": ["0", "1"]} | changes
    wrong = await admin.post(action_of(page), data=held)
    assert wrong.status_code == 422
    assert told in wrong.text
    assert "--map" not in wrong.text
    for kept in ('value="how_many"', 'value="门店"', 'name="key" value="1" checked'):
        assert kept in wrong.text


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"%PDF-1.7\n" * 20, "客户.csv", "PDF"),
        ("a,a\n1,2\n", "x.csv", "two columns called a"),
        ("客户编号,姓名\n", "x.csv", "no rows"),
        ("a,b\n1,2\n".encode("utf-16-le"), "x.csv", "choose that encoding"),
        ('[{"a": 1}]\n', "x.json", "JSON array"),
    ],
)
async def test_a_file_that_cannot_be_read_says_why(visit: Visits, content: str | bytes, name: str, told: str) -> None:
    admin = await visit("admin")
    path = await uploaded(admin, content, name)
    page = await admin.get(path)
    assert page.status_code == 200
    assert told in page.text
    assert "/tmp" not in page.text
    assert "/imports/new" in page.text


async def test_an_encoding_and_a_separator_can_be_said(visit: Visits) -> None:
    admin = await visit("admin")
    path = await uploaded(admin, PEOPLE.encode("utf-16-le"), "x.csv")
    assert "王伟" in (await admin.get(f"{path}?encoding=utf-16-le")).text
    path = await uploaded(admin, "id name;date\n1 2;2024-01-05\n", "x.txt")
    blanks = form_of(await admin.get(f"{path}?separator=blanks&kind=events"))
    assert blanks["columns"] == '["id", "name;date"]'
    assert (await admin.get(f"{path}?separator=dot")).status_code == 400


async def test_uploads_that_fail_say_so_and_keep_nothing(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin")
    boundary = "multipart/form-data; boundary=x"
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    cut = await admin.post("/imports/new", content=head + b"a,b\r\n1,2", headers={"content-type": boundary})
    assert (cut.status_code, "The upload was cut off" in cut.text) == (422, True)
    empty = await admin.post("/imports/new", files={"file": ("a.csv", b"")})
    assert (empty.status_code, "The file is empty" in empty.text) == (422, True)
    nothing = await admin.post("/imports/new", data={"x": "y"})
    assert (nothing.status_code, "Choose a file first" in nothing.text) == (422, True)
    async with platform.db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM file") == 0
    part = await admin.post(
        "/imports/new", files={"file": ("a.csv", b"a,b\n1,2\n")}, headers={"hx-request-type": "partial"}
    )
    assert part.headers["hx-redirect"].startswith("/imports/new/")


async def test_one_that_is_cancelled_and_addresses_that_lead_nowhere(
    visit: Visits, run_until_idle: RunUntilIdle
) -> None:
    admin = await visit("admin")
    page = await admin.get(await uploaded(admin, PURCHASES, "cdnow.txt"))
    tried = (await admin.post(action_of(page), data=form_of(page))).headers["location"]
    for _ in range(2):
        assert (await admin.post(f"{tried}/cancel")).status_code == 303
    await run_until_idle()
    assert "nothing was written" in (await admin.get(tried)).text
    for path in ("/imports/999", "/imports/x", "/imports/new/999", "/imports/999/rejected", "/imports/samples/dogs"):
        assert (await admin.get(path)).status_code == 404, path
    assert (await admin.get("/imports?cursor=x")).status_code == 400
    stale = await admin.post(action_of(page), data=form_of(page) | {"columns": '["gone"]'})
    assert (stale.status_code, "no column gone any more" in stale.text) == (422, True)
    assert (await admin.post(action_of(page), data={"columns": "{"})).status_code == 400


async def test_samples_come_in_without_a_change(visit: Visits, run_until_idle: RunUntilIdle) -> None:
    admin = await visit("admin", language="zh-CN")
    for kind, rows in (("customers", "3"), ("events", "3")):
        sample = await admin.get(f"/imports/samples/{kind}")
        page = await admin.get(await uploaded(admin, sample.content, "x.csv"))
        tried = (await admin.post(action_of(page), data=form_of(page))).headers["location"]
        await run_until_idle()
        preview = await admin.get(tried)
        assert tile(preview, "将导入") == rows
        assert tile(preview, "将拒绝") == "0"


async def test_who_may_not_import_sees_nothing_of_it(visit: Visits) -> None:
    admin, manager = await visit("admin"), await visit("manager")
    assert 'href="/imports"' in (await admin.get("/imports")).text
    assert 'href="/imports"' not in (await manager.get("/customers")).text
    for path in ("/imports", "/imports/new", "/imports/new/1", "/imports/1", "/imports/samples/events"):
        assert (await manager.get(path)).status_code == 403, path
    for path in ("/imports/new", "/imports/new/1", "/imports/1/run", "/imports/1/cancel", "/imports/1/undo"):
        assert (await manager.post(path)).status_code == 403, path


async def test_pages_take_few_statements(
    visit: Visits, run_until_idle: RunUntilIdle, query_counter: QueryCounter
) -> None:
    admin = await visit("admin")
    path = await uploaded(admin, PEOPLE)
    page = await admin.get(path)
    tried = (await admin.post(action_of(page), data=form_of(page))).headers["location"]
    await run_until_idle()
    done = (await admin.post(f"{tried}/run")).headers["location"]
    await run_until_idle()
    for address in ("/imports", path, tried, done):
        query_counter.reset()
        await admin.get(address)
        assert query_counter.count <= 15, address
