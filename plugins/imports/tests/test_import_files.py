"""What a file is found to be, and that no row of it can spoil another."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from zhike.errors import Refused
from zhike_imports.files import formats
from zhike_imports.files.encoding import scan
from zhike_imports.files.readers import Row, open_rows

HEADER = "customer_id,date,amount,note\n"


def read(path: Path, encoding: str | None = None) -> list[Row]:
    found = scan(path, encoding)
    rows = open_rows(found, formats.detect(found))
    try:
        return list(rows)
    finally:
        rows.close()


def file(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "rows.csv"
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def refusal(path: Path, encoding: str | None = None) -> str:
    with pytest.raises(Refused) as caught:
        read(path, encoding)
    return str(caught.value.message)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("gb18030", b""),
        ("gb18030", b"\x84\x31\x95\x33"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\x00\x00"),
    ],
)
def test_every_encoding_gives_the_same_rows(tmp_path: Path, encoding: str, mark: bytes) -> None:
    content = "客户编号,日期,金额,备注\n00001,1997-01-01,11.77,中关村的李镕\n00002,1997-01-02,12.00,𠮷野家😀\n"
    path = file(tmp_path, mark + content.encode(encoding))
    assert scan(path).encoding == encoding
    assert [row.cells for row in read(path)] == [
        ["00001", "1997-01-01", "11.77", "中关村的李镕"],
        ["00002", "1997-01-02", "12.00", "𠮷野家😀"],
    ]


def test_a_large_chinese_file_is_told_from_utf8_by_all_its_lines(tmp_path: Path) -> None:
    # The first Chinese character stands beyond the first chunk that is read.
    ascii_rows = "1,1997-01-01,1.00,plain\n" * 60_000
    path = file(tmp_path, HEADER + ascii_rows + "2,1997-01-01,1.00,上海市\n" * 3, "gb18030")
    assert path.stat().st_size > 1 << 20
    assert scan(path).encoding == "gb18030"


@pytest.mark.parametrize("bad", [b"\xff", b"\xe4\xbd", b"\xc3(", b"\xed\xa0\x80"])
def test_a_wrong_byte_in_utf8_rejects_its_row_only(tmp_path: Path, bad: bytes) -> None:
    good = "1,1997-01-01,1.00,上海\n".encode()
    path = file(tmp_path, HEADER.encode() + good * 5 + b"2,1997-01-01,2.00,x" + bad + b"y\n" + good * 5)
    rows = read(path)
    assert [row.number for row in rows if row.fault] == [6]
    assert rows[5].fault is not None
    assert (rows[5].line, rows[5].fault.code) == (7, "encoding")
    assert len(rows) == 11


def test_a_lone_surrogate_in_utf16_rejects_its_row_only(tmp_path: Path) -> None:
    good = "1,1997-01-01,1.00,上海\n".encode("utf-16-le")
    bad = "2,1997-01-01,1.00,x".encode("utf-16-le") + b"\x00\xd8" + "\n".encode("utf-16-le")
    path = file(tmp_path, b"\xff\xfe" + HEADER.encode("utf-16-le") + good + bad + good)
    assert [row.fault.code if row.fault else None for row in read(path)] == [None, "encoding", None]


def test_a_named_encoding_wins(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "1,1997-01-01,1.00,臺北\n", "big5")
    assert read(path, "big5")[0].cells[3] == "臺北"
    assert "'klingon'" in refusal(path, "klingon")
    assert "'rot13'" in refusal(path, "rot13")


def test_an_utf16_file_without_mark_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "1,1997-01-01,1.00,ok\n", "utf-16-le")
    assert "--encoding utf-16-le" in refusal(path)
    assert read(path, "utf-16-le")[0].cells[3] == "ok"


def archive(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr(name, "x" * 1000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (archive("rows.csv"), "ZIP"),
        (archive("[Content_Types].xml"), "ZIP"),
        (gzip.compress(HEADER.encode(), mtime=0), "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "XLS"),
        (b"%PDF-1.7\n", "PDF"),
        (bytes(range(256)) * 64, "binary"),
    ],
)
def test_what_is_no_text_is_refused_by_its_name(tmp_path: Path, content: bytes, kind: str) -> None:
    assert kind in refusal(file(tmp_path, content))


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "\ufeff \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    assert "empty" in refusal(file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (HEADER, "no rows"),
        ("a,b,a\n1,2,3\n", "two columns named 'a'"),
        ('[{"a":1}]\n', "one JSON object a line"),
        ('"a,b\n1,2\n', "the header, cannot be read"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, content: str, what: str) -> None:
    assert what in refusal(file(tmp_path, content))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found(tmp_path: Path, delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(row) for row in (["id", "date"], ["1", "2024-01-01"], ["2", "2024-01-02"]))
    rows = read(file(tmp_path, text))
    assert [row.cells for row in rows] == [["1", "2024-01-01"], ["2", "2024-01-02"]]


def test_columns_with_blanks_between_keep_leading_zeros(tmp_path: Path) -> None:
    rows = read(file(tmp_path, " customer_id  date value\r\n 00001 19970101   11.77\r\n\r\n 00002 19970112  0.00\r\n"))
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (1, 2, ["00001", "19970101", "11.77"]),
        (2, 4, ["00002", "19970112", "0.00"]),
    ]


def test_quoted_values_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    rows = read(file(tmp_path, HEADER + '1,1997-01-01,"1,234.50","a ""b""\nc"\n2,1997-01-01,1.00,d\n'))
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (1, 2, ["1", "1997-01-01", "1,234.50", 'a "b"\nc']),
        (2, 4, ["2", "1997-01-01", "1.00", "d"]),
    ]


def test_rows_with_too_few_or_too_many_values_are_set_aside_alone(tmp_path: Path) -> None:
    rows = read(file(tmp_path, HEADER + "1,1997-01-01,1.00,a\n2,1997-01-01\n3,1,2,3,4,5\n,,,\n4,1997-01-01,1.00,b\n"))
    assert [(row.number, row.line, row.fault and row.fault.code) for row in rows] == [
        (1, 2, None),
        (2, 3, "columns"),
        (3, 4, "columns"),
        (4, 6, None),
    ]


@pytest.mark.parametrize("later", ['7,1997-01-01,1.00,"fine, quoted"\n', ""])
def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path, later: str) -> None:
    good = "1,1997-01-01,1.00,a\n"
    rows = read(file(tmp_path, HEADER + good * 3 + '2,1997-01-01,1.00,"open\n' + good * 3_000 + later))
    assert [(row.line, row.fault.code) for row in rows if row.fault] == [(5, "quote")]
    assert len(rows) == 3_004 + bool(later)


def test_a_gigantic_value_costs_one_row_and_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("wb") as stream:
        stream.write(HEADER.encode() + b"1,1997-01-01,1.00,a\n2,1997-01-01,1.00,")
        for _ in range(64):
            stream.write(b"x" * (1 << 20))
        stream.write(b"\n3,1997-01-01,1.00,b\n")
    tracemalloc.start()
    rows = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(row.cells[0][:1], row.fault and row.fault.code) for row in rows] == [
        ("1", None),
        ("2", "too_long"),
        ("3", None),
    ]
    assert peak < 16 << 20


def test_bad_json_lines_are_set_aside_alone(tmp_path: Path) -> None:
    lines = ['{"id":1}', '{"id":', "[1]", '"x"', '{"a":' + "[" * 10_000 + "]" * 10_000 + "}", "", '{"id":2}']
    rows = read(file(tmp_path, "\n".join(lines)))
    assert [(row.line, row.fault and row.fault.code) for row in rows] == [
        (1, None),
        (2, "json"),
        (3, "json"),
        (4, "json"),
        (5, "json"),
        (7, None),
    ]
