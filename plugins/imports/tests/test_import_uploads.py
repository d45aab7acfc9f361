"""Imports of uploaded files by HTTP: looked at, tried, run in the background, killed, cancelled, mended, undone."""

from __future__ import annotations

import asyncio
import contextvars
import csv
import io
import os
import resource
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from zhike import clock
from zhike.access import own_roles, tokens
from zhike.access.actor import Actor
from zhike.errors import Forbidden
from zhike.files import service as files
from zhike.jobs.worker import JobWorker
from zhike.platform import Platform
from zhike_imports import service
from zhike_imports.run import uploads
from zhike_imports.run.rejects import Rejects
from zhike_imports.run.uploads import store
from zhike_imports.schemas import MANAGE, Batch, Run

RunUntilIdle = Callable[..., Awaitable[None]]
ACTOR = Actor.command("test")
PEOPLE = "客户编号,姓名,手机号,城市\nA1,王伟,13800138000,上海\nA2,李娜,12,北京\nA3,张敏,13900139000,\n"
ORDERS = "user_id,date,amount\nA1,2024-01-05,12.50\nA1,2024-01-06,x\nA2,2024-01-07,1\n"


class Wizard:
    """Does by HTTP what the pages do."""

    def __init__(self, platform: Platform, client: httpx.AsyncClient, idle: RunUntilIdle) -> None:
        self.platform, self.client, self.idle = platform, client, idle

    async def upload(self, content: str | bytes, name: str = "客户.csv") -> int:
        raw = content.encode() if isinstance(content, str) else content

        async def pieces() -> AsyncIterator[bytes]:
            yield raw

        return (await store(self.platform, ACTOR, name=name, media_type="text/csv", pieces=pieces())).id

    async def __call__(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.client.request(method, f"/api/v1/imports{path}", json=body if method == "POST" else None)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def run(self, **asked: Any) -> Any:
        begun = await self("POST", "", **asked)
        await self.idle()
        return await self("GET", f"/{begun['id']}")

    async def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.platform.db.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql)]


@pytest.fixture
def wizard(platform: Platform, client: httpx.AsyncClient, run_until_idle: RunUntilIdle) -> Wizard:
    return Wizard(platform, client, run_until_idle)


