"""The sample company in the database: through the same services as everybody's data, and once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zhike._host import demo
from zhike.contracts import DemoContext
from zhike.platform import Platform
from zhike.testing.plugin import RunUntilIdle
from zhike_sample.making import care, history
from zhike_sample.story.days import Days
from zhike_sample.story.lives import chapters
from zhike_sample.words.staff import STAFF

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SIZE = 100
PASSWORD = "kmft-7qpz-wx3v"
pytestmark = pytest.mark.plugins("sample")


TABLES = ("customer_relation", "app_user", "customer_field", "team", "role", "identity", "customer")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store more at a time; the days of what is not told by the customers themselves are less exact then."""
    monkeypatch.setattr(history, "_SPAN", 40 * 86_400)


async def build(platform: Platform, size: int = SIZE) -> list[str]:
    said: list[str] = []
    await demo.build(platform, NOW, size=size, password=PASSWORD, say=said.append)
    return said


async def rows(platform: Platform, sql: str, *values: object) -> Sequence[Any]:
    async with platform.db.connection() as connection:
        return await connection.fetch(sql, *values)


async def value(platform: Platform, sql: str) -> Any:
    [[found]] = await rows(platform, sql)
    return found


async def test_it_is_all_there(platform: Platform, client: Any, run_until_idle: RunUntilIdle) -> None:
    assert any("events" in line for line in await build(platform))
    [told] = chapters(Days(NOW.astimezone(platform.settings.zone)), SIZE)
    assert await value(platform, "SELECT count(*) FROM event WHERE behaviour") == len(told.entries)
    assert await value(platform, "SELECT count(*) FROM event WHERE live") == 0
    assert await value(platform, "SELECT count(*) FROM customer WHERE merged_into IS NULL AND name IS NOT NULL") >= SIZE
    assert await value(platform, "SELECT max(occurred_at) <= $$2026-03-14 08:00Z$$ FROM event")
    # As if each had been recorded when it happened.
    late = "SELECT max(recorded_at - occurred_at) FROM event WHERE behaviour"
    assert await value(platform, late) < timedelta(days=2)
    assert await value(platform, "SELECT count(*) FROM customer_stage WHERE valid_to IS NOT NULL") > SIZE / 2
    assert await value(platform, "SELECT count(*) FROM duplicate_candidate WHERE state = 'open'") > 0
    related = "SELECT count(*) FROM customer_relation AS r JOIN customer AS c ON c.id = r.other_customer_id"
    assert await value(platform, f"{related} WHERE c.kind = 'company'") > 5
    assert await value(platform, "SELECT count(DISTINCT owner) FROM customer") >= 8
    states = {row[0] for row in await rows(platform, "SELECT DISTINCT status FROM task")}
    assert states == {"open", "in_progress", "done", "cancelled"}
    assert await value(platform, "SELECT count(*) FROM task_comment") == 16 + 1
    assert await value(platform, "SELECT count(*) FROM task WHERE recurrence IS NOT NULL") == 1
    assert await value(platform, "SELECT count(*) FROM task WHERE items_done BETWEEN 1 AND items - 1") > 0
    notices = await rows(platform, "SELECT kind FROM notice JOIN app_user AS u ON u.id = user_id WHERE login = 'admin'")
    assert {row[0] for row in notices} == {"task.assigned", "task.mentioned"}
    await run_until_idle()
    mine = (await client.get("/api/v1/tasks")).json()
    assert {task["overdue"] for task in mine["items"]} >= {True}


