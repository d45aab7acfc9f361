"""Doing something to many customers: whom it reaches, what it leaves out, and what happens when rights go away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from zhike.access import teams
from zhike.access.actor import Actor
from zhike.access.schemas import UserChange
from zhike.access.user_changes import change as change_user
from zhike.contracts import BulkAction
from zhike.desk import bulk, progress
from zhike.desk.selection import Selection
from zhike.errors import BadRequest, Forbidden, Unavailable
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike.jobs.worker import JobWorker
from zhike.platform import Platform, assemble, core_plugins
from zhike.testing.running import run_until_idle as run_all
from zhike.work import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from zhike.orm import Database
    from zhike.work import Work

BULK, PROGRESS = "/api/v1/desk/bulk", "/api/v1/desk/progress"
OPERATOR = Actor.command("test")
EVERYBODY = {"type": "all", "of": []}


@pytest.fixture
async def user(database: Database) -> int:
    """A user's id."""
    async with database.connection() as connection:
        made: int = await connection.fetchval(
            "INSERT INTO app_user (login, name, password_hash, role) VALUES ('ann', '安', '', 'agent') RETURNING id"
        )
    return made


async def customers(database: Database, number: int, owner: int | None = None, stage: str | None = None) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "INSERT INTO customer (kind, name, owner, stage, attributes, provenance, created_at, updated_at)"
            " SELECT 'person', 'Ann ' || n, $2, $3, '{}', '{}', now(), now() FROM generate_series(1, $1) AS n"
            " RETURNING id",
            number,
            owner,
            stage,
        )
    return [row[0] for row in rows]


async def owners(database: Database, owner: int) -> set[int]:
    async with database.connection() as connection:
        return {row[0] for row in await connection.fetch("SELECT id FROM customer WHERE owner = $1", owner)}


def selected(**said: Any) -> Selection:
    return msgspec.json.decode(msgspec.json.encode(said), type=Selection)


async def start(client: httpx.AsyncClient, action: str, selection: Any, options: Any = None) -> httpx.Response:
    return await client.post(BULK, json={"action": action, "selection": selection, "options": options})


async def test_all_for_whom_a_condition_holds(client, database, user, run_until_idle):
    leads, others = await customers(database, 1_200, stage="lead"), await customers(database, 3)
    condition = {"type": "field", "field": "customer.stage", "op": "eq", "value": "lead"}
    # It changes what it selects by, and still reaches everybody once.
    answer = await start(client, "customers.set_stage", {"condition": condition}, {"stage": "active"})
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert (begun["label"], begun["state"], begun["total"], begun["done"]) == ("Set stage", "running", 1_200, 0)
    await run_until_idle()
    shown = (await client.get(f"{PROGRESS}/{begun['id']}")).json()
    assert (shown["state"], shown["total"], shown["done"], shown["failed"]) == ("done", 1_200, 1_200, 0)
    async with database.connection() as connection:
        stages = {row[0]: row[1] for row in await connection.fetch("SELECT id, stage FROM customer")}
        audited = await connection.fetchval("SELECT count(*) FROM audit WHERE action = 'customer.change'")
        told = await connection.fetchval("SELECT count(*) FROM event WHERE name = 'customer.updated'")
    assert {stages[each] for each in leads} == {"active"}
    assert {stages[each] for each in others} == {None}
    assert audited == told == 1_200
    assert [each["id"] for each in (await client.get(PROGRESS)).json()["items"]] == [begun["id"]]
    chinese = await client.get(f"{PROGRESS}/{begun['id']}", headers={"accept-language": "zh"})
    assert chinese.json()["label"] == "设置阶段"


async def test_those_named_and_those_found(client, database, user, record, run_until_idle):
    found = await record({"name": "app.login", "identities": {"external_id": "1"}, "traits": {"name": "王小明"}})
    some = await customers(database, 3)
    await start(client, "customers.set_owner", {"ids": [*some[:2], 999_999]}, {"owner": user})
    await start(client, "customers.set_owner", {"q": "wxm"}, {"owner": user})
    await run_until_idle()
    assert await owners(database, user) == {*some[:2], found[0].customer_id}
    items = (await client.get(PROGRESS)).json()["items"]
    assert [(each["state"], each["done"], each["failed"]) for each in items] == [("done", 1, 0), ("done", 2, 1)]
    assert items[1]["message"] == "1 customer is not there, or out of your sight"


