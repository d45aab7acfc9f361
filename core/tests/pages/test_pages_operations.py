"""Plugins, jobs, schedules, consumers and dead letters as staff see and change them, and the health panel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from zhike.i18n import Text
from zhike.platform import Problem
from zhike.plugins import service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

STUBBORN = """
from zhike.contracts import Consumer, HealthItem, Job, Schedule
from zhike.hooks import hookimpl

LABEL = "As stubborn as a mule"

async def reset(connection):
    pass

async def run(items, work):
    raise ValueError("no")

@hookimpl
def register_consumers():
    return [Consumer(events=("order.paid",), start="beginning", reset=reset)]

@hookimpl
async def on_events_recorded(events, work):
    raise RuntimeError("cannot take it")

@hookimpl
def register_jobs():
    return [Job(name="stubborn.fail", run=run, attempts=1, queue="slow")]

@hookimpl
def register_schedules():
    return [Schedule(name="stubborn.often", job="stubborn.fail", cron="0 3 * * *")]

@hookimpl
async def provide_health():
    return [HealthItem(key="gateway", ok=False, detail="<b>no answer")]
"""


@pytest.fixture
def plugins() -> None:
    """Whatever is in the hooks folder, be it well or not."""


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin that fails at everything."""
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "stubborn.py").write_text(STUBBORN, "utf-8")
    return folder


@pytest.fixture
async def troubled(
    platform: Platform, record: Record, database: Database, hooks_folder: Path
) -> AsyncIterator[Platform]:
    """A failed job with a payload, a waiting one, a dead letter, an open circuit, a plugin that cannot be loaded."""
    broken = hooks_folder / "broken.py"
    broken.write_text("import there_is_no_such_module\n", "utf-8")
    problem = Problem(plugin="broken", stage="import", text=Text("<em>no such module"), hint=Text("Install it"))
    (event,) = await record({"name": "order.paid", "identities": {"phone": "13800138000"}, "message_id": "m-1"})
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO job (name, queue, payload, state, attempts, last_error, plugin) VALUES"
            " ('stubborn.fail', 'slow', $1::text::jsonb, 'failed', 1, '<i>bad', 'stubborn'),"
            " ('tasks.remind', 'default', '{}', 'ready', 0, NULL, 'tasks')",
            '{"note": "<script>x", "token": "s3cret"}',
        )
        await connection.execute(
            "INSERT INTO dead_letter"
            " (consumer, event_id, batch_id, shard, event_name, message_id, customer_id, error, offered)"
            " VALUES ('stubborn', $1, $2, 0, 'order.paid', 'm-1', $3, '<u>RuntimeError', 1)",
            event.id,
            event.batch_id,
            event.customer_id,
        )
        await connection.execute(
            "INSERT INTO circuit (plugin, hook, failures, last_error, opened_at)"
            " VALUES ('stubborn', 'provide_health', 5, 'ValueError <s>', now())"
        )
        found = (await service.look(platform)).installed
        await service.see(connection, found)
        await service.record(connection, "broken", problem)
    yield platform
    broken.unlink()


async def first(database: Database, sql: str) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(sql)


async def test_plugins_tell_what_is_wrong(visit: Visits, troubled: Platform) -> None:
    admin = await visit("admin")
    page = await admin.get("/plugins")
    for said in (
        "&lt;em&gt;no such module",
        "when it was imported",
        "Quarantined",
        "provide_health",
        "ValueError &lt;s&gt;",
    ):
        assert said in page.text, said
    assert page.text.index('href="/plugins/broken"') < page.text.index('href="/plugins/stubborn"')
    one = await admin.get("/plugins/stubborn")
    for said in ("stubborn.fail", "stubborn.often", "0 3 * * *", "&lt;i&gt;bad", "/deadletters?consumer=stubborn"):
        assert said in one.text, said
    assert "&lt;b&gt;no answer" in (await admin.part("/plugins/stubborn/health")).text
    closed = await admin.post("/plugins/stubborn/retry/provide_health")
    assert (closed.status_code, closed.headers["location"]) == (303, "/plugins/stubborn")
    assert "/retry/provide_health" not in (await admin.get("/plugins/stubborn")).text
    assert (await admin.post("/plugins/stubborn/retry/provide_health")).status_code == 404
    assert (await admin.get("/plugins/nobody")).status_code == 404


