"""Imports into a database: what comes in, that nothing comes in twice, and that faults lose nothing."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from zhike import settings
from zhike.errors import Refused
from zhike.orm import Database
from zhike.platform import Platform, assemble
from zhike_imports import service
from zhike_imports.run import batches
from zhike_imports.run.plan import prepare
from zhike_imports.run.preview import preview
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options, Run

CONFIG = settings.load(Path("unused"), {"ZHIKE_LOCALE": "en"})
CDNOW_MAP = ("customer_id=identity:external_id", "date=occurred_at", "dollar_value=amount")


def cdnow() -> Path:
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "CDNOW_master.txt"


def platform(db: Database, **plugins: object) -> Platform:
    assembled = assemble(plugins)
    return Platform(settings=CONFIG, db=db, hooks=assembled.hooks, registry=assembled.registry)


async def bring_in(db: Database, path: Path, rejected: Path | None = None, **options: Any) -> Run:
    plan = prepare(path, Options(**options), CONFIG)
    with closing(RejectFile(rejected or path.with_suffix(".rejected.csv"), plan.header, "en")) as rejects:
        run, done = await service.run(platform(db), plan, rejects)
    assert done
    return run


def counts(run: Run) -> tuple[int, int, int]:
    return run.accepted, run.duplicate, run.rejected


async def totals(db: Database, name: str = "order.paid") -> tuple[int, int, Decimal]:
    """Customers with the event, events, and the sum of their amounts in yuan, from the stats."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            "SELECT count(*), coalesce(sum(count), 0), coalesce(sum(sum), 0) FROM customer_event_stat WHERE name = $1",
            name,
        )
    assert row is not None
    return row[0], int(row[1]), Decimal(row[2]).scaleb(-2)


async def stored(db: Database) -> list[asyncpg.Record]:
    async with db.connection() as connection:
        return await connection.fetch("SELECT * FROM event WHERE behaviour ORDER BY message_id")


async def test_the_cdnow_file_comes_in_once_and_exactly(database: Database, tmp_path: Path) -> None:
    rejected = tmp_path / "rejected.csv"
    run = await bring_in(database, cdnow(), rejected, event="order.paid")
    assert counts(run) == (69_659, 0, 0)
    assert await totals(database) == (23_570, 69_659, Decimal("2500315.63"))
    again = await bring_in(database, cdnow(), rejected, event="order.paid", maps=CDNOW_MAP)
    assert counts(again) == (0, 69_659, 0)
    assert await totals(database) == (23_570, 69_659, Decimal("2500315.63"))
    assert not rejected.exists()


def test_the_mapping_of_the_cdnow_file_is_guessed_as_people_give_it() -> None:
    guessed, mapped = (
        prepare(cdnow(), Options(event="order.paid", maps=maps), CONFIG).signature() for maps in ((), CDNOW_MAP)
    )
    assert guessed == mapped


SLICE = [line.split() for line in cdnow().read_text("ascii").splitlines()[:2_501]]


def as_csv(rows: list[list[str]], delimiter: str = ",", note: str = "") -> str:
    noted = [[*row, note and ("备注" if place == 0 else note)] if note else row for place, row in enumerate(rows)]
    return "".join(delimiter.join(row) + "\r\n" for row in noted)


def as_json(rows: list[list[str]]) -> str:
    header, *data = rows
    lines = []
    for customer, date, number, value in data:
        values = (json.dumps(customer), json.dumps(date), number, value)
        lines.append("{" + ",".join(f'"{name}":{value}' for name, value in zip(header, values, strict=True)) + "}\n")
    return "".join(lines)


def as_items(rows: list[list[str]]) -> str:
    return "".join(
        json.dumps(
            {
                "name": "order.paid",
                "occurred_at": f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00",
                "identities": {"external_id": customer},
                "amount": value,
                "properties": {"number_of_cds": int(number)},
            }
        )
        + "\n"
        for customer, date, number, value in rows[1:]
    )


