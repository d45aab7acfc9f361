"""Calendars as they are stored and served: the default one, changes, dates, calculations, the cache, bad input."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest

from zhike.calendar.service import calendar
from zhike.errors import NotFound
from zhike.orm import Database
from zhike.platform import Platform
from zhike.testing.databases import QueryCounter
from zhike.testing.plugin import FrozenNow, MakeToken

WORKDAY = ["09:00-12:00", "13:00-18:00"]
NIGHT = {"weekly": {"monday": ["22:00-06:00"]}, "zone": "America/New_York"}


async def days(client: httpx.AsyncClient, first: str, last: str, name: str = "default") -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/calendars/{name}/days?from={first}&to={last}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_the_default_calendar_is_an_office_week_in_china(
    client: httpx.AsyncClient, frozen_now: FrozenNow
) -> None:
    listed = (await client.get("/api/v1/calendars")).json()
    entry = (await client.get("/api/v1/calendars/default")).json()
    assert listed == {"items": [entry], "next": None}
    assert entry["zone"] == "Asia/Shanghai"
    assert entry["country"] == "CN"
    assert entry["weekly"]["friday"] == WORKDAY
    assert entry["weekly"]["saturday"] == []
    assert entry["provisional_years"] == [2027, 2028]


@pytest.mark.parametrize("year", [2027, 2030])
async def test_years_without_a_notice_are_used_and_marked(
    client: httpx.AsyncClient, frozen_now: FrozenNow, year: int
) -> None:
    frozen_now.set(datetime(year, 9, 29, 1, tzinfo=UTC))
    entry = (await client.get("/api/v1/calendars/default")).json()
    assert entry["provisional_years"] == [year, year + 1, year + 2]
    today = (await client.get("/api/v1/calendars/default/days")).json()["items"]
    assert len(today) == 31
    assert today[0]["date"] == f"{year}-09-29"
    assert today[2] == {
        "date": f"{year}-10-01",
        "open": False,
        "hours": [],
        "why": "holiday",
        "name": "National Day",
        "provisional": True,
    }
    body = {"from": f"{year}-09-30T17:00:00+08:00", "duration": "PT2H"}
    answer = (await client.post("/api/v1/calendars/default/calculate", json=body)).json()
    assert answer["provisional_years"] == [year]
    assert datetime.fromisoformat(answer["to"]) > datetime(year, 10, 3, tzinfo=UTC)


async def test_a_notice_is_imported_by_date_and_taken_back(client: httpx.AsyncClient, frozen_now: FrozenNow) -> None:
    frozen_now.set(datetime(2027, 1, 4, tzinfo=UTC))
    notice = [
        {"date": "2027-10-07", "kind": "holiday", "name": "国庆节"},
        {"date": "2027-10-09", "kind": "working", "name": "国庆节调休"},
        {"date": "2027-10-12", "kind": "working", "name": "盘点", "hours": ["10:00-16:00"]},
    ]
    imported = await client.post("/api/v1/calendars/default/days", json=notice)
    assert (imported.status_code, imported.json()) == (200, {"days": 3})
    assert [
        (day["hours"], day["why"], day["name"], day["provisional"])
        for day in await days(client, "2027-10-07", "2027-10-12")
    ] == [
        ([], "override", "国庆节", False),
        (WORKDAY, "weekly", "", False),
        (WORKDAY, "override", "国庆节调休", False),
        ([], "weekly", "", False),
        (WORKDAY, "weekly", "", False),
        (["10:00-16:00"], "override", "盘点", False),
    ]
    assert (await client.get("/api/v1/calendars/default")).json()["provisional_years"] == [2028, 2029]
    for day in ("2027-10-09", "2027-10-12"):
        assert (await client.delete(f"/api/v1/calendars/default/days/{day}")).status_code == 200
    assert (await client.delete("/api/v1/calendars/default/days/2027-10-09")).status_code == 404
    assert (await days(client, "2027-10-09", "2027-10-09"))[0]["open"] is False
    assert (await client.get("/api/v1/calendars/default")).json()["provisional_years"] == [2027, 2028, 2029]


async def test_a_calendar_is_made_and_changed_and_keeps_its_dates(client: httpx.AsyncClient) -> None:
    made = await client.put("/api/v1/calendars/night", json=NIGHT)
    assert (made.status_code, made.json()["zone"], made.json()["country"]) == (200, "America/New_York", None)
    assert made.json()["provisional_years"] == []
    closed = [{"date": "2026-03-16", "kind": "holiday"}]
    assert (await client.post("/api/v1/calendars/night/days", json=closed)).status_code == 200
    body = {"from": "2026-03-07T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
    # Monday nights of the 9th, 23rd and 30th; the 16th is closed.
    answer = (await client.post("/api/v1/calendars/night/calculate", json=body)).json()
    assert answer == {**body, "seconds": 24 * 3600.0, "provisional_years": []}
    changed = {"weekly": {"sunday": ["00:00-24:00"]}, "country": "CN"}
    assert (await client.put("/api/v1/calendars/night", json=changed)).json()["zone"] == "Asia/Shanghai"
    shown = await days(client, "2026-03-15", "2026-03-16", "night")
    assert [(day["hours"], day["why"]) for day in shown] == [(["00:00-24:00"], "weekly"), ([], "override")]
    assert [entry["name"] for entry in (await client.get("/api/v1/calendars")).json()["items"]] == ["default", "night"]


async def test_working_time_can_be_tried(client: httpx.AsyncClient) -> None:
    url, start = "/api/v1/calendars/default/calculate", "2026-09-30T17:00:00+08:00"
    added = (await client.post(url, json={"from": start, "duration": "PT2H"})).json()
    expected = {"from": start, "to": "2026-10-08T02:00:00Z", "seconds": 7200.0, "provisional_years": []}
    assert added == expected
    measured = (await client.post(url, json={"from": start, "to": "2026-10-08T10:00:00+08:00"})).json()
    assert measured["seconds"] == 7200.0
    back = (await client.post(url, json={"from": added["to"], "to": start})).json()
    assert back["seconds"] == -7200.0


async def test_writes_are_audited_with_what_was_written(client: httpx.AsyncClient, database: Database) -> None:
    await client.put("/api/v1/calendars/night", json=NIGHT)
    await client.post("/api/v1/calendars/night/days", json=[{"date": "2026-03-16", "kind": "holiday", "name": "x"}])
    await client.delete("/api/v1/calendars/night/days/2026-03-16")
    await client.post("/api/v1/calendars/nobody/days", json=[{"date": "2026-03-16", "kind": "holiday"}])
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM audit WHERE action LIKE 'calendar.%' ORDER BY id")
    assert {row["object"] for row in rows} == {"calendar:night"}
    assert all(row["actor"].startswith("token:") for row in rows)
    details = {row["action"]: msgspec.json.decode(row["details"]) for row in rows}
    assert list(details) == ["calendar.put", "calendar.import_days", "calendar.delete_day"]
    assert details["calendar.put"]["weekly"]["monday"] == ["22:00-06:00"]
    assert details["calendar.import_days"]["days"][0]["name"] == "x"
    assert details["calendar.delete_day"] == {"date": "2026-03-16"}


async def test_everybody_reads_calendars_and_admins_change_them(
    client: httpx.AsyncClient, make_token: MakeToken
) -> None:
    change, url = [{"date": "2026-03-16", "kind": "holiday"}], "/api/v1/calendars/default"
    for role in ("viewer", "agent", "manager"):
        client.headers["authorization"] = f"Bearer {await make_token(role)}"
        assert (await client.get(url)).status_code == 200
        body = {"from": "2026-03-16T00:00:00Z", "duration": "PT1H"}
        assert (await client.post(f"{url}/calculate", json=body)).status_code == 200
        assert (await client.put(url, json=NIGHT)).status_code == 403
        assert (await client.post(f"{url}/days", json=change)).status_code == 403
        assert (await client.delete(f"{url}/days/2026-03-16")).status_code == 403


BAD_CALENDARS = [
    ({"weekly": {}}, "open hours"),
    ({"weekly": {"monday": []}}, "open hours"),
    ({"weekly": {"monday": ["9-18"]}}, "weekly.monday[0]"),
    ({"weekly": {"monday": ["09:00-09:00"]}}, "weekly.monday[0]"),
    ({"weekly": {"monday": [540, 1080]}}, "weekly.monday[0]"),
    ({"weekly": {"monday": ["00:00-24:00"] * 25}}, "weekly.monday"),
    ({"weekly": {"montag": ["09:00-12:00"]}}, "montag"),
    ({"weekly": {"monday": ["09:00-12:00"]}, "zone": "Mars/Olympus"}, "Mars/Olympus"),
    ({"weekly": {"monday": ["09:00-12:00"]}, "zone": "../../etc/passwd"}, "IANA"),
    ({"weekly": {"monday": ["09:00-12:00"]}, "zone": ""}, "IANA"),
    ({"weekly": {"monday": ["09:00-12:00"]}, "country": "XX"}, "country"),
    *(({"weekly": {"monday": ["09:00-12:00"]}, "zone": zone}, "IANA") for zone in ("localtime", "Factory", "Asia", "")),
    ([], "expected"),
]


async def test_a_calendar_that_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    for body, told in BAD_CALENDARS:
        answer = await client.put("/api/v1/calendars/default", json=body)
        assert answer.status_code == 400, body
        assert told in answer.json()["detail"]
    assert (await client.get("/api/v1/calendars/default")).json()["weekly"]["monday"] == WORKDAY


BAD_DATES = [
    ([], "length"),
    ([{"date": "2026-02-30", "kind": "holiday"}], "[0].date: expected a date such as"),
    ([{"date": "2026-03-16T00:00:00+08:00", "kind": "holiday"}], "[0].date: expected a date such as"),
    ([{"date": "1969-12-31", "kind": "holiday"}], "1970"),
    ([{"date": "9999-12-31", "kind": "holiday"}], "1970"),
    ([{"date": "2026-03-16", "kind": "feast"}], "[0].kind"),
    ([{"date": "2026-03-16", "kind": "holiday", "hours": ["09:00-10:00"]}], "holiday has none"),
    ([{"date": "2026-03-16", "kind": "working", "hours": []}], "has hours or null"),
    ([{"date": "2026-03-16", "kind": "working", "hours": ["x"]}], "[0].hours[0]"),
    ([{"date": "2026-03-16", "kind": "holiday", "name": "a\u0000b"}], "[0].name"),
    ([{"date": "2026-03-16", "kind": "holiday"}, {"date": "2026-03-16", "kind": "working"}], "twice"),
    ([{"date": "2026-03-16", "kind": "holiday"}] * 1001, "length"),
    ({"date": "2026-03-16", "kind": "holiday"}, "expected"),
]


async def test_dates_that_cannot_be_are_refused(client: httpx.AsyncClient) -> None:
    for body, told in BAD_DATES:
        answer = await client.post("/api/v1/calendars/default/days", json=body)
        assert answer.status_code == 400, body
        assert told in answer.json()["detail"]
    assert (await days(client, "2026-03-16", "2026-03-16"))[0]["why"] == "weekly"


async def test_a_name_is_written_as_people_write_it(client: httpx.AsyncClient) -> None:
    given = [{"date": "2026-03-16", "kind": "holiday", "name": "厂庆　放假"}]  # with a wide space, as Chinese has them
    assert (await client.post("/api/v1/calendars/default/days", json=given)).status_code == 200
    assert (await days(client, "2026-03-16", "2026-03-16"))[0]["name"] == "厂庆　放假"


async def test_what_is_wrong_is_told_in_chinese(client: httpx.AsyncClient) -> None:
    week = {"monday": ["09:00-12:00"]}
    for method, path, body, told in [
        ("POST", "/days", [], "body：应为长度 >= 1 的数组"),
        ("POST", "/days", [{"date": "16.3.2026", "kind": "holiday"}], "[0].date：应为日期，例如 2025-06-01"),
        ("POST", "/calculate", {"from": "2026-03-16T00:00:00"}, "from：应为带时区偏移的时间"),
        ("POST", "/calculate", {"from": "2026-03-16T00:00:00Z", "duration": "P1Y"}, "duration：应为以日、时"),
        ("PUT", "", {"weekly": week, "zone": "Asia"}, "时区为 'Asia'，应为 IANA 时区"),
        ("PUT", "", {"weekly": {"monday": ["9-12"]}}, "weekly.monday[0] 为 '9-12'，应为时段，例如 09:00-12:00"),
    ]:
        headers = {"Accept-Language": "zh-CN"}
        answer = await client.request(method, f"/api/v1/calendars/default{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["detail"].startswith(told)) == (400, True), answer.text


BAD_CALCULATIONS = [
    ({"from": "2026-03-16T00:00:00Z"}, "one of duration and to"),
    ({"from": "2026-03-16T00:00:00Z", "duration": "PT1H", "to": "2026-03-17T00:00:00Z"}, "one of duration and to"),
    ({"duration": "PT1H"}, "from"),
    ({"from": "2026-03-16T00:00:00", "duration": "PT1H"}, "from: expected a time with its offset"),
    ({"from": "2026-03-16T00:00:00Z", "duration": "-PT1H"}, "negative"),
    ({"from": "2026-03-16T00:00:00Z", "duration": "P99999D"}, "1970 to 2199"),
    ({"from": "2026-03-16T00:00:00Z", "duration": "P1Y"}, "duration: expected a duration in days, hours"),
    ({"from": "2026-03-16T00:00:00Z", "duration": "P99999999999999999999D"}, "duration"),
    ({"from": "0001-01-01T00:00:00+14:00", "duration": "PT1H"}, "1970 to 2199"),
    ({"from": "2026-03-16T00:00:00Z", "to": "9999-12-31T23:59:59-12:00"}, "1970 to 2199"),
]


async def test_calculations_that_cannot_be_are_refused(client: httpx.AsyncClient) -> None:
    for body, told in BAD_CALCULATIONS:
        answer = await client.post("/api/v1/calendars/default/calculate", json=body)
        assert answer.status_code == 400, body
        assert told in answer.json()["detail"]


BAD_SPANS = [
    "from=2026-03-16&to=2026-03-15",
    "from=2026-03-16&to=2029-03-16",
    "from=0001-01-01&to=9999-12-31",
    "from=9999-12-31",
    "to=9999-12-31",
    "from=16.3.2026",
    "from_=2026-03-16",
]


async def test_spans_of_dates_that_cannot_be_are_refused(client: httpx.AsyncClient) -> None:
    for query in BAD_SPANS:
        assert (await client.get(f"/api/v1/calendars/default/days?{query}")).status_code == 400, query


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for path in ("nobody", "nobody/days"):
        assert (await client.get(f"/api/v1/calendars/{path}")).status_code == 404, path
    for path in ("nobody/days/2026-03-16", "default/days/2026-03-16", "default/days/tomorrow", "default/days/20260316"):
        assert (await client.delete(f"/api/v1/calendars/{path}")).status_code == 404, path


async def test_a_calendar_needs_a_plain_name(client: httpx.AsyncClient) -> None:
    for name in ("Night", "-night", "nacht%20schicht", "夜", "n" * 64):
        answer = await client.put(f"/api/v1/calendars/{name}", json=NIGHT)
        assert (answer.status_code, "63" in answer.json()["detail"]) == (400, True), name


async def test_a_process_asks_the_database_again_after_five_seconds(
    platform: Platform, query_counter: QueryCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("zhike.calendar.service.time", SimpleNamespace(monotonic=lambda: now))
    before = await calendar(platform)
    query_counter.reset()
    assert await calendar(platform) is before
    assert query_counter.count == 0
    async with platform.db.connection() as connection:  # as another process does
        await connection.execute("INSERT INTO calendar_day VALUES ('default', '2026-03-16', 'holiday', 'x')")
    now += 4.9
    assert (await calendar(platform)).rule(date(2026, 3, 16)).why == "weekly"
    now += 0.2
    changed = await calendar(platform)
    assert changed.rule(date(2026, 3, 16)).name == "x"
    now += 6
    assert await calendar(platform) is changed  # nothing is different: what it has summed up is kept


async def test_the_service_counts_by_the_default_calendar(platform: Platform) -> None:
    due = (await calendar(platform)).add_working_time(datetime(2026, 3, 13, 9, tzinfo=UTC), timedelta(hours=8))
    assert due == datetime(2026, 3, 16, 9, tzinfo=UTC)
    with pytest.raises(NotFound, match="nobody"):
        await calendar(platform, "nobody")
