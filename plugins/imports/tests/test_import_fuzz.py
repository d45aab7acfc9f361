"""Whatever bytes a file holds: a refusal or rows, never another error, and every good row survives its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from zhike import settings
from zhike.errors import Refused
from zhike_imports.run import batches
from zhike_imports.run.plan import prepare
from zhike_imports.schemas import Options

CONFIG = settings.load(Path("unused"), {})
NOW = datetime(2026, 3, 14, tzinfo=UTC)
HEADERS = (b"user_id,date,amount,note\n", b"user_id;date;amount;note\n", b"user_id date amount note\n", b"")
PIECES = st.sampled_from(
    [
        *(b'"', b",", b";", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xe4\xbd\xa0", b"\xc4\xe3", b"{", b"}", b"\\"),
        *(b'{"user_id":1,', b'"date":"2024-01-05"}', b"[" * 2000, b"20240105", b"1e400", b"=", b"'", b" ", b"\t"),
        *(b"\xef\xbb\xbf", b"x" * 300),
    ]
)
# Without control characters, for many of these make it a binary file.
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)
BODIES = st.one_of(st.lists(PIECES, max_size=40).map(b"".join), st.binary(max_size=400))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "rows.csv"


@given(header=st.sampled_from(HEADERS), body=BODIES)
@example(header=b"\xff\xfe", body=b"a")
@example(header=b"\xff\xfe", body=b"\x00\xd8" * 9)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_refused_or_read(path: Path, header: bytes, body: bytes) -> None:
    path.write_bytes(header + body)
    try:
        plan = prepare(path, Options(event="order.paid"), CONFIG)
    except Refused:
        return
    read = list(batches.read(plan, CONFIG))
    rows = [row for batch in read for row in batch.rows]
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    for batch in read:
        decided = [event.index for event in batch.events] + [rejection.index for rejection in batch.rejected]
        assert sorted(decided) == list(range(len(batch.rows)))


@given(rows=st.lists(st.one_of(st.none(), LINES), max_size=12))
@hypothesis_settings(max_examples=200, deadline=None)
def test_good_rows_before_and_after_bad_ones_are_read(path: Path, rows: list[str | None]) -> None:
    good = "8,2024-01-05,1.00,好\n"
    lines = [good if row is None else row + "\n" for row in rows]
    # Two quotes may make one row of what stands between them; one cannot.
    lines = [line.replace('"', "") if place else line for place, line in enumerate(lines)]
    path.write_text("user_id,date,amount,note\n" + good + "".join(lines) + good, encoding="utf-8", newline="")
    plan = prepare(path, Options(event="order.paid", encoding="utf-8"), CONFIG)
    events = [event for batch in batches.read(plan, CONFIG) for event in batch.events]
    assert len([event for event in events if event.properties == '{"note":"好"}']) >= 2 + rows.count(None)
