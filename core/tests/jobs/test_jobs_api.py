"""The API of jobs: what is shown, what is not, trying again and cancelling."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from zhike import clock
from zhike.jobs import service

_STORE = """
INSERT INTO job (name, queue, key, payload, state, due_at, lease_token, lease_size, leased_until, attempts, last_error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id
"""


@pytest.fixture
def store(app: Any) -> Any:
    """Stores one job."""

    async def add(
        name: str = "probe.tell",
        *,
        queue: str = "default",
        key: str | None = None,
        payload: object = None,
        failed: bool = False,
        lease: timedelta | None = None,
        due: timedelta = timedelta(),
    ) -> int:
        now = clock.now()
        until = None if lease is None else now + lease
        async with app.services.db.connection() as connection:
            job_id: int = await connection.fetchval(
                _STORE,
                name,
                queue,
                key,
                msgspec.json.encode(payload or {}).decode(),
                "failed" if failed else "ready",
                now + due,
                until and 5,
                until and 2,
                until,
                5 if failed else 0,
                "ValueError at x.py:3 run" if failed else None,
            )
        return job_id

    return add


async def test_jobs_are_listed_by_what_is_asked_for(client: Any, store: Any) -> None:
    waiting = await store(queue="slow", key="k", due=timedelta(days=1))
    running = await store(lease=timedelta(seconds=30))
    failed = await store("probe.other", failed=True)
    for query, expected in (
        ("", [failed, running, waiting]),
        ("?state=waiting", [waiting]),
        ("?state=running", [running]),
        ("?state=failed", [failed]),
        ("?name=probe.tell", [running, waiting]),
        ("?queue=slow&name=probe.tell&state=waiting", [waiting]),
        ("?queue=slow&state=failed", []),
    ):
        answer = await client.get(f"/api/v1/jobs{query}")
        assert answer.status_code == 200, answer.text
        assert [item["id"] for item in answer.json()["items"]] == expected
    item = (await client.get("/api/v1/jobs?state=failed")).json()["items"][0]
    assert item["last_error"] == "ValueError at x.py:3 run"
    assert (item["state"], item["priority"], item["attempts"], item["known"]) == ("failed", "normal", 5, False)
    assert "payload" not in item
    for bad, told in (
        ("?state=done", "state: 'done' is not one of failed, running, waiting"),
        ("?name=" + "x" * 201, "name: expected str of length <= 200"),
        ("?limit=x", "limit is 'x'; expected a whole number above 0"),
        ("?what=1", "There is no query parameter 'what' here; expected limit, cursor, state, name, queue"),
    ):
        refused = await client.get(f"/api/v1/jobs{bad}", headers={"accept-language": "en"})
        assert (refused.status_code, refused.json()["detail"].startswith(told)) == (400, True), refused.json()


async def test_pages_follow_each_other(client: Any, store: Any) -> None:
    ids = [await store(failed=True) for _ in range(5)]
    await store()
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/v1/jobs?state=failed&limit=2{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]
    page = (await client.get("/api/v1/jobs?limit=2")).json()
    assert (await client.get(f"/api/v1/jobs?state=failed&cursor={page['next']}")).status_code == 400


async def test_a_payload_is_shown_without_secrets_if_it_is_small(client: Any, store: Any) -> None:
    job_id = await store(payload={"to": "Li", "headers": [{"Authorization": "Bearer abc"}], "api_key": "k", "n": 1})
    shown = (await client.get(f"/api/v1/jobs/{job_id}")).json()
    assert shown["payload"] == {"to": "Li", "headers": [{"Authorization": "…"}], "api_key": "…", "n": 1}
    large = await store(payload={"text": "客" * service.SHOWN_PAYLOAD})
    shown = (await client.get(f"/api/v1/jobs/{large}")).json()
    assert shown["payload"] is None
    assert shown["payload_bytes"] > 3 * service.SHOWN_PAYLOAD
    for missing in ("999999", "x", "0"):
        assert (await client.get(f"/api/v1/jobs/{missing}")).status_code == 404


async def test_a_failed_job_is_tried_again(client: Any, store: Any, app: Any) -> None:
    announced: list[str] = []
    app.services.platform.announce = announced.append
    job_id = await store(failed=True, due=timedelta(days=1), key="k")
    assert (await client.post(f"/api/v1/jobs/{job_id}/retry")).status_code == 200
    shown = (await client.get(f"/api/v1/jobs/{job_id}")).json()
    assert (shown["state"], shown["attempts"]) == ("waiting", 0)
    assert shown["due_at"] <= clock.now().isoformat()
    assert announced == ["jobs"]
    assert (await client.post(f"/api/v1/jobs/{job_id}/retry")).status_code == 409
    other = await store(failed=True, key="k")
    refused = await client.post(f"/api/v1/jobs/{other}/retry")
    assert refused.status_code == 409
    assert "same key" in refused.json()["detail"]
    assert (await client.post("/api/v1/jobs/999999/retry")).status_code == 404
    assert await _audited(app) == [("job.retry", f"job:{job_id}")]


async def test_a_job_is_cancelled_unless_it_is_running(client: Any, store: Any, app: Any) -> None:
    waiting, failed = await store(), await store(failed=True)
    running = await store(lease=timedelta(seconds=30))
    dead = await store(lease=timedelta(seconds=-1))
    for job_id, status in ((waiting, 200), (failed, 200), (running, 409), (dead, 200), (waiting, 404)):
        assert (await client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == status
    assert [item["id"] for item in (await client.get("/api/v1/jobs")).json()["items"]] == [running]
    assert await _audited(app) == [("job.cancel", f"job:{job_id}") for job_id in (waiting, failed, dead)]


async def test_who_may_do_what(anonymous: Any, make_token: Any, store: Any) -> None:
    job_id = await store(failed=True)
    for role, reads, manages in (("manager", 200, 403), ("agent", 403, 403), ("viewer", 403, 403)):
        anonymous.headers["authorization"] = f"Bearer {await make_token(role)}"
        for path in ("jobs", "jobs/figures", f"jobs/{job_id}", "schedules"):
            assert (await anonymous.get(f"/api/v1/{path}")).status_code == reads, (role, path)
        for verb in ("retry", "cancel"):
            assert (await anonymous.post(f"/api/v1/jobs/{job_id}/{verb}")).status_code == manages


async def test_schedules_are_listed(client: Any, app: Any) -> None:
    async with app.services.db.connection() as connection:
        for n in range(3):
            await connection.execute(
                "INSERT INTO schedule (name, job, cron, zone, next_at, plugin)"
                " VALUES ($1, 'probe.tell', '0 3 * * *', 'Asia/Shanghai', now(), 'probe')",
                f"probe.s{n}",
            )
    own = sorted(each.name for each in app.services.platform.registry.schedules.values())
    assert {"audit.export", "customers.duplicates"} <= set(own)
    page = (await client.get(f"/api/v1/schedules?limit={len(own) + 2}")).json()
    assert [item["name"] for item in page["items"]] == [*own, "probe.s0", "probe.s1"]
    assert page["items"][0]["last_at"] is None
    page = (await client.get(f"/api/v1/schedules?limit=2&cursor={page['next']}")).json()
    assert [item["name"] for item in page["items"]] == ["probe.s2"]
    assert page["next"] is None


async def test_figures_count_what_there_is(client: Any, store: Any) -> None:
    await store("gone.job")
    for _ in range(2):
        await store(failed=True)
    await store(lease=timedelta(seconds=30))
    figures = (await client.get("/api/v1/jobs/figures")).json()
    assert figures == {"waiting": 1, "due": 0, "running": 1, "failed": 2, "lag": 0.0, "unknown": ["gone.job"]}


async def test_figures_are_cheap_with_many_jobs(stand: Any) -> None:
    await stand.execute(
        "INSERT INTO job (name, priority, due_at) SELECT 'probe.j' || g % 20, g % 3, now() + interval '1 day'"
        " FROM generate_series(1, 120000) AS g"
    )
    await stand.add("probe.j1", due_at=clock.now() - timedelta(minutes=2))
    await stand.add("probe.j2", due_at=clock.now() - timedelta(minutes=1))
    known = [f"probe.j{n}" for n in range(19)]
    began = time.perf_counter()
    figures = await service.figures(stand.db, known)
    print(f"figures of 120,002 jobs in {(time.perf_counter() - began) * 1000:.0f} ms")
    assert (figures.waiting, figures.due, figures.unknown) == (service.COUNTED, 2, ["probe.j19"])
    assert 120 <= figures.lag < 180


async def _audited(app: Any) -> list[tuple[str, str]]:
    async with app.services.db.connection() as connection:
        rows = await connection.fetch("SELECT action, object FROM audit WHERE action LIKE 'job.%' ORDER BY id")
    return [tuple(row) for row in rows]
