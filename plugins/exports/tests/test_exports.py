"""Exports: lossless as JSON Lines, harmless as CSV, masked, scoped, audited, and never half a file that looks whole."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from zhike.access.actor import Actor
from zhike.contracts import RecordedEvent
from zhike.platform import Platform
from zhike_exports import service
from zhike_exports.schemas import Exported, Wanted
from zhike_exports.writing.cells import cell

Record = Callable[..., Awaitable[list[RecordedEvent]]]
MakeToken = Callable[..., Awaitable[str]]

EVENTS: list[dict[str, Any]] = [
    {
        "name": "order.paid",
        "message_id": "m1",
        "occurred_at": "2024-01-05T10:00:00Z",
        "amount": "12.30",
        "currency": "CNY",
        "identities": {"external_id": "A1", "phone": "13800138000", "device_id": "d1"},
        "traits": {"name": "王伟", "city": "=1+1", "vip": True, "score": 1.5, "tags": ["a", "b"], "note": "'quoted"},
        "properties": {"sku": "00123", "n": 1e21, "deep": {"x": [1, None]}},
        "source": "shop",
    },
    {
        "name": "page.view",
        "message_id": "m2",
        "occurred_at": "2024-02-05T10:00:00Z",
        "identities": {"email": "li@example.com"},
        "traits": {"name": "-李,\n娜", "kind": "company"},
    },
]


async def whole(platform: Platform, kind: Any, actor: Actor | None = None, **wanted: Any) -> str:
    pieces = service.export(platform, actor or Actor.command("export"), kind, Wanted(**wanted), Exported())
    return b"".join([piece async for piece in pieces]).decode()


async def fetch(platform: Platform, sql: str) -> list[tuple[Any, ...]]:
    async with platform.db.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


class Zhike:
    """Runs `zhike` on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        environment = {"ZHIKE_DATABASE_URL": self.url, "ZHIKE_DATA": str(self.folder), "ZHIKE_LOCALE": "en"}
        command = [str(Path(sys.executable).with_name("zhike")), *arguments]
        done = subprocess.run(
            command, env=os.environ | environment, cwd=self.folder, capture_output=True, timeout=60, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_what_was_exported_is_the_same_when_it_comes_in_elsewhere(
    platform: Platform, record: Record, database_server: Any, tmp_path: Path, form: str
) -> None:
    await record(*EVENTS)
    before = {kind: await whole(platform, kind, format=form) for kind in ("customers", "events")}
    for kind, content in before.items():
        (tmp_path / f"{kind}.{form}").write_text(content, "utf-8", newline="")
    url = database_server.create(plugins=("imports", "exports"))
    try:
        zhike = Zhike(url, tmp_path)
        assert zhike("import", "customers", f"customers.{form}")[1].splitlines()[-1].startswith("accepted 2,")
        if form == "jsonl":
            assert zhike("import", "events", "events.jsonl")[1].splitlines()[-1].startswith("accepted 2,")
            status, out, err = zhike("export", "events", "--format", form)
            assert (status, out, err) == (0, before["events"], "exported 2\n")
        status, out, err = zhike("export", "customers", "--format", form)
        assert (status, err) == (0, "exported 2\n")
        assert _without_times(out, form) == _without_times(before["customers"], form)
    finally:
        database_server.drop(url)


def _without_times(content: str, form: str) -> list[dict[str, Any]]:
    if form == "jsonl":
        found = [json.loads(line) for line in content.splitlines()]
    else:
        found = list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"), newline="")))
    # Words count from when the row says the customer was changed, to the millisecond; ids are each installation's own.
    return [{k: v for k, v in each.items() if k not in {"zhike_id", "updated_at", "created_at"}} for each in found]


@pytest.mark.parametrize("text", ["=1+1", "+86", "-1", "@x", "\t=1", "\r=1", "\n=1", "'=1", "'00123"])
def test_no_text_is_a_formula(text: str) -> None:
    assert cell(text) == "'" + text


def test_numbers_stay_numbers() -> None:
    assert [cell(value) for value in (-5, 1.5, True, None, ["a"], "plain")] == [
        "-5",
        "1.5",
        "true",
        "",
        '["a"]',
        "plain",
    ]


@pytest.mark.usefixtures("frozen_now")  # the digits of a phone may stand in a time
async def test_who_sees_fields_masked_exports_them_masked(platform: Platform, record: Record) -> None:
    await record(*EVENTS)
    viewer = Actor(kind="user", id=1, name="v", role="viewer", permissions=Actor.system().permissions)
    for kind in ("customers", "events"):
        for form in ("csv", "jsonl"):
            content = await whole(platform, kind, viewer, format=form)
            assert "13800138000" not in content
            assert "li@example.com" not in content
            assert "138****8000" in content
    hidden = Actor(
        kind="user",
        id=1,
        name="h",
        role="own",
        permissions=Actor.system().permissions,
        rules={"phone": "hide", "attributes.city": "hide"},
    )
    content = await whole(platform, "customers", hidden)
    assert not [shown for shown in ("13800138", "00138000", "138*", "*8000") if shown in content]
    assert "1+1" not in content
    assert "attribute:city" not in content


async def test_scope_and_condition_choose_whom(platform: Platform, record: Record) -> None:
    await record(*EVENTS)
    own = Actor(
        kind="user",
        id=7,
        user_id=7,
        name="o",
        role="own",
        permissions=Actor.system().permissions,
        scopes={"customers.export": "own"},
        rules={},
    )
    assert await whole(platform, "customers", own, format="jsonl") == ""
    condition = {"type": "field", "field": "customer.attributes.vip", "op": "eq", "value": True}
    chosen = await whole(platform, "events", condition=condition, format="jsonl")
    assert [json.loads(line)["message_id"] for line in chosen.splitlines()] == ["m1"]
    assert await whole(platform, "events", format="jsonl", until=datetime(2024, 2, 1, tzinfo=UTC)) == chosen


async def test_fields_are_chosen_in_their_order(platform: Platform, record: Record) -> None:
    await record(*EVENTS)
    content = await whole(platform, "customers", fields=("attribute:city", "name", "identity:external_id"), bom=False)
    assert list(csv.reader(io.StringIO(content, newline="")))[:2] == [
        ["attribute:city", "name", "identity:external_id"],
        ["'=1+1", "王伟", "A1"],
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"fields": ["nmae"]}, "'nmae'"),
        ({"fields": ["attribute:"]}, "attribute:"),
        ({"fields": ["attribute:a\0b"]}, "a\\x00b"),
        ({"fields": ["attribute:city"], "format": "jsonl"}, "'attribute:city'"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"until": "9999-12-31T23:59:59-12:00"}, "until"),
        ({"condition": "\0"}, "condition"),
    ],
)
async def test_what_cannot_be_handed_out_is_refused_and_not_written_down(
    client: httpx.AsyncClient, platform: Platform, wanted: dict[str, Any], said: str
) -> None:
    for kind in ("customers", "events"):
        answer = await client.post(f"/api/v1/exports/{kind}", json=wanted)
        assert (answer.status_code, said in answer.json()["detail"]) == (400, True)
    assert await fetch(platform, "SELECT action FROM audit WHERE action LIKE 'export.%'") == []