@pytest.mark.parametrize(
    "content",
    [
        as_csv(SLICE).encode(),
        as_csv(SLICE, ";").encode("utf-8-sig"),
        as_csv(SLICE, "\t").encode("utf-16"),
        as_csv(SLICE, note="中文备注").encode("gb18030"),
        as_json(SLICE).encode(),
        as_items(SLICE).encode(),
    ],
    ids=["csv", "semicolon-bom", "tab-utf16", "gb18030", "json-lines", "items"],
)
async def test_every_format_gives_the_same_events(database: Database, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert counts(await bring_in(database, path, event="order.paid")) == (2_500, 0, 0)
    data = SLICE[1:]
    assert await totals(database) == (
        len({row[0] for row in data}),
        2_500,
        sum((Decimal(row[3]) for row in data), Decimal()),
    )
    events = await stored(database)
    assert [json.loads(event["properties"])["number_of_cds"] for event in events] == [int(row[2]) for row in data]
    assert events[0]["occurred_at"] == datetime(1996, 12, 31, 16, tzinfo=UTC)
    assert events[0]["message_id"].startswith("imp:")
    assert events[0]["message_id"].endswith(":0000000001")
    assert {(event["origin"], event["live"]) for event in events} == {("import:1", False)}


BAD_ROWS = {
    "7,2024-01-05": "columns",
    "7,20240199,1.00,a": "occurred_at",
    "7,,1.00,a": "occurred_at",
    "7,2024-01-05,1e400,a": "amount",
    "7,2024-01-05,1.005,a": "amount",
    "7,2024-01-05,$5,a": "amount",
    ",2024-01-05,1.00,a": "no_identity",
    "7\x00,2024-01-05,1.00,a": "identity",
    "7,1969-12-31,1.00,a": "occurred_at",
    "7,2999-01-01,1.00,a": "occurred_at",
    "7,2024-01-05,1.00,a\x00b": "properties",
    f"7,2024-01-05,1.00,{'x' * 70_000}": "properties",
    f"7,2024-01-05,1.00,{'x' * 200_000}": "csv",
    '7,2024-01-05,1.00,"a"b': "csv",
}


async def test_poisoned_rows_are_set_aside_and_the_rest_comes_in(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    good = "8,2024-01-05,2.50,=1+1;' DROP TABLE event; --{{7*7}}\n"
    body = good * 100 + "".join(f"{row}\n{good}" for row in BAD_ROWS)
    path.write_bytes(b"user_id,date,amount,note\n" + body.encode() + b"7,2024-01-05,1.00,\xff\n" + good.encode())
    run = await bring_in(database, path, event="order.paid")
    assert counts(run) == (101 + len(BAD_ROWS), 0, 1 + len(BAD_ROWS))
    assert await totals(database) == (1, 101 + len(BAD_ROWS), Decimal("2.50") * (101 + len(BAD_ROWS)))
    with (tmp_path / "rows.rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["zhike_row", "zhike_line", "zhike_code", "zhike_reason", "user_id", "date", "amount", "note"]
    assert [row[2] for row in rows] == [*BAD_ROWS.values(), "encoding"]
    assert [int(row[1]) for row in rows] == [102 + 2 * place for place in range(len(rows))]
    assert rows[1][3].startswith("'20240199' is no date")
    assert rows[1][4:] == ["7", "20240199", "1.00", "a"]


async def test_mended_rejected_rows_can_be_imported(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("user_id,date,amount,note\n8,2024-01-05,1.00,好\n8,05/01/2024,2.00,=cmd\n", encoding="utf-8")
    await bring_in(database, path, event="order.paid")
    mended = tmp_path / "rows.rejected.csv"
    mended.write_text(mended.read_text("utf-8").replace("05/01/2024", "2024-01-05"), encoding="utf-8")
    assert counts(await bring_in(database, mended, event="order.paid")) == (1, 0, 0)
    assert await totals(database) == (1, 2, Decimal("3.00"))
    notes = {json.loads(event["properties"])["note"] for event in await stored(database)}
    assert notes == {"好", "=cmd"}


async def test_key_columns_tell_rows_apart_across_files(database: Database, tmp_path: Path) -> None:
    header, row = "order_id,user_id,date,amount\n", "{0},8,2024-01-{0},1.00\n"
    january, both = tmp_path / "january.csv", tmp_path / "both.csv"
    january.write_text(header + "".join(row.format(day) for day in range(10, 15)))
    both.write_text(
        header + "".join(row.format(day) for day in range(12, 20)) + row.format(19) + ",8,2024-01-01,1.00\n"
    )
    key = {"event": "order.paid", "key": ("order_id",)}
    assert counts(await bring_in(database, january, **key)) == (5, 0, 0)
    assert counts(await bring_in(database, both, **key)) == (5, 4, 1)
    assert counts(await bring_in(database, both, event="order.refunded", key=("order_id",))) == (8, 1, 1)
    assert (await totals(database))[:2] == (1, 10)


async def test_a_dry_run_tells_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    path, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    path.write_text(as_csv(SLICE[:1_001]))
    other.write_text(as_csv(SLICE[:1_101], ";"))
    await bring_in(database, path, event="order.paid")
    before = await stored(database)

    async def look(file: Path) -> tuple[int, int, int, int, bool]:
        seen = await preview(platform(database), prepare(file, Options(event="order.paid"), CONFIG))
        assert len(seen.table) == 11
        return seen.rows, seen.fresh, seen.stored, seen.alike, seen.looks_known

    assert await look(path) == (1_000, 0, 1_000, 0, False)
    assert await look(other) == (1_100, 1_100, 0, 1_000, True)
    assert await stored(database) == before
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM imports_run") == 1
        assert await connection.fetchval("SELECT count(*) FROM audit WHERE actor = 'command:import'") == 1


async def test_an_import_that_stopped_goes_on_and_counts_once(database: Database, tmp_path: Path) -> None:
    path, rejected = tmp_path / "rows.csv", tmp_path / "rejected.csv"
    rows = SLICE * 3
    path.write_text(
        as_csv([row if place % 100 else [*row[:3], "bad"] for place, row in enumerate(rows) if row != SLICE[0]])
    )
    # The first line of the data became the header: give the file its own.
    path.write_text(",".join(SLICE[0]) + "\r\n" + path.read_text())
    whole = await preview(platform(database), prepare(path, Options(event="order.paid"), CONFIG))

    stops = 0
    done = False
    while not done:
        plan = prepare(path, Options(event="order.paid"), CONFIG)
        stop = asyncio.Event()
        stop.set()
        with closing(RejectFile(rejected, plan.header, "en")) as rejects:
            run, done = await service.run(platform(database), plan, rejects, stop=stop)
        stops += not done
    assert stops >= 3
    assert counts(run) == (whole.fresh, 0, whole.rejected)
    assert (await totals(database))[1] == whole.fresh
    with rejected.open(encoding="utf-8-sig", newline="") as file:
        numbers = [int(row[0]) for row in list(csv.reader(file))[1:]]
    assert len(numbers) == whole.rejected
    assert numbers == sorted(set(numbers))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM imports_run") == 1


@pytest.mark.faults
async def test_lost_connections_neither_lose_nor_double_rows(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 100)
    monkeypatch.setattr("zhike.customers.fields.FRESH", 0.0)  # so that they are asked for with every batch
    path, rejected = tmp_path / "rows.csv", tmp_path / "rejected.csv"
    rows = [row if place % 50 else [*row[:3], "bad"] for place, row in enumerate(SLICE[1:] * 2)]
    path.write_text(as_csv([SLICE[0], *rows]))

    async def cut() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            # Before the first batch nothing is tried again: whoever starts an import is told at once.
            begun = "SELECT EXISTS (SELECT FROM imports_run WHERE rows_done > 0)"
            while not await connection.fetchval(begun):  # noqa: ASYNC110  # the import makes no event of it
                await asyncio.sleep(0.005)
            for kills in range(20):  # noqa: B007  # the count is the result
                await asyncio.sleep(0.05)
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        finally:
            await connection.close()
        return kills

    cutting = asyncio.create_task(cut())
    run = await bring_in(database, path, rejected, event="order.paid")
    cutting.cancel()
    await asyncio.gather(cutting, return_exceptions=True)
    assert counts(run) == (4_900, 0, 100)
    fresh = await Database.open(database_url)  # the other one may still hold connections that were just cut
    try:
        assert (await totals(fresh))[1] == 4_900
    finally:
        await fresh.close()
    with rejected.open(encoding="utf-8-sig", newline="") as file:
        assert [int(row[0]) for row in list(csv.reader(file))[1:]] == [1 + 50 * place for place in range(100)]


async def test_a_file_that_changes_while_it_is_read_stops_the_import(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 100)
    path = tmp_path / "rows.csv"
    path.write_text(as_csv(SLICE))
    plan = prepare(path, Options(event="order.paid"), CONFIG)

    def append(position: int) -> None:
        with path.open("a") as file:
            file.write("00001,19970101,1,1.00\r\n")

    with closing(RejectFile(tmp_path / "rejected.csv", plan.header, "en")) as rejects, pytest.raises(Refused) as caught:
        await service.run(platform(database), plan, rejects, on_progress=append)
    assert "was changed" in str(caught.value.message)
    assert (await totals(database))[1] == 100
