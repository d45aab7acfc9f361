"""Workbooks: every kind of cell as the text it stands for, whatever Excel says of the sheet, and no bomb unpacked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from zhike import settings
from zhike.errors import Refused
from zhike_imports.files.encoding import scan
from zhike_imports.files.formats import detect
from zhike_imports.files.readers import Row, open_rows
from zhike_imports.run.plan import prepare
from zhike_imports.schemas import Options

at = datetime.fromisoformat  # a workbook knows no zones
Parts = dict[str, bytes]
SHEET = "xl/worksheets/sheet1.xml"
WORDS = b'<row r="1"><c r="A1" t="inlineStr"><is><t>user_id</t></is></c></row>'


def write(path: Path, rows: Sequence[Sequence[Any]], **sheets: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(list(row))
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(list(row))
    book.save(path)
    return path


def read(path: Path) -> tuple[list[str], list[Row]]:
    found = scan(path)
    rows = open_rows(found, detect(found))
    try:
        return rows.header, list(rows)
    finally:
        rows.close()


def changed(path: Path, change: Callable[[Parts], None]) -> Path:
    """Change the parts of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def sheet(rows: bytes, *, says: bytes = b"A1:A2") -> bytes:
    name = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    return b'<worksheet %b><dimension ref="%b"/><sheetData>%b</sheetData></worksheet>' % (name, says, rows)


def with_sheet(path: Path, content: bytes) -> Path:
    return changed(write(path, [["user_id"], ["1"]]), lambda parts: parts.update({SHEET: content}))


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        read(path)
    return caught.value.message.render("en")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("00123", "00123"),
        (" 王伟 ", " 王伟 "),
        (13800138000, "13800138000"),
        (0.1 + 0.2, "0.3"),
        (1234.5, "1234.5"),
        (7.0, "7"),
        (-0.00001, "-0.00001"),
        (True, "true"),
        (at("2024-01-05"), "2024-01-05"),
        (at("2024-01-05T10:29:59"), "2024-01-05 10:29:59"),
        (at("2024-01-05T10:30:00.250"), "2024-01-05 10:30:00.250"),
        (date(2024, 1, 5), "2024-01-05"),
        (time(9, 5), "09:05:00"),
        ("'=1+1", "''=1+1"),
        ("=not calculated", ""),
    ],
)
def test_a_cell_is_the_text_it_stands_for(tmp_path: Path, value: Any, text: str) -> None:
    header, rows = read(write(tmp_path / "a.xlsx", [["x", "y"], [value, "z"]]))
    assert (header, [row.cells for row in rows]) == (["x", "y"], [[text, "z"]])


@pytest.mark.parametrize(("value", "code"), [(622202020011223344, "digits"), ("#N/A", "formula"), ("#REF!", "formula")])
def test_a_cell_that_holds_nothing_certain_is_set_aside(tmp_path: Path, value: Any, code: str) -> None:
    _, rows = read(write(tmp_path / "a.xlsx", [["x", "y"], [value, "z"], ["good", "z"]]))
    assert [row.fault and row.fault.code for row in rows] == [code, None]


def test_rows_know_their_lines_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    book = write(tmp_path / "a.xlsx", [[], ["x", "y", None], ["1"], [None, ""], [None, "2"], ["3", "4", "5"]])
    header, rows = read(book)
    assert header == ["x", "y"]
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (1, 3, ["1", ""]),
        (2, 5, ["", "2"]),
        (3, 6, ["3", "4", "5"]),
    ]
    assert rows[2].fault is not None
    assert rows[2].fault.code == "columns"


def test_the_first_sheet_that_is_shown_and_holds_something_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", [["hidden"], ["1"]], empty=[], orders=[["user_id"], ["7"]], more=[["b"], ["2"]])
    book = openpyxl.load_workbook(path)
    book.worksheets[0].sheet_state = "hidden"
    book.active = 2
    book.save(path)
    assert read(path)[0] == ["user_id"]


def test_a_workbook_is_imported_like_any_file(tmp_path: Path) -> None:
    path = write(tmp_path / "订单.xlsx", [["客户编号", "日期", "金额"], ["A1", at("2024-01-05"), 12.5]])
    plan = prepare(path, Options(event="order.paid"), settings.load(tmp_path, {}))
    assert str(plan.form) == "XLSX"
    assert {column: str(target) for column, target in plan.mapping.items()} == {
        "客户编号": "identity:external_id",
        "日期": "occurred_at",
        "金额": "amount",
    }