async def test_what_cannot_be_begun(client, acting, user):
    ids = {"ids": [1]}
    for action, selection, options, status in [
        ("customers.nothing", ids, None, 400),
        ("customers.set_owner", ids, None, 400),
        ("customers.set_owner", ids, {"owner": "ann"}, 400),
        ("customers.set_owner", ids, {"owner": 1, "more": 1}, 400),
        ("customers.set_owner", {}, {"owner": user}, 400),
        ("customers.set_owner", {"ids": []}, {"owner": user}, 400),
        ("customers.set_owner", {"ids": [1], "q": "a"}, {"owner": user}, 400),
        ("customers.set_owner", {"condition": {"type": "what"}}, {"owner": user}, 400),
    ]:
        answer = await start(client, action, selection, options)
        assert answer.status_code == status, (action, selection, options, answer.text)
    detail = (await start(client, "customers.set_owner", ids, {"owner": "x"})).json()["detail"]
    assert detail.startswith("options.owner: ")
    reader = await acting({"customers.read": "all"})
    assert (await start(reader, "customers.set_owner", ids, {"owner": user})).status_code == 403
    assert (await reader.get(BULK)).json() == {"items": []}
    keys = [each["key"] for each in (await client.get(BULK)).json()["items"]]
    assert keys == ["customers.set_owner", "customers.set_stage", "customers.set_team"]
    # What the actor does not see cannot be asked for, and so not be told by what changes.
    masked = await acting({"customers.read": "all", "customers.write": "all"}, {"phone": "mask"})
    condition = {"type": "field", "field": "customer.phone", "op": "eq", "value": "13800138000"}
    assert (await start(masked, "customers.set_owner", {"condition": condition}, {"owner": user})).status_code == 400


async def test_scopes_hold_and_others_see_nothing_of_it(acting, client, database, user, run_until_idle):
    mine, others = await customers(database, 2, owner=user), await customers(database, 2)
    agent = await acting({"customers.read": "all", "customers.write": "own"}, user=user)
    named = (await start(agent, "customers.set_stage", {"ids": mine + others}, {"stage": "vip"})).json()
    await start(agent, "customers.set_stage", {"condition": EVERYBODY}, {"stage": "vip"})
    await run_until_idle()
    async with database.connection() as connection:
        vips = {row[0] for row in await connection.fetch("SELECT id FROM customer WHERE stage = 'vip'")}
    assert vips == set(mine)
    shown = (await agent.get(f"{PROGRESS}/{named['id']}")).json()
    assert (shown["started_by"], shown["done"], shown["failed"]) == (f"user:{user}", 2, 2)
    stranger = await acting({"customers.read": "all"})
    assert (await stranger.get(f"{PROGRESS}/{named['id']}")).status_code == 404
    assert (await stranger.post(f"{PROGRESS}/{named['id']}/cancel")).status_code == 404
    assert (await client.get(f"{PROGRESS}/{named['id']}")).status_code == 200  # who may see jobs
    assert (await agent.post(f"{PROGRESS}/{named['id']}/cancel")).status_code == 409
    # The user who started it is told.
    async with database.connection() as connection:
        notices = await connection.fetch("SELECT kind, path FROM notice WHERE user_id = $1", user)
    assert ("progress.done", f"/progress/{named['id']}") in [tuple(row) for row in notices]


