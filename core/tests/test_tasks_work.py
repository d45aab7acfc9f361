"""Tasks inside units of work: made by plugins, stopped by plugins, and going with their customers."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from zhike._host.web.app import create_app
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.contracts import RecordedEvent, Task
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.hooks import Rejected, hookimpl
from zhike.platform import Platform, assemble, core_plugins
from zhike.tasks import service
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.testing import running
from zhike.work import TooDeep, Work, begin

if TYPE_CHECKING:
    from zhike.orm import Database
    from zhike.settings import Settings
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record

PHONE = {"phone": "13800138000"}


def with_plugin(settings: Settings, db: Database, **hooks: Callable[..., Any]) -> Platform:
    """Return a platform on which the plugin `care` implements these hooks."""
    implemented = {name: staticmethod(hookimpl(function)) for name, function in hooks.items()}
    assembled = assemble({**core_plugins(), "care": type("Care", (), implemented)()}, threads=False)
    assert not assembled.problems
    return Platform(settings=settings, db=db, hooks=assembled.hooks, registry=assembled.registry)


async def rows(database: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql, *values)]


# --- plugins that make and change tasks -------------------------------------------------------------------------------


async def test_a_plugin_makes_and_completes_tasks_as_events_come(settings: Settings, database: Database) -> None:
    fails = [True]

    async def on_events_recorded(events: Sequence[RecordedEvent], work: Work) -> None:
        orders = [event for event in events if event.name == "order.paid"]
        new = [NewTask(title="首周跟进", customer_id=each.customer_id, key=each.message_id) for each in orders]
        for task, order in zip(await service.create(work, new, causes=orders), orders, strict=True):
            if task.key == "o-1":
                await service.complete(work, [task.id], result="By itself", cause=order)
        if fails and orders:
            fails.clear()
            raise ConnectionError  # so that the same events come again

    platform = with_plugin(settings, database, on_events_recorded=on_events_recorded)
    await running.start(platform)
    orders = [{"name": "order.paid", "message_id": f"o-{n}", "identities": PHONE} for n in range(3)]
    paid = await running.record(platform, orders)
    await running.run_until_idle(platform)
    assert not fails
    assert await rows(database, "SELECT status, origin, causation_id FROM task ORDER BY causation_id") == [
        ("done" if event.message_id == "o-1" else "open", "plugin:care", event.id) for event in paid
    ]
    told = "SELECT name::text, causation_id FROM event WHERE name LIKE 'task.%' ORDER BY causation_id, id"
    names = [("task.created", 0), ("task.created", 1), ("task.completed", 1), ("task.created", 2)]
    assert await rows(database, told) == [(name, paid[place].id) for name, place in names]
    others = "SELECT DISTINCT origin, depth, live FROM event WHERE name LIKE 'task.%'"
    assert await rows(database, others) == [("plugin:care", 1, True)]


async def test_many_tasks_take_as_many_statements_as_few(
    platform: Platform, record: Record, query_counter: QueryCounter
) -> None:
    [event] = await record({"name": "app.login", "identities": PHONE})
    counts = []
    for number in (2, 100):
        query_counter.reset()
        async with begin(platform, origin="plugin:x") as work:
            when = [{"due_in": "PT1H"}, {"reminders": ("2020-01-01T00:00:00Z",)}]  # of which nothing is to be told
            new = [
                NewTask(title="x", customer_id=event.customer_id, key=f"{number}-{n}", **when[n % 2])
                for n in range(number)
            ]
            tasks = await service.create(work, [*new, new[0]], causes=[event] * number)
            assert len({task.id for task in tasks}) == number
            await service.complete(work, [task.id for task in tasks])
        counts.append(query_counter.count)
    assert counts[1] <= counts[0]  # the calendar is known by then
    assert await rows(platform.db, "SELECT FROM job") == []  # of what is done nobody is reminded


async def test_what_a_plugin_says_of_a_task_is_checked(platform: Platform, database: Database) -> None:
    async with begin(platform, origin="plugin:x") as work:
        for wrong in (
            NewTask(title=5),  # type: ignore[arg-type]
            NewTask(title="x" * 201),
            NewTask(title="a\ud800"),
            NewTask(title="x", priority="highest"),  # type: ignore[arg-type]
            NewTask(title="x", customer_id=4711),
            NewTask(title="x", reminders=("\0",)),
            NewTask(title="x", due_at=datetime(1, 1, 1, tzinfo=UTC)),
        ):
            with pytest.raises(BadRequest):
                await service.create(work, [wrong])
        [task] = await service.create(work, [NewTask(title="x")])  # the transaction has not been harmed
        with pytest.raises(NotFound):
            await service.complete(work, [task.id, 4711])
        assert [each.status for each in await service.cancel(work, [task.id], result="no")] == ["cancelled"]
        with pytest.raises(Conflict):
            await service.complete(work, [task.id])
        assert [each.status for each in await service.reopen(work, [task.id])] == ["open"]
    assert await rows(database, "SELECT title, status, version FROM task") == [("x", "open", 3)]


async def test_a_task_cannot_be_made_in_a_circle(platform: Platform, record: Record) -> None:
    [event] = await record({"name": "app.login", "identities": PHONE})
    deep = msgspec.structs.replace(event, depth=8)
    with pytest.raises(TooDeep):
        async with begin(platform, origin="plugin:x") as work:
            await service.create(work, [NewTask(title="x", customer_id=event.customer_id)], causes=[deep])


# --- plugins that stop tasks ------------------------------------------------------------------------------------------


async def test_a_plugin_stops_tasks_from_being_made(settings: Settings, database: Database) -> None:
    seen: list[tuple[Actor, tuple[Task, ...]]] = []

    async def before_tasks_create(actor: Actor, tasks: Sequence[Task]) -> None:
        seen.append((actor, tuple(tasks)))
        if any(task.team is None for task in tasks):
            raise Rejected("Say whose it is")

    platform = with_plugin(settings, database, before_tasks_create=before_tasks_create)
    await rows(database, "INSERT INTO team (id, name) VALUES (7, 'Front desk') RETURNING id")
    actor = Actor.command("test")
    with pytest.raises(Rejected, match="Say whose it is"):
        async with begin(platform, origin=actor.origin) as work:
            await service.create(work, [NewTask(title="a", team=7), NewTask(title="b")], actor=actor)
    assert [(task.title, task.status) for task in seen[0][1]] == [("a", "open"), ("b", "open")]
    assert seen[0][0] == actor
    async with begin(platform, origin="plugin:x") as work:
        [made] = await service.create(work, [NewTask(title="a", team=7, key="k")])
        assert await service.create(work, [NewTask(title="b", key="k")]) == [made]  # none is made, nobody is asked
    assert seen[1:] == [(Actor.system(), (made,))]
    assert await rows(database, "SELECT title FROM task") == [("a",)]
    assert await rows(database, "SELECT action FROM audit") == []


async def test_a_plugin_stops_tasks_from_being_completed(
    settings: Settings, database: Database, record: Record
) -> None:
    seen: list[Task] = []

    async def before_tasks_complete(tasks: Sequence[Task]) -> None:
        seen.extend(tasks)
        if any(not task.result for task in tasks):
            raise Rejected("Say what came of it")
        if any(task.result == "boom" for task in tasks):
            raise SystemExit

    [event] = await record({"name": "app.login", "identities": PHONE})
    platform = with_plugin(settings, database, before_tasks_complete=before_tasks_complete)
    async with begin(platform, origin="user:1") as work:
        [task] = await service.create(work, [NewTask(title="x", customer_id=event.customer_id, due_in="PT4H")])
    for result, message in ((None, "Say what came of it"), ("boom", "care failed in before_tasks_complete")):
        with pytest.raises(Rejected, match=message):
            async with begin(platform, origin="user:1") as work:
                await service.complete(work, [task.id], result=result)
    assert await rows(database, "SELECT status, version FROM task") == [("open", 1)]
    assert await rows(database, "SELECT name FROM event WHERE name = 'task.completed'") == []
    assert len(await rows(database, "SELECT 1 FROM job")) == 1
    async with begin(platform, origin="user:1") as work:
        await service.change(work, [task.id], TaskChange(title="y"))
        await service.cancel(work, [task.id])
        await service.reopen(work, [task.id])
        [done] = await service.complete(work, [task.id], result="fine")
    assert [(each.status, each.result) for each in seen] == [("done", None), ("done", "boom"), ("done", "fine")]
    assert seen[-1] == done


async def test_who_is_stopped_is_told_why(settings: Settings, database: Database, database_url: str) -> None:
    def before_tasks_create(tasks: Sequence[Task]) -> None:
        raise Rejected("Not today")

    _, secret = await tokens.create(database, Actor.command("test"), "x", "agent")
    headers = {"authorization": f"Bearer {secret}"}
    app = create_app(settings, database_url)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # two descriptions of ASGI
    async with (
        app.services.serving(with_plugin(settings, database, before_tasks_create=before_tasks_create)),
        httpx.AsyncClient(transport=transport, base_url="http://zhike") as client,
    ):
        answer = await client.post("/api/v1/tasks", json={"title": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (409, "rejected", "Not today")


async def test_makers_of_the_same_tasks_do_not_deadlock(platform: Platform, database: Database) -> None:
    one, two = NewTask(title="x", key="a"), NewTask(title="y", key="b")

    async def both_the_other_way_round() -> None:
        async with begin(platform, origin="plugin:other") as work:
            await service.create(work, [two, one])

    async with begin(platform, origin="plugin:first") as work:
        await service.create(work, [one])
        other = asyncio.create_task(both_the_other_way_round(), context=contextvars.Context())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        async with asyncio.timeout(30):
            while await rows(database, waiting) != [(1,)]:
                assert not other.done()
                await asyncio.sleep(0.02)
        await service.create(work, [two])
    await other
    assert await rows(database, "SELECT key, origin FROM task ORDER BY key") == [
        ("a", "plugin:first"),
        ("b", "plugin:first"),
    ]


# --- customers --------------------------------------------------------------------------------------------------------

VISITOR = {"device_id": "d-1"}


async def test_tasks_go_to_the_winner_when_customers_are_merged(
    platform: Platform, database: Database, record: Record
) -> None:
    [visit] = await record({"name": "page.viewed", "identities": VISITOR})
    async with begin(platform, origin="user:1") as work:
        [task] = await service.create(work, [NewTask(title="x", customer_id=visit.customer_id, due_in="PT4H")])
    [known] = await record({"name": "app.login", "identities": PHONE})
    await record({"name": "app.login", "identities": {**PHONE, **VISITOR}})
    assert await rows(database, "SELECT customer_id FROM task") == [(known.customer_id,)]
    async with begin(platform, origin="user:1") as work:
        [changed] = await service.complete(work, [task.id])
        [second] = await service.create(work, [NewTask(title="y", customer_id=visit.customer_id)])
    assert (changed.customer_id, second.customer_id) == (known.customer_id, known.customer_id)
    told = "SELECT DISTINCT customer_id FROM event WHERE name LIKE 'task.%'"
    assert await rows(database, told) == [(known.customer_id,)]


async def test_a_task_made_during_a_merge_is_not_left_behind(
    platform: Platform, database: Database, record: Record
) -> None:
    [visit] = await record({"name": "page.viewed", "identities": VISITOR})
    [known] = await record({"name": "app.login", "identities": PHONE})
    async with begin(platform, origin="user:1") as work:
        await service.create(work, [NewTask(title="x", customer_id=visit.customer_id)])
        both = {"name": "app.login", "identities": {**PHONE, **VISITOR}}
        merging = asyncio.create_task(record(both), context=contextvars.Context())
        await asyncio.sleep(0.3)  # it waits for us, or comes later: either way the task must not stay
        assert not merging.done()
    await merging
    assert await rows(database, "SELECT customer_id FROM task") == [(known.customer_id,)]


async def test_what_is_registered_about_customers_is_recorded(platform: Platform, database: Database) -> None:
    recorded = "SELECT table_name, column_name, on_merge, on_erase FROM customer_rows WHERE plugin = 'tasks'"
    registered = [
        (each.table, each.column, each.on_merge, each.on_erase) for each in platform.registry.rows_of("tasks")
    ]
    assert await rows(database, recorded) == registered != []