async def test_instants_without_offset_are_in_the_zone_of_the_installation(
    client: httpx.AsyncClient, record: Record
) -> None:
    await record(*EVENTS)
    for since, count in (("2024-02-05T17:59:00", 1), ("2024-02-05T18:01:00", 0)):
        answer = await client.post("/api/v1/exports/events", json={"format": "jsonl", "since": since})
        assert len(answer.text.splitlines()) == count


async def test_an_export_leaves_its_trace_also_when_the_client_goes_away(platform: Platform, record: Record) -> None:
    await record(*EVENTS)
    await whole(platform, "customers", format="jsonl")
    pieces = service.export(platform, Actor.command("export"), "events", Wanted(), Exported())
    await anext(pieces)
    await pieces.aclose()
    rows = await fetch(platform, "SELECT action, details::text FROM audit WHERE action LIKE 'export.%' ORDER BY id")
    told = [(action, json.loads(details)) for action, details in rows]
    assert [action for action, _ in told] == ["export.start", "export.end"] * 2
    assert (told[1][1]["rows"], told[1][1]["whole"], told[3][1]["whole"]) == (2, True, False)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"
    assert await fetch(platform, idle) == [(0,)]


async def test_the_api_streams_files_to_whoever_may(
    client: httpx.AsyncClient, record: Record, make_token: MakeToken
) -> None:
    await record(*EVENTS)
    answer = await client.get("/api/v1/exports/customers")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="customers-')
    assert len(answer.text.splitlines()) == 4
    condition = {"type": "field", "field": "customer.name", "op": "eq", "value": "王伟"}
    answer = await client.post("/api/v1/exports/events", json={"format": "jsonl", "condition": condition})
    assert [json.loads(line)["message_id"] for line in answer.text.splitlines()] == ["m1"]
    answer = await client.post("/api/v1/exports/events", json={"condition": {"field": "nonsense"}})
    assert answer.status_code == 400
    token = await make_token("viewer")
    answer = await client.get("/api/v1/exports/customers", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403


async def test_a_file_exists_only_when_it_is_whole(database_url: str, tmp_path: Path) -> None:
    zhike = Zhike(database_url, tmp_path)
    assert zhike("export", "customers", "--out", "all.csv") == (0, "exported 0\n", "")
    assert (tmp_path / "all.csv").stat().st_mode & 0o077 == 0
    (tmp_path / "all.csv").unlink()
    status, _, err = zhike("export", "customers", "--out", "all.csv", "--condition", '{"field": "nonsense"}')
    assert (status, err.startswith("zhike: ")) == (1, True)
    assert not list(tmp_path.glob("all.csv*"))  # noqa: ASYNC240  # nothing else runs here


def test_what_is_no_file_is_written_to_and_not_replaced(database_url: str, tmp_path: Path) -> None:
    zhike = Zhike(database_url, tmp_path)
    status, out, _ = zhike("export", "customers", "--out", "/dev/stdout", "--no-bom")
    assert (status, out.splitlines()[0].startswith("zhike_id,"), out.splitlines()[-1]) == (0, True, "exported 0")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert zhike("export", "customers", "--out", "link.csv")[0] == 0
    assert ((tmp_path / "link.csv").is_symlink(), (tmp_path / "real.csv").is_file()) == (True, True)
    status, _, err = zhike("export", "customers", "--out", ".")
    assert (status, err.startswith("zhike: ")) == (1, True)


def test_a_role_and_a_user_at_once_are_refused(database_url: str, tmp_path: Path) -> None:
    status, out, err = Zhike(database_url, tmp_path)("export", "customers", "--role", "viewer", "--user", "li.na")
    assert (status, out, "exclude each other" in err) == (1, "", True)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_told(database_url: str, tmp_path: Path) -> None:
    environment = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_DATA": str(tmp_path), "ZHIKE_LOCALE": "en"}
    environment["PYTHONUNBUFFERED"] = ""  # as in people's shells: what is short is written at the end
    command = [str(Path(sys.executable).with_name("zhike")), "export", "customers"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, env=os.environ | environment, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr.decode()) == (1, "zhike: the disk that the output goes to is full\n")