async def test_rights_that_are_gone_stop_it(acting, platform, database, user, run_until_idle, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK", 2)
    ids = await customers(database, 6, owner=user)
    agent = await acting({"customers.read": "own", "customers.write": "own"}, user=user)
    begun = (await start(agent, "customers.set_stage", {"ids": ids}, {"stage": "vip"})).json()["id"]
    async with database.connection() as connection:
        payload = bulk._Step(begun)
        assert await connection.fetchval("SELECT count(*) FROM job WHERE name = 'desk.bulk'") == 1
    item = msgspec.convert(
        {
            **{"id": 1, "key": None, "payload": None, "customer_id": None, "due_at": "2026-01-01T00:00:00Z"},
            **{"attempt": 1, "origin": "", "causation_id": None, "depth": 0, "idempotency_key": ""},
        },
        bulk.JobItem,
    )
    assert await bulk.run([msgspec.structs.replace(item, payload=payload)], platform)
    await change_user(database, OPERATOR, user, UserChange(disabled=True))
    await run_until_idle()
    shown = await progress.get(database, OPERATOR, begun, "en")
    assert (shown.state, shown.done) == ("failed", 2)
    assert "not active" in (shown.message or "")


async def test_a_role_that_grants_less_by_then(platform, database, user, run_until_idle):
    ids = await customers(database, 2)
    team = (await teams.create(database, OPERATOR, teams.NewTeam("East", None))).id
    await change_user(database, OPERATOR, user, UserChange(team_id=team), directory=platform.directory)
    agent = await platform.directory.user(user)
    assert agent is not None
    await bulk.start(platform, agent, "customers.set_stage", selected(ids=ids), {"stage": "vip"})
    await change_user(database, OPERATOR, user, UserChange(role="viewer"), directory=platform.directory)
    await run_until_idle()
    [shown] = (await progress.list_(database, agent, progress.PageQuery(), "en")).items
    assert (shown.state, shown.done) == ("failed", 0)
    assert "does not grant customers.write" in (shown.message or "")


async def test_it_can_be_cancelled(client, database, user, run_until_idle):
    ids = await customers(database, 3)
    begun = (await start(client, "customers.set_owner", {"ids": ids}, {"owner": user})).json()["id"]
    assert (await client.post(f"{PROGRESS}/{begun}/cancel")).json()["cancel_requested"] is True
    await run_until_idle()
    shown = (await client.get(f"{PROGRESS}/{begun}")).json()
    assert (shown["state"], shown["done"]) == ("cancelled", 0)
    assert await owners(database, user) == set()
    assert (await client.get(f"{PROGRESS}/999")).status_code == 404


async def test_a_piece_that_fails_is_told_and_the_others_go_on(settings, database, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK", 2)
    ids = await customers(database, 6)
    seen: list[Sequence[int]] = []

    async def run(work: Work, actor: Actor, customer_ids: Sequence[int], options: Any) -> int:
        seen.append(customer_ids)
        await work.connection.execute("UPDATE customer SET stage = 'vip' WHERE id = ANY($1::bigint[])", customer_ids)
        if ids[2] in customer_ids:
            raise BadRequest(text("The task {id} is {status}; open it again first", id=1, status="done"))
        if ids[4] in customer_ids:
            raise SystemExit(3)
        return len(customer_ids)

    class Stamps:
        @hookimpl
        def register_bulk_actions(self) -> list[BulkAction]:
            return [BulkAction(key="stamps.give", label="Give", icon="x", permission="customers.write", run=run)]

    assembled = assemble({**core_plugins(), "stamps": Stamps()})
    platform = Platform(settings=settings, db=database, hooks=assembled.hooks, registry=assembled.registry)
    begun = await bulk.start(platform, OPERATOR, "stamps.give", selected(condition=EVERYBODY))
    await run_all(platform)
    shown = await progress.get(database, OPERATOR, begun, "en")
    assert (shown.label, shown.state, shown.done, shown.failed) == ("Give", "done", 2, 4)
    assert shown.message == "2 customers were left out: SystemExit"
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    async with database.connection() as connection:
        vips = await connection.fetch("SELECT id FROM customer WHERE stage = 'vip' ORDER BY id")
    assert [row[0] for row in vips] == ids[:2]
    # An action whose plugin is gone by then.
    begun = await bulk.start(platform, OPERATOR, "stamps.give", selected(ids=ids))
    del platform.registry.bulk_actions["stamps.give"]
    await run_all(platform)
    shown = await progress.get(database, OPERATOR, begun, "en")
    assert (shown.state, shown.message) == ("failed", "There is no action stamps.give")
    # Nothing of it goes on, should its job be run once more.
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT rest IS NULL FROM progress WHERE id = $1", begun)


async def test_one_whose_job_is_given_up_has_failed_until_it_is_tried_again(client, platform, database, user):
    ids, down = await customers(database, 3), [True]
    register = platform.registry
    action, job = register.bulk_actions["customers.set_owner"], register.jobs["desk.bulk"]

    async def run(work: Work, actor: Actor, customer_ids: Sequence[int], options: Any) -> int:
        if down:
            raise Unavailable(text("Away"))
        return await action.run(work, actor, customer_ids, options)

    register.bulk_actions[action.key] = msgspec.structs.replace(action, run=run)
    register.jobs["desk.bulk"] = msgspec.structs.replace(job, attempts=1)
    begun = (await start(client, action.key, {"ids": ids}, {"owner": user})).json()["id"]
    await work_through(platform)
    shown = (await client.get(f"{PROGRESS}/{begun}")).json()
    assert (shown["state"], shown["message"], shown["finished_at"] is None) == ("failed", "It failed 1 time", False)
    down.clear()
    [failed] = (await client.get("/api/v1/jobs?state=failed")).json()["items"]
    assert (await client.post(f"/api/v1/jobs/{failed['id']}/retry")).status_code == 200
    await work_through(platform)
    shown = (await client.get(f"{PROGRESS}/{begun}")).json()
    assert (shown["state"], shown["done"], await owners(database, user)) == ("done", 3, set(ids))
    # Who deletes the job ends what it does.
    begun = (await start(client, action.key, {"ids": ids}, {"owner": user})).json()["id"]
    [waits] = (await client.get("/api/v1/jobs?name=desk.bulk")).json()["items"]
    assert (await client.post(f"/api/v1/jobs/{waits['id']}/cancel")).status_code == 200
    shown = (await client.get(f"{PROGRESS}/{begun}")).json()
    assert (shown["state"], shown["message"]) == ("failed", "Its job was deleted")


async def test_one_whose_job_cannot_be_run_has_failed(client, platform, user):
    begun = (await start(client, "customers.set_owner", {"q": "nobody"}, {"owner": user})).json()["id"]
    wider = msgspec.defstruct("Wider", [("progress", int), ("page", int)])  # what another version of the job is given
    job = platform.registry.jobs["desk.bulk"]
    platform.registry.jobs["desk.bulk"] = msgspec.structs.replace(job, payload=wider)
    await work_through(platform)
    shown = (await client.get(f"{PROGRESS}/{begun}")).json()
    assert (shown["state"], shown["message"].partition(";")[0]) == ("failed", "Its job cannot be run")
    # With the version that was meant it goes on.
    platform.registry.jobs["desk.bulk"] = job
    [failed] = (await client.get("/api/v1/jobs?state=failed")).json()["items"]
    assert (await client.post(f"/api/v1/jobs/{failed['id']}/retry")).status_code == 200
    await work_through(platform)
    assert (await client.get(f"{PROGRESS}/{begun}")).json()["state"] == "done"


async def test_one_that_stands_still_has_failed(client, platform, database, user, frozen_now):
    begun = (await start(client, "customers.set_owner", {"ids": [1]}, {"owner": user})).json()["id"]
    async with database.connection() as connection:
        await connection.execute("DELETE FROM job")  # as where its plugin is purged
    found = []
    for days in (6, 2):
        frozen_now.advance(days=days)
        async with begin(platform, origin="system", plugin="desk") as work:
            work.enqueue("desk.clean_progress", {})
        await work_through(platform)
        found.append((await client.get(f"{PROGRESS}/{begun}")).json()["state"])
    assert found == ["running", "failed"]


async def work_through(platform: Platform) -> None:
    worker = JobWorker(platform)
    while await worker.step():
        pass


async def test_errors_of_the_service(platform):
    with pytest.raises(BadRequest):
        await bulk.start(platform, OPERATOR, "no.such", selected(ids=[1]))
    with pytest.raises(Forbidden):
        await bulk.start(platform, Actor.of_token(1, "x", "viewer"), "customers.set_team", selected(ids=[1]), {})
