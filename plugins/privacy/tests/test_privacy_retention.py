"""Retention deletes what no purpose needs any longer, and requests of persons have deadlines in working days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.plugins("privacy")

API = "/api/v1"
LIN = {"phone": "13912345678"}


async def purpose(client, key, **more):
    answer = await client.post(f"{API}/privacy/purposes", json={"key": key, "name": key, "text": "Why", **more})
    assert answer.status_code == 200, answer.text


async def names(client, customer_id=1):
    items = (await client.get(f"{API}/customers/{customer_id}/events")).json()["items"]
    return [each["name"] for each in items]


@pytest.fixture
async def history(record, frozen_now):
    """Events of one customer, 10 to 400 days old."""
    at = {days: (frozen_now.instant - timedelta(days=days)).isoformat() for days in (10, 50, 400)}
    await record(
        *(
            {"name": name, "message_id": f"{name}-{days}", "identities": LIN, "occurred_at": when, "amount": "2.00"}
            for name in ("page.viewed", "order.paid", "app.opened")
            for days, when in at.items()
        )
    )


async def test_events_are_deleted_when_no_purpose_needs_them(client, history, platform, run_until_idle, record):
    await purpose(client, "ads", events=["page.viewed", "order.paid", "app.opened"], retention_days=30)
    await purpose(client, "service", events=["order.paid"], retention_days=90)
    await purpose(client, "law", events=["app.opened"])
    preview = (await client.post(f"{API}/privacy/retention/preview")).json()["items"]
    assert [(each["event"], each["days"], each["events"], each["customers"]) for each in preview] == [
        ("order.paid", 90, 1, 1),
        ("page.viewed", 30, 2, 1),
    ]
    assert len([name for name in await names(client) if "customer" not in name]) == 9
    async with platform.db.connection() as connection:
        rewrites = await connection.fetchval("SELECT last_value FROM log_rewrite")
    await retain(platform)
    await run_until_idle()
    async with platform.db.connection() as connection:
        # Consumers go on with no event that was read before.
        assert await connection.fetchval("SELECT last_value FROM log_rewrite") > rewrites
    found = await names(client)
    assert [found.count(name) for name in ("page.viewed", "order.paid", "app.opened")] == [1, 2, 3]
    assert found.count("customer.history_changed") == 2
    condition = {"type": "event", "event": "*", "measure": "sum", "of": "amount", "op": "eq", "value": 12}
    counted = await client.post(f"{API}/conditions/count", json={"condition": condition})
    assert counted.json() == {"count": 1}
    event = {"name": "page.viewed", "message_id": "page.viewed-400", "identities": LIN}
    assert (await client.post(f"{API}/events", json={"events": [event]})).json()["duplicate"] == 1
    preview = (await client.post(f"{API}/privacy/retention/preview")).json()["items"]
    assert [each["events"] for each in preview] == [0, 0]


async def retain(platform):
    from zhike.work import begin

    async with begin(platform, origin="system", plugin="privacy") as work:
        work.enqueue("privacy.retain", key="now")


async def test_the_job_comes_every_night(client):
    schedules = (await client.get(f"{API}/schedules")).json()["items"]
    assert [each["cron"] for each in schedules if each["name"] == "privacy.retention"] == ["20 3 * * *"]


async def test_a_request_is_due_after_fifteen_working_days(client, record, frozen_now):
    frozen_now.set(datetime(2026, 3, 2, 2, tzinfo=UTC))  # a Monday, 10:00 in Shanghai
    await record({"name": "page.viewed", "identities": LIN})
    made = await client.post(f"{API}/privacy/requests", json={"kind": "copy", "customer_id": 1, "note": "by phone"})
    assert made.status_code == 200, made.text
    assert made.json()["due_at"] == "2026-03-23T02:00:00Z"
    frozen_now.advance(days=22)
    [listed] = (await client.get(f"{API}/privacy/requests", params={"state": "open"})).json()["items"]
    assert listed["overdue"] is True
    done = await client.patch(f"{API}/privacy/requests/{listed['id']}", json={"state": "done", "note": "sent"})
    assert (done.json()["state"], done.json()["overdue"], done.json()["closed_at"]) == (
        "done",
        False,
        "2026-03-24T02:00:00Z",
    )
    assert (await client.get(f"{API}/privacy/requests", params={"state": "open"})).json()["items"] == []
    told = [name for name in await names(client) if name.startswith("privacy")]
    assert told == ["privacy.request_closed", "privacy.request_opened"]