async def test_a_plugin_is_switched_off_and_on(visit: Visits, troubled: Platform, database: Database) -> None:
    admin = await visit("admin")
    assert "tables and its place in the log are kept" in (await admin.part("/plugins/stubborn/disable")).text
    off = await admin.post("/plugins/stubborn/disable")
    assert off.headers["location"] == "/plugins"
    asked = await admin.part("/plugins/stubborn/enable")
    assert 'name="resume"' in asked.text
    unsaid = await admin.post("/plugins/stubborn/enable")
    assert (unsaid.status_code, 'name="resume"' in unsaid.text) == (409, True)
    wrong = await admin.post("/plugins/stubborn/enable", data={"resume": "whenever"})
    assert wrong.status_code == 422
    on = await admin.post("/plugins/stubborn/enable", data={"resume": "from_now"})
    assert on.status_code == 303
    actions = "SELECT string_agg(action, ' ' ORDER BY id) FROM audit WHERE object = 'plugin:stubborn'"
    assert await first(database, actions) == "plugin.disable plugin.enable"


async def test_jobs_are_found_looked_at_tried_again_and_deleted(
    visit: Visits, troubled: Platform, database: Database
) -> None:
    admin = await visit("admin")
    for query, found in {"state=failed": 1, "plugin=tasks": 1, "queue=slow": 1, "name=nothing": 0, "state=": 2}.items():
        assert len(re.findall(r"data-row=", (await admin.get(f"/jobs?{query}")).text)) == found, query
    job_id = await first(database, "SELECT id FROM job WHERE state = 'failed'")
    details = await admin.part(f"/jobs/{job_id}")
    assert "&lt;script&gt;x" in details.text
    assert "&lt;i&gt;bad" in details.text
    assert "s3cret" not in details.text
    asked = await admin.post("/jobs/retry/ask", data={"ids": [str(job_id)]})
    assert f'value="{job_id}"' in asked.text
    assert (await admin.post("/jobs/retry/start", data={"ids": [str(job_id)]})).status_code == 303
    assert await first(database, f"SELECT state FROM job WHERE id = {job_id}") == "ready"
    assert (await admin.post("/jobs/retry/start", data={"ids": [str(job_id)]})).status_code == 409
    both = await first(database, "SELECT array_agg(id::text) FROM job WHERE name IN ('stubborn.fail', 'tasks.remind')")
    assert (await admin.post("/jobs/cancel/start", data={"ids": [*both, "987654"]})).status_code == 303
    assert await first(database, "SELECT count(*) FROM job WHERE name IN ('stubborn.fail', 'tasks.remind')") == 0
    for path, data, status in (
        ("/jobs/retry/start", {}, 400),
        ("/jobs/retry/start", {"ids": "x"}, 400),
        ("/jobs/burn/start", {"ids": "1"}, 404),
        ("/jobs/cancel/start", {"ids": "987654"}, 404),
    ):
        assert (await admin.post(path, data=data)).status_code == status, path


async def test_a_schedule_is_run_now(visit: Visits, troubled: Platform, database: Database) -> None:
    from zhike.jobs.schedules import Schedules

    await Schedules(troubled).step()
    admin = await visit("admin")
    assert "stubborn.often" in (await admin.get("/jobs/schedules")).text
    ran = await admin.post("/jobs/schedules/run", data={"name": "stubborn.often"})
    assert ran.headers["location"] == "/jobs/schedules"
    assert await first(database, "SELECT count(*) FROM job WHERE key = 'stubborn.often@now'") == 1
    assert await first(database, "SELECT count(*) FROM audit WHERE action = 'schedule.run'") == 1
    assert (await admin.post("/jobs/schedules/run", data={"name": "nothing"})).status_code == 404
    assert 'name": ' not in (await (await visit("manager")).get("/jobs/schedules")).text


async def test_a_consumer_is_paused_resumed_and_started_over(
    visit: Visits, troubled: Platform, database: Database
) -> None:
    admin = await visit("admin")
    assert 'href="/consumers/stubborn"' in (await admin.get("/consumers")).text
    page = await admin.get("/consumers/stubborn")
    assert "&lt;u&gt;RuntimeError" in page.text
    assert (await admin.post("/consumers/stubborn/pause")).headers["location"] == "/consumers/stubborn"
    assert "paused by staff" in (await admin.get("/consumers")).text
    assert "paused by staff" in (await admin.get("/consumers/stubborn")).text
    assert (await admin.post("/consumers/stubborn/resume")).status_code == 303
    assert "events are offered to it again" in (await admin.part("/consumers/stubborn/rebuild")).text
    assert 'name="since"' in (await admin.part("/consumers/stubborn/backfill")).text
    assert "0 events" in (await admin.part("/consumers/stubborn/count?since=2999-01-01")).text
    wrong = await admin.post("/consumers/stubborn/backfill", data={"since": "yesterday"})
    assert (wrong.status_code, 'value="yesterday"' in wrong.text) == (422, True)
    assert (await admin.post("/consumers/stubborn/backfill", data={"since": "2026-01-01"})).status_code == 303
    assert await first(database, "SELECT restart FROM consumer WHERE name = 'stubborn'") == "backfill"
    for path in ("/consumers/nobody", "/consumers/nobody/pause", "/consumers/stubborn/burn"):
        assert (await admin.get(path)).status_code == 404, path