async def test_several_of_the_staff_have_arranged_and_decided_something(platform: Platform, client: Any) -> None:
    await build(platform, size=300)
    kept = [dict(row) for row in await rows(platform, "SELECT page, user_id, shared FROM saved_view")]
    assert {each["page"] for each in kept} == {"customers", "tasks"}
    assert {each["shared"] for each in kept} == {"me", "all"}
    assert len({each["user_id"] for each in kept}) >= 4
    merges = await rows(platform, "SELECT winner_id FROM customer_merge WHERE reason = 'chosen'")
    assert 1 <= len(merges) <= 3
    known = (await client.get(f"/api/v1/customers/{merges[0]['winner_id']}/merges")).json()["items"]
    undone = await client.post("/api/v1/customers/unmerge", json={"merge_id": known[0]["merge_id"]})
    assert undone.status_code == 200, undone.text
    who = {row[0] for row in await rows(platform, "SELECT DISTINCT actor FROM audit WHERE actor LIKE 'user:%'")}
    assert len(who) >= 10
    for action in ("customer.merge", "view.create", "task.create", "task.change", "task.comment"):
        assert (
            await value(platform, f"SELECT count(*) FROM audit WHERE action = '{action}' AND actor LIKE 'user:%'") > 0
        )


async def test_whoever_works_there_sees_what_their_role_shows(platform: Platform, anonymous: Any, quick: None) -> None:
    await build(platform, size=60)
    seen = {}
    for person in STAFF:
        if person.login in {"lu.yiming", "lin.wan", "ye.tong", "shen.anran"}:
            given = {"login": person.login, "password": PASSWORD}
            session = await anonymous.post("/api/v1/session", json=given)
            assert session.status_code < 300, session.text
            page = (await anonymous.get("/api/v1/customers", params={"limit": 1000})).json()["items"]
            named = [each for each in page if each["kind"] == "person" and each["phone"]]
            seen[person.login] = (len(page), any("*" in each["phone"] for each in named), len(named))
    everybody, whole, _ = seen["lu.yiming"]
    assert (everybody > 60, whole) == (True, False)
    assert 0 < seen["lin.wan"][0] < everybody
    assert seen["lin.wan"][1]
    assert seen["ye.tong"][:2] == (everybody, True)
    assert seen["shen.anran"][::2] == (everybody, 0)


async def test_a_part_that_was_cut_off_goes_on_and_leaves_alone_what_it_finds(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    relate_all = care.relate_all

    async def fail(company: DemoContext) -> None:
        await relate_all(company)
        raise ConnectionResetError

    counts = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in TABLES)}"
    with monkeypatch.context() as patch:
        patch.setattr(care, "relate_all", fail)
        with pytest.raises(ConnectionResetError):
            await build(platform, size=50)
    async with platform.db.transaction() as connection:
        await connection.execute("DELETE FROM audit WHERE action = 'demo.part'")
    before = [tuple(row) for row in await rows(platform, counts)]
    await build(platform, size=80)
    assert [tuple(row) for row in await rows(platform, counts)] == before
    assert await value(platform, "SELECT count(*) FROM task") > 50


@pytest.mark.plugins("sample", "privacy", "imports")
async def test_other_plugins_add_theirs(platform: Platform, quick: None) -> None:
    await build(platform, size=50)
    assert await value(platform, "SELECT count(*) FROM privacy_purpose") == 3
    said = {row[0] for row in await rows(platform, "SELECT DISTINCT granted FROM privacy_consent")}
    assert True in said
    runs = await rows(platform, "SELECT kind, accepted, rejected FROM imports_run WHERE finished_at IS NOT NULL")
    [notes], [visits] = ([run for run in runs if run["kind"] == kind] for kind in ("customers", "events"))
    assert (notes["accepted"] > 10, notes["rejected"]) == (True, 0)
    assert (visits["accepted"] > 10, visits["rejected"] > 0) == (True, True)


async def test_nobody_knows_the_plugin_unless_the_company_is_asked_for(platform: Platform) -> None:
    assert set(platform.registry.demo_data) >= {"sample.staff", "sample.history"}
    registry = platform.registry
    kinds = (registry.routes, registry.jobs, registry.consumers, registry.schedules, registry.commands)
    assert not any("sample" in str(kind) for kind in kinds)
    assert await value(platform, "SELECT count(*) FROM customer") == 0