async def test_a_file_is_looked_at_before_anything_is_written(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    seen = await wizard("POST", "/preview", file_id=file_id, kind="customers")
    assert (seen["format"], seen["encoding"], seen["size"]) == ("CSV (,)", "utf-8", len(PEOPLE.encode()))
    assert seen["mapping"] == {
        "客户编号": "identity:external_id",
        "姓名": "name",
        "手机号": "phone",
        "城市": "text:city",
    }
    assert seen["rows"][0] == ["A1", "王伟", "13800138000", "上海"]
    found = seen["found"]
    assert (found["rows"], found["fresh"], found["created"], found["rejected"]) == (3, 2, 2, 1)
    assert [reason["line"] for reason in found["reasons"]] == [3]
    assert seen["problem"] is None
    assert await wizard.fetch("SELECT count(*) FROM customer") == [(0,)]
    assert await wizard.fetch("SELECT count(*) FROM imports_run") == [(0,)]


async def test_a_mapping_of_which_nothing_can_be_made_says_so_and_shows_the_rows(wizard: Wizard) -> None:
    file_id = await wizard.upload(ORDERS, "o.csv")
    seen = await wizard("POST", "/preview", file_id=file_id)
    assert (seen["found"], seen["mapping"]["user_id"]) == (None, "identity:external_id")
    assert "nothing names the events" in seen["problem"]
    maps = {"user_id": "identity:external_id", "date": "occurred_at", "amount": "amount"}
    seen = await wizard("POST", "/preview", file_id=file_id, event="order.paid", maps=maps)
    assert (seen["problem"], seen["found"]["fresh"], seen["found"]["rejected"]) == (None, 2, 1)
    assert (await wizard("POST", "", 400, file_id=file_id))["code"] == "file"
    bad = await wizard("POST", "/preview", 400, file_id=file_id, maps={"nobody": "amount"})
    assert "there is no column" in bad["detail"]
    await wizard("POST", "/preview", 404, file_id=999)
    binary = await wizard.upload(b"%PDF-1.7\n" * 20, "客户.csv")
    assert "PDF" in (await wizard("POST", "/preview", 400, file_id=binary))["detail"]


async def test_it_runs_in_the_background_and_hands_out_what_is_to_be_mended(wizard: Wizard) -> None:
    done = await wizard.run(file_id=await wizard.upload(PEOPLE), kind="customers")
    assert (done["state"], done["accepted"], done["rejected"], done["rows_done"]) == ("done", 2, 1, 3)
    assert done["bytes_done"] == done["bytes_total"] == len(PEOPLE.encode())
    assert (done["file_name"], done["started_by"].partition(":")[0]) == ("客户.csv", "token")
    answer = await wizard.client.get(f"/api/v1/imports/{done['id']}/rejected")
    assert "filename*=UTF-8''%E5%AE%A2%E6%88%B7.csv.rejected.csv" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][4:] == ["客户编号", "姓名", "手机号", "城市"]
    assert [row[:2] + row[4:] for row in rows[1:]] == [["2", "3", "A2", "李娜", "12", "北京"]]
    mended = answer.content.decode().replace(",12,", ",13700137000,")
    again = await wizard.run(file_id=await wizard.upload(mended), kind="customers")
    assert (again["accepted"], again["rejected"]) == (1, 0)
    await wizard("POST", f"/{done['id']}/undo", dry_run=False)
    await wizard.idle()
    assert (await wizard("GET", f"/{done['id']}"))["state"] == "undone"
    assert await wizard.fetch("SELECT name FROM customer") == [("李娜",)]
    listed = await wizard("GET", "")
    assert [each["id"] for each in listed["items"]] == [again["id"], done["id"]]
    actions = await wizard.fetch("SELECT action FROM audit WHERE action LIKE 'import.%' ORDER BY id")
    assert [each[0] for each in actions] == ["import.start", "import.rejected", "import.start", "import.undo"]


async def test_reasons_are_told_in_the_language_of_whoever_reads_them(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    tried = await wizard.run(file_id=file_id, kind="customers", dry_run=True)
    done = await wizard.run(file_id=file_id, kind="customers")
    gone = await wizard("POST", "", file_id=await wizard.upload(ORDERS), event="order.paid")
    await wizard.fetch("DELETE FROM file_chunk RETURNING number")
    await wizard.idle()
    told = {}
    for locale in ("en", "zh-CN"):
        wizard.client.headers["accept-language"] = locale
        found = (await wizard("GET", f"/{tried['id']}"))["found"]
        rejected = (await wizard.client.get(f"/api/v1/imports/{done['id']}/rejected")).content.decode("utf-8-sig")
        failure = (await wizard("GET", f"/{gone['id']}"))["failure"]
        reason = list(csv.reader(io.StringIO(rejected)))[1][3]
        assert {each["message"] for each in found["reasons"] + found["groups"]} == {reason}
        told[locale] = (reason, failure)
    assert [each.isascii() for each in told["en"]] == [True, True]
    assert [each.isascii() for each in told["zh-CN"]] == [False, False]


async def test_what_is_handed_out_to_be_mended_holds_no_formulas_and_comes_in_as_it_was(wizard: Wizard) -> None:
    values = ['=HYPERLINK("http://x")', "@SUM(1)", "-1+cmd|' /C calc'!A0", "\t=1", "-5.20", "+86 138", '="00123"', "'x"]
    people = [["客户编号", "姓名", "手机号", "备注"], *(["B1", value, "12", value] for value in values)]
    out = io.StringIO()
    csv.writer(out).writerows(people)
    done = await wizard.run(file_id=await wizard.upload(out.getvalue()), kind="customers")
    assert (done["accepted"], done["rejected"]) == (0, len(values))
    answer = (await wizard.client.get(f"/api/v1/imports/{done['id']}/rejected")).content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(answer)))
    assert [row[7] for row in rows[1:]] == [f"'{each}" for each in values[:4]] + values[4:]
    mended = [
        [f"B{place}" if cell == "B1" else "" if cell == "12" else cell for cell in row]
        for place, row in enumerate(rows)
    ]
    out = io.StringIO()
    csv.writer(out).writerows(mended)
    again = await wizard.run(file_id=await wizard.upload(out.getvalue()), kind="customers")
    assert (again["accepted"], again["rejected"]) == (len(values), 0)
    found = await wizard.fetch("SELECT attributes->>'备注' FROM customer ORDER BY id")
    assert [each[0] for each in found] == [*values[:3], "=1", *values[4:6], "00123", "'x"]