async def test_dead_letters_are_offered_again_or_dropped_for_a_reason(
    visit: Visits, troubled: Platform, database: Database
) -> None:
    admin = await visit("admin")
    page = await admin.get("/deadletters?consumer=stubborn")
    for said in ("&lt;u&gt;RuntimeError", "/events/event?id=m-1", "/deadletters/replay?consumer=stubborn"):
        assert said in page.text, said
    assert "No dead letters" not in (await admin.get("/deadletters?consumer=other")).text
    ids = re.findall(r'name="ids" value="(\d+)"', page.text)
    assert f'value="{ids[0]}"' in (await admin.post("/deadletters/replay", data={"ids": ids})).text
    assert (await admin.post("/deadletters/replay/start", data={"consumer": "stubborn"})).status_code == 303
    assert "Offered again" in (await admin.get("/deadletters")).text
    unsaid = await admin.post("/deadletters/discard/start", data={"ids": ids, "reason": " "})
    assert (unsaid.status_code, f'value="{ids[0]}"' in unsaid.text) == (422, True)
    dropped = await admin.post("/deadletters/discard/start", data={"ids": ids, "reason": "测试订单"})
    assert dropped.status_code == 303
    assert "No dead letters" in (await admin.get("/deadletters")).text
    details = "SELECT details::text FROM audit WHERE action = 'deadletters.discard'"
    assert "测试订单" in await first(database, details)
    for data in ({}, {"ids": "x"}, {"ids": "0"}):
        assert (await admin.post("/deadletters/replay/start", data=data)).status_code == 400, data


async def test_what_a_role_may_not_do_is_not_shown_and_refused(visit: Visits, troubled: Platform) -> None:
    manager, agent = await visit("manager"), await visit("agent")
    for path in ("/plugins", "/plugins/stubborn", "/jobs", "/consumers", "/deadletters?consumer=stubborn"):
        page = await manager.get(path)
        assert page.status_code == 200, path
        for door in ("/disable", "/retry/", "/cancel/", "/deadletters/replay", "/pause"):
            assert door not in page.text, (path, door)
        assert (await agent.get(path)).status_code == 403, path
    for path in (
        "/plugins/stubborn/disable",
        "/plugins/stubborn/retry/provide_health",
        "/jobs/retry/start",
        "/jobs/schedules/run",
        "/consumers/stubborn/pause",
        "/deadletters/replay/start",
    ):
        assert (await manager.post(path, data={"ids": "1"})).status_code == 403, path
    assert 'href="/plugins"' not in (await agent.get("/customers")).text


async def test_the_home_page_tells_of_trouble(visit: Visits, troubled: Platform) -> None:
    admin = await visit("admin")
    panel = await admin.part("/start/panels/pages.health")
    for door in ("/plugins", "/consumers", "/deadletters", "/jobs?state=failed"):
        assert f'href="{door}"' in panel.text
    assert ">broken, As stubborn as a mule<" in panel.text
    assert (await (await visit("agent")).part("/start/panels/pages.health")).status_code == 403


async def test_the_pages_take_few_statements(
    visit: Visits, troubled: Platform, database: Database, query_counter: QueryCounter
) -> None:
    many = "FROM generate_series(1, 12) AS n"
    async with database.connection() as connection:
        await connection.execute(f"INSERT INTO plugin (name, enabled, claims) SELECT 'other' || n, true, '{{}}' {many}")
        await connection.execute(
            "INSERT INTO circuit (plugin, hook, failures, last_error, opened_at)"
            f" SELECT 'other' || n, 'provide_health', 5, 'x', now() {many}"
        )
        await connection.execute(
            f"INSERT INTO schedule SELECT 'other' || n, 'x', '* * * * *', 'UTC', '{{}}', now(), 'other' || n {many}"
        )
    admin = await visit("admin")
    await admin.get("/jobs")
    paths = ("/plugins", "/plugins/stubborn", "/jobs", "/jobs/schedules", "/consumers", "/consumers/stubborn")
    for path in (*paths, "/deadletters", "/start/panels/pages.health"):
        query_counter.reset()
        assert (await admin.get(path)).status_code == 200
        assert query_counter.count <= 15, path
