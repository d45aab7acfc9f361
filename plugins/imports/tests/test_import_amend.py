"""Imported events pass other plugins like those from elsewhere: checked against payloads, amended, dropped."""

from __future__ import annotations

import csv
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec

from zhike import settings
from zhike.contracts import EventType, IncomingDraft
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform, assemble
from zhike_imports import service
from zhike_imports.run.plan import prepare
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options

CONFIG = settings.load(Path("unused"), {"ZHIKE_LOCALE": "en"})


class Paid(msgspec.Struct):
    """What `shop.paid` says."""

    shop: str


class Shop:
    """A plugin that checks, completes and drops what comes in."""

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register a type with a payload."""
        return [EventType(name="shop.paid", kind="behaviour", label="Paid", payload=Paid)]

    @hookimpl
    async def amend_incoming_events(self, events: list[IncomingDraft]) -> None:
        """Drop what is too small, and say where the rest comes from."""
        for event in events:
            event.source = "till"
            event.dropped = event.amount == Decimal(1)


async def test_plugins_see_imported_events_as_those_from_elsewhere(database: Database, tmp_path: Path) -> None:
    path, rejected = tmp_path / "rows.csv", tmp_path / "rejected.csv"
    path.write_text("customer_id,date,amount,shop\n1,20240105,1.00,a\n2,20240105,2.00,a\n3,20240105,3.00,\n")
    topics: list[str] = []
    plan = prepare(path, Options(event="shop.paid"), CONFIG)
    assembled = assemble({"shop": Shop()})
    platform = Platform(
        settings=CONFIG, db=database, hooks=assembled.hooks, registry=assembled.registry, announce=topics.append
    )
    with closing(RejectFile(rejected, plan.header, "en")) as rejects:
        run, _ = await service.run(platform, plan, rejects)
    assert (run.accepted, run.duplicate, run.rejected) == (1, 0, 2)
    assert topics == ["log"]
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT amount, source FROM event WHERE behaviour")
    assert list(map(tuple, rows)) == [(200, "till")]
    with rejected.open(encoding="utf-8-sig", newline="") as file:
        reasons = [row[:4] for row in list(csv.reader(file))[1:]]
    assert reasons == [
        ["1", "2", "dropped", "event: dropped by the plugin shop"],
        ["3", "4", "properties", "properties: the field `shop` is missing"],
    ]