def test_what_a_sheet_says_of_its_size_is_not_believed(tmp_path: Path) -> None:
    row = b'<row r="%d"><c r="A%d"><v>%d</v></c></row>'
    rows = WORDS + b"".join(row % (n, n, n) for n in range(2, 12))
    assert len(read(with_sheet(tmp_path / "a.xlsx", sheet(rows, says=b"A1:A3")))[1]) == 10
    # A row number beyond what a sheet can have would make blank rows for ever.
    far = WORDS + row % (2, 2, 2) + row % (9_999_999_999, 1, 1)
    assert [row.cells for row in read(with_sheet(tmp_path / "b.xlsx", sheet(far)))[1]] == [["2"]]


def test_a_file_with_very_many_columns_is_refused(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1_001)]
    write(tmp_path / "a.xlsx", [names, ["1"]])
    (tmp_path / "a.csv").write_text(
        "\n".join(["user_id" + "," * 400_000, "1" + "," * 400_000])
    )  # told within the time of a test, too
    (tmp_path / "a.jsonl").write_text("\n".join(f'{{"user_id": 1, "{name}": 1}}' for name in names[:1_000]))
    for name in ("a.xlsx", "a.csv", "a.jsonl"):
        with pytest.raises(Refused, match="more than 1000 columns"):
            prepare(tmp_path / name, Options(event="x.y"), settings.load(tmp_path, {}))


def test_a_broken_column_of_a_workbook_is_refused(tmp_path: Path) -> None:
    wide = b'<row r="1"><c r="ZZZZZ1"><v>1</v></c></row>'
    assert "broken" in refusal(with_sheet(tmp_path / "b.xlsx", sheet(wide)))


@pytest.mark.parametrize(
    "name", [SHEET, "xl/sharedStrings.xml", "xl/styles.xml", "docProps/core.xml", "xl/media/image1.png"]
)
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.xlsx", [["user_id"], ["1"]])
    changed(path, lambda parts: parts.update({name: bytes(70 << 20)}))
    assert path.stat().st_size < 200_000
    assert "unpacks to more" in refusal(path)


def test_nor_one_that_lies_about_its_size(tmp_path: Path) -> None:
    path = changed(write(tmp_path / "a.xlsx", [["user_id"], ["1"]]), lambda p: p.update({SHEET: bytes(70 << 20)}))
    content = path.read_bytes()
    # The directory and the part itself say 1,000 bytes.
    path.write_bytes(content.replace((70 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert "broken" in refusal(path)


def test_nor_one_made_of_entities(tmp_path: Path) -> None:
    entities = b'<!DOCTYPE x [<!ENTITY a "%b">]>' % (b"x" * 1000)
    cell = b'<row r="1"><c r="A1" t="inlineStr"><is><t>%b</t></is></c></row>' % (b"&a;" * 1000)
    assert "broken" in refusal(with_sheet(tmp_path / "a.xlsx", entities + sheet(cell)))


@pytest.mark.parametrize("spoilt", [SHEET, "xl/workbook.xml", "[Content_Types].xml", "xl/styles.xml"])
@pytest.mark.parametrize("content", [b"", b"<", b"\x00" * 50, b"<a/>"])
def test_a_broken_workbook_is_refused_in_words(tmp_path: Path, spoilt: str, content: bytes) -> None:
    path = changed(write(tmp_path / "a.xlsx", [["user_id"], ["1"]]), lambda parts: parts.update({spoilt: content}))
    with pytest.raises(Refused):
        prepare(path, Options(event="x"), settings.load(tmp_path, {}))


def test_one_that_was_cut_off_is_refused_too(tmp_path: Path) -> None:
    content = write(tmp_path / "a.xlsx", [["user_id"], ["1"]]).read_bytes()
    for size in (10, len(content) // 2, len(content) - 1):
        (tmp_path / "b.xlsx").write_bytes(content[:size])
        with pytest.raises(Refused):
            read(tmp_path / "b.xlsx")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows.csv", "a,b\n1,2\n")
    (tmp_path / "rows.csv").write_bytes(stream.getvalue())
    assert "ZIP" in refusal(tmp_path / "rows.csv")
