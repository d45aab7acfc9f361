"""Workbooks: every text is text, numbers are numbers, an import takes it back, and an aborted one leaves no file."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from zhike.access.actor import Actor
from zhike.contracts import RecordedEvent
from zhike.errors import BadRequest
from zhike.platform import Platform
from zhike_exports import service
from zhike_exports.schemas import Exported, Wanted
from zhike_exports.writing import sheet
from zhike_exports.writing.sheet import Sheet

Record = Callable[..., Awaitable[list[RecordedEvent]]]
ACTOR = Actor.command("export")
EVENT: dict[str, Any] = {
    "name": "order.paid",
    "message_id": "m1",
    "occurred_at": "2024-01-05T10:00:00Z",
    "amount": "12.30",
    "currency": "CNY",
    "identities": {"external_id": "00123", "phone": "13800138000"},
    "traits": {"name": '=HYPERLINK("http://x","王伟")', "city": "@SUM(1)", "score": 1.5, "note": "'=1", "tags": ["a"]},
    "properties": {"sku": "00123"},
}


async def exported(platform: Platform, kind: Any, **wanted: Any) -> bytes:
    pieces = service.export(platform, ACTOR, kind, Wanted(format="xlsx", **wanted), Exported())
    return b"".join([piece async for piece in pieces])


def cells(content: bytes) -> list[list[Any]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert len(book.worksheets) == 1
    return [[(cell.value, cell.data_type) for cell in row] for row in book.worksheets[0].iter_rows()]


def written(*values: Any) -> list[Any]:
    made = Sheet("x", ["a"] * len(values))
    try:
        made.append([values])
        return cells(b"".join(made.pieces()))[1]
    finally:
        made.close()


async def test_texts_are_no_formulas_and_numbers_are_numbers(platform: Platform, record: Record) -> None:
    await record(EVENT)
    header, row = cells(await exported(platform, "customers"))
    found = dict(zip([name for name, _ in header], row, strict=True))
    assert found["name"] == ('=HYPERLINK("http://x","王伟")', "s")
    assert found["attribute:city"] == ("@SUM(1)", "s")
    assert found["identity:phone"] == ("+8613800138000", "s")
    assert found["identity:external_id"] == ("00123", "s")
    assert found["attribute:score"] == (1.5, "n")
    assert found["attribute:tags"] == ('["a"]', "s")
    header, row = cells(await exported(platform, "events", fields=("amount", "property:sku", "occurred_at")))
    assert row == [(12.3, "n"), ("00123", "s"), ("2024-01-05T10:00:00+00:00", "s")]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (True, (True, "b")),
        (10**15, ("1000000000000000", "s")),
        (123456789012345, (123456789012345, "n")),
        ("a\x00b\x0b", ("a\ufffdb\ufffd", "s")),
        ("line\nline", ("line\nline", "s")),
        ("x" * 40_000, ("x" * 32_767, "s")),
        ("#N/A", ("#N/A", "s")),
        ("{=1+1}", ("{=1+1}", "s")),
        ("-5", ("-5", "s")),
    ],
)
def test_any_value_can_be_written(value: Any, stored: tuple[Any, str]) -> None:
    assert written(value) == [stored]


async def test_it_comes_by_http_under_its_type(platform: Platform, record: Record, client: httpx.AsyncClient) -> None:
    await record(EVENT)
    for answer in (
        await client.get("/api/v1/exports/customers?format=xlsx"),
        await client.post("/api/v1/exports/events", json={"format": "xlsx"}),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].endswith("spreadsheetml.sheet")
        assert '.xlsx"' in answer.headers["content-disposition"]
        assert len(cells(answer.content)) == 2
    answer = await client.post("/api/v1/exports/events", json={"format": "xlsx", "fields": ["nothing"]})
    assert answer.status_code == 400


async def test_an_import_takes_it_back(
    platform: Platform, record: Record, database_server: Any, tmp_path: Path, export_again: Any
) -> None:
    await record(EVENT)
    (tmp_path / "客户.xlsx").write_bytes(await exported(platform, "customers"))
    url = database_server.create(plugins=("imports", "exports"))
    try:
        again = export_again(url, tmp_path)
    finally:
        database_server.drop(url)
    assert again[0] == [name for name, _ in cells((tmp_path / "客户.xlsx").read_bytes())[0]]
    found = dict(zip(again[0], again[1], strict=True))
    assert (found["name"], found["attribute:note"]) == ('=HYPERLINK("http://x","王伟")', "'=1")
    assert (found["identity:external_id"], found["attribute:score"]) == ("00123", 1.5)


@pytest.fixture
def export_again() -> Callable[[str, Path], list[list[Any]]]:
    """Imports a workbook elsewhere by the command, and exports it there as a workbook."""

    def run(url: str, folder: Path) -> list[list[Any]]:
        environment = {**os.environ, "ZHIKE_DATABASE_URL": url, "ZHIKE_DATA": str(folder), "ZHIKE_LOCALE": "en"}
        zhike = str(Path(sys.executable).with_name("zhike"))
        for arguments, end in (
            (("import", "customers", "客户.xlsx"), "accepted 1, duplicate 0, rejected 0"),
            (("export", "customers", "--format", "xlsx", "--out", "again.xlsx"), "exported 1"),
        ):
            done = subprocess.run(
                [zhike, *arguments],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [end]), done.stderr
        return [[value for value, _ in row] for row in cells((folder / "again.xlsx").read_bytes())]

    return run


async def test_one_that_is_cut_off_leaves_no_file(
    platform: Platform, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await record(*({**EVENT, "message_id": f"m{n}"} for n in range(5)))
    progress = Exported()
    async with aclosing(service.export(platform, ACTOR, "events", Wanted(format="xlsx"), progress)) as pieces:
        await anext(pieces)
    assert (progress.rows, progress.whole) == (5, False)
    monkeypatch.setattr(sheet, "MAX_ROWS", 4)
    with pytest.raises(BadRequest):
        await exported(platform, "events")
    gc.collect()
    assert not await asyncio.to_thread(os.listdir, tmp_path)