async def test_where_there_is_no_room_for_the_file_that_is_said(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE + "".join(f"D{n},客户,13900139000,\n" for n in range(5_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        answer = await wizard("POST", "/preview", 503, file_id=file_id, kind="customers")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "no room" in answer["detail"]
    assert (await wizard("POST", "/preview", file_id=file_id, kind="customers"))["found"]["rows"] == 2_000


async def test_a_workbook_is_taken_as_well(wizard: Wizard) -> None:
    stream, book = io.BytesIO(), openpyxl.Workbook()
    assert book.active is not None
    for row in csv.reader(io.StringIO(ORDERS)):
        book.active.append(row)
    book.save(stream)
    file_id = await wizard.upload(stream.getvalue(), "订单.xlsx")
    assert (await wizard("POST", "/preview", file_id=file_id, event="order.paid"))["format"] == "XLSX"
    done = await wizard.run(file_id=file_id, event="order.paid")
    assert (done["state"], done["accepted"], done["rejected"]) == ("done", 2, 1)


async def test_a_dry_run_counts_all_and_writes_nothing(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    tried = await wizard.run(file_id=file_id, kind="customers", dry_run=True)
    assert (tried["state"], tried["found"]["created"], tried["found"]["rejected"]) == ("done", 2, 1)
    assert await wizard.fetch("SELECT count(*) FROM customer") == [(0,)]
    assert (await wizard("GET", ""))["items"] == []
    await wizard("POST", f"/{tried['id']}/undo", 404)


async def test_sent_twice_it_is_begun_once(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    begun = await asyncio.gather(*(wizard("POST", "", file_id=file_id, kind="customers") for _ in range(3)))
    assert len({each["id"] for each in begun}) == 1
    await wizard.idle()
    assert await wizard.fetch("SELECT count(*), sum(accepted) FROM imports_run") == [(1, 2)]


async def test_sent_again_while_the_first_one_ends_it_is_begun_once_or_anew(wizard: Wizard) -> None:
    file_id, ended = await wizard.upload(PEOPLE), asyncio.Event()

    async def end() -> None:
        while not ended.is_set():
            await wizard.fetch("UPDATE imports_run SET finished_at = now() WHERE finished_at IS NULL RETURNING id")

    async def begin() -> list[int]:
        asked = [{"file_id": file_id, "kind": "customers", "dry_run": True}] * 12
        return [(await wizard("POST", "", **each))["id"] for each in asked]

    ending = asyncio.create_task(end())
    try:
        begun = await asyncio.gather(*(begin() for _ in range(4)))
    finally:
        ended.set()
        await ending
    stored = {row[0] for row in await wizard.fetch("SELECT id FROM imports_run")}
    assert {each for ids in begun for each in ids} == stored


@pytest.fixture
def held_back(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Keeps an import of 5,003 rows from storing its last batch until this is set, however late that is."""
    released, store_batch = asyncio.Event(), service._store

    async def hold(platform: Platform, current: Run, batch: Batch, rejects: Rejects) -> Run:
        if batch.last == 5_003:
            await released.wait()
        return await store_batch(platform, current, batch, rejects)

    monkeypatch.setattr(service, "_store", hold)
    return released


async def test_one_that_is_cancelled_ends_and_can_be_undone(wizard: Wizard, held_back: asyncio.Event) -> None:
    rows = "".join(f"C{n},客户{n},,\n" for n in range(5_000))
    file_id = await wizard.upload(PEOPLE + rows)
    begun = await wizard("POST", "", file_id=file_id, kind="customers")
    task = asyncio.create_task(uploads.carry_out(wizard.platform, begun["id"]))
    while (await wizard("GET", f"/{begun['id']}"))["rows_done"] == 0:
        pass
    assert (await wizard("POST", f"/{begun['id']}/cancel"))["state"] == "cancelled"
    held_back.set()
    await task
    ended = await wizard("GET", f"/{begun['id']}")
    assert (ended["state"], ended["failure"]) == ("cancelled", None)
    assert 0 < ended["rows_done"] < 5_003
    await wizard("POST", f"/{begun['id']}/cancel", 409)
    await wizard("POST", "/999/cancel", 404)
    await wizard("POST", f"/{begun['id']}/undo")
    await wizard.idle()
    assert await wizard.fetch("SELECT count(*) FROM customer") == [(0,)]


async def test_one_whose_job_is_deleted_while_it_goes_on_ends(wizard: Wizard, held_back: asyncio.Event) -> None:
    file_id = await wizard.upload(PEOPLE + "".join(f"C{n},客户{n},,\n" for n in range(5_000)))
    begun = await wizard("POST", "", file_id=file_id, kind="customers")
    task = asyncio.create_task(uploads.carry_out(wizard.platform, begun["id"]))
    while (await wizard("GET", f"/{begun['id']}"))["rows_done"] == 0:
        pass
    [(job,)] = await wizard.fetch("SELECT id FROM job WHERE name = 'imports.run'")
    assert (await wizard.client.post(f"/api/v1/jobs/{job}/cancel")).status_code == 200
    held_back.set()
    await task
    ended = await wizard("GET", f"/{begun['id']}")
    assert (ended["state"], ended["failure"]) == ("failed", "Its job was deleted")
    assert 0 < ended["rows_done"] < 5_003


async def test_one_whose_file_is_gone_says_so(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    begun = await wizard("POST", "", file_id=file_id, kind="customers")
    async with wizard.platform.db.transaction() as connection:
        await files.delete(connection, ACTOR, await files.find(wizard.platform.db, file_id))
    await wizard.idle()
    ended = await wizard("GET", f"/{begun['id']}")
    assert (ended["state"], str(file_id) in ended["failure"]) == ("failed", True)


async def test_one_whose_job_is_given_up_says_so_and_goes_on_when_it_is_tried_again(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    begun = await wizard("POST", "", file_id=file_id, kind="customers")
    # Its process has died each time.
    await wizard.fetch(
        "UPDATE job SET lease_token = 1, lease_size = 1, leased_until = now(), attempts = 20"
        " WHERE name = 'imports.run' RETURNING id"
    )
    while await JobWorker(wizard.platform).step():
        pass
    ended = await wizard("GET", f"/{begun['id']}")
    assert (ended["state"], ended["failure"]) == ("failed", "It failed 20 times")
    [(job,)] = await wizard.fetch("SELECT id FROM job WHERE state = 'failed'")
    assert (await wizard.client.post(f"/api/v1/jobs/{job}/retry")).status_code == 200
    await wizard.idle()
    again = await wizard("GET", f"/{begun['id']}")
    assert (again["state"], again["accepted"]) == ("done", 2)
    other = await wizard("POST", "", file_id=file_id, kind="customers", dry_run=True)
    [(job,)] = await wizard.fetch("SELECT id FROM job WHERE name = 'imports.run'")
    assert (await wizard.client.post(f"/api/v1/jobs/{job}/cancel")).status_code == 200
    assert (await wizard("GET", f"/{other['id']}"))["failure"] == "Its job was deleted"


async def test_one_whose_job_cannot_be_read_ends_as_failed(wizard: Wizard) -> None:
    begun = await wizard("POST", "", file_id=await wizard.upload(PEOPLE), kind="customers")
    async with wizard.platform.db.transaction() as connection:
        await connection.execute("""UPDATE job SET payload = '{"import_id": "seven"}' WHERE name = 'imports.run'""")
    while await JobWorker(wizard.platform).step():
        pass
    ended = await wizard("GET", f"/{begun['id']}")
    assert (ended["state"], ended["failure"]) == ("failed", "Its job cannot be run; the page of the job says why")


async def test_one_that_is_tried_again_while_the_same_is_begun_anew_does_not_run_beside_it(wizard: Wizard) -> None:
    file_id = await wizard.upload(PEOPLE)
    begun = (await wizard("POST", "", file_id=file_id, kind="customers"))["id"]
    await wizard.fetch("UPDATE imports_run SET finished_at = now(), failure = 'It failed 20 times' RETURNING id")
    async with wizard.platform.db.transaction() as connection:
        await connection.execute(uploads._ONE_AT_A_TIME, file_id)  # somebody begins it anew …
        task = asyncio.create_task(uploads.carry_out(wizard.platform, begun), context=contextvars.Context())
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not task.done() and not await connection.fetchval(waits):  # … and another process has come to the first
            pass
        columns = "kind, file_name, sha256, options, started_at, started_by, file_id, given, header"
        await connection.execute(f"INSERT INTO imports_run ({columns}) SELECT {columns} FROM imports_run")
    await task
    assert (await wizard("GET", f"/{begun}"))["state"] == "failed"
    assert await wizard.fetch("SELECT count(*) FROM customer") == [(0,)]


async def test_a_profile_is_offered_for_files_with_its_columns(wizard: Wizard) -> None:
    header = ["客户编号", "姓名", "手机号", "城市"]
    given: dict[str, Any] = {
        "name": "总部月报",
        "header": header,
        "kind": "customers",
        "maps": {"客户编号": "identity:erp", "城市": "attribute:town"},
    }
    saved = await wizard("POST", "/profiles", **given)
    assert (await wizard("POST", "/profiles", **given))["id"] == saved["id"]
    seen = await wizard("POST", "/preview", file_id=await wizard.upload(PEOPLE), kind="customers")
    assert [each["name"] for each in seen["profiles"]] == ["总部月报"]
    assert seen["profiles"][0]["options"]["maps"] == ["客户编号=identity:erp", "城市=attribute:town"]
    other = await wizard("POST", "/preview", file_id=await wizard.upload(ORDERS, "o.csv"), event="x.y")
    assert other["profiles"] == []
    assert len((await wizard("GET", "/profiles"))["items"]) == 1
    assert await wizard("DELETE", f"/profiles/{saved['id']}") == {"items": []}
    await wizard("DELETE", f"/profiles/{saved['id']}", 404)
    await wizard("POST", "/profiles", 400, **{**given, "name": " "})


async def test_who_may_import_for_some_customers_only_may_not_by_file(
    wizard: Wizard, make_token: Callable[..., Awaitable[str]]
) -> None:
    own = Actor(
        kind="user", id=1, name="x", role="x", permissions=frozenset({MANAGE}), user_id=1, scopes={MANAGE: "own"}
    )
    with pytest.raises(Forbidden):
        uploads.require(own)
    wizard.client.headers["authorization"] = f"Bearer {await make_token('manager')}"
    for path in ("", "/preview", "/profiles", "/1/cancel", "/1/undo"):
        await wizard("POST", path, 403, file_id=1)
    await wizard("GET", "/1/rejected", 403)


def test_what_a_killed_process_has_left_of_a_file_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("zhike-import-old", "zhike-import-new", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "客户.csv").write_text("x")
    for name in ("zhike-import-old", "other"):
        os.utime(tmp_path / name, (0, 0))
    uploads._clear_folders()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "zhike-import-new"]


async def test_what_was_set_aside_is_not_kept_for_ever(wizard: Wizard) -> None:
    done = await wizard.run(file_id=await wizard.upload(PEOPLE), kind="customers")
    await uploads.clear(wizard.platform)
    assert await wizard.fetch("SELECT count(*) FROM imports_reject") == [(1,)]
    async with wizard.platform.db.transaction() as connection:
        await connection.execute(
            "UPDATE imports_run SET finished_at = $1", clock.now() - uploads.KEPT - timedelta(minutes=1)
        )
    await uploads.clear(wizard.platform)
    assert await wizard.fetch("SELECT count(*) FROM imports_reject") == [(0,)]
    assert (await wizard("GET", f"/{done['id']}"))["rejected"] == 1


RUNNER = """
import asyncio, sys
from pathlib import Path
from zhike._host.plugins.load import load
from zhike.orm import Database
from zhike.settings import Settings
from zhike_imports import service
from zhike_imports.run import uploads

async def store(platform, current, batch, rejects, store=service._store):
    if batch.last == 12_000:
        await asyncio.Event().wait()  # for the end, however late that is
    return await store(platform, current, batch, rejects)

service._store = store

async def main():
    url, folder, number = sys.argv[1:]
    settings = Settings(data=Path(folder), database_url=url, locale="en", pool_size=4)
    database = await Database.open(url)
    await uploads.carry_out(await load(settings, database, threads=False), int(number))

asyncio.run(main())
"""


@pytest.mark.faults
@pytest.mark.heavy
async def test_killed_again_and_again_it_is_exact(wizard: Wizard, database_url: str, tmp_path: Path) -> None:
    rows = 12_000
    lines = (f"C{n},客户{n},{'12' if n % 500 == 0 else 13_000_000_000 + n},\n" for n in range(1, rows + 1))
    file_id = await wizard.upload("客户编号,姓名,手机号,城市\n" + "".join(lines))
    begun = await wizard("POST", "", file_id=file_id, kind="customers")
    kills = 0
    for share in (1, 4_000, 8_000):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUNNER,
            database_url,
            str(tmp_path),
            str(begun["id"]),
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        while process.returncode is None and (await wizard("GET", f"/{begun['id']}"))["rows_done"] < share:
            pass
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        await process.wait()
    assert kills == 3
    await uploads.carry_out(wizard.platform, begun["id"])
    done = await wizard("GET", f"/{begun['id']}")
    assert (done["state"], done["accepted"], done["duplicate"], done["rejected"]) == ("done", rows - 24, 0, 24)
    assert await wizard.fetch("SELECT count(*), count(DISTINCT name) FROM customer") == [(rows - 24, rows - 24)]
    assert await wizard.fetch("SELECT count(*), count(DISTINCT line) FROM imports_reject") == [(24, 24)]


async def test_rows_are_kept_from_those_who_do_not_see_all_and_an_undo_from_those_who_may_for_some(
    wizard: Wizard, platform: Platform
) -> None:
    file_id = await wizard.upload(PEOPLE)
    tried = await wizard.run(file_id=file_id, kind="customers", dry_run=True)
    done = await wizard.run(file_id=file_id, kind="customers")
    assert tried["found"]["table"]
    secrets = []
    for name, scope, rules in (("masked", "all", {"phone": "mask"}), ("some", "own", {})):
        permissions = {MANAGE: scope, "files.read": "all", "customers.read": scope}
        new = own_roles.NewRole(name=name, label=name, permissions=permissions, rules=rules)
        await own_roles.create(platform.db, ACTOR, new, platform.directory)
        _, secret = await tokens.create(platform.db, ACTOR, name, name, kind="admin", directory=platform.directory)
        secrets.append({"authorization": f"Bearer {secret}"})
    for mine, previewed in zip(secrets, (200, 403), strict=True):
        wizard.client.headers.update(mine)
        assert (await wizard("GET", f"/{tried['id']}"))["found"] == {**tried["found"], "table": [], "reasons": []}
        await wizard("GET", f"/{done['id']}/rejected", 403)
        assert (await wizard.client.get(f"/api/v1/files/{file_id}")).status_code == 404
        seen = await wizard("POST", "/preview", previewed, file_id=file_id, kind="customers")
        assert "王伟" not in str(seen)
    await wizard("POST", f"/{done['id']}/undo", 403)
