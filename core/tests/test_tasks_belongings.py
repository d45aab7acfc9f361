"""What belongs to tasks: comments, checklists, recurrence, history, boards and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.calendar.hours import parse_hours
from zhike.calendar.working import WorkingCalendar
from zhike.contracts import Recurrence
from zhike.errors import Forbidden, NotFound
from zhike.tasks import board, comments, history, items, lists, service, suggest
from zhike.tasks.query import TasksQuery
from zhike.tasks.recurrence import following, settled
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.work import begin

if TYPE_CHECKING:
    import httpx

    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import FrozenNow, Record, RunUntilIdle

TASKS = "/api/v1/tasks"
PHONE = {"phone": "13800138000"}
SHANGHAI = ZoneInfo("Asia/Shanghai")
Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def customer(record: Record) -> int:
    """A customer's id."""
    [event] = await record({"name": "app.login", "identities": PHONE})
    return event.customer_id


@pytest.fixture
async def users(database: Database) -> list[int]:
    """Ids of Li, who is in a team, and of Wang, who is in none."""
    async with database.connection() as connection:
        team = await connection.fetchval("INSERT INTO team (name) VALUES ('Sales') RETURNING id")
        statement = (
            "INSERT INTO app_user (login, name, password_hash, role, team_id) VALUES ($1, $1, 'x', 'agent', $2)"
            " RETURNING id"
        )
        return [await connection.fetchval(statement, login, of) for login, of in (("li.na", team), ("wang", None))]


@pytest.fixture
def make(client: httpx.AsyncClient) -> Make:
    """Makes a task and returns it."""

    async def make(**given: Any) -> dict[str, Any]:
        return await answer(client.post(TASKS, json={"title": "Call them", **given}))

    return make


async def answer(request: Awaitable[httpx.Response]) -> dict[str, Any]:
    response = await request
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def rows(database: Database, query: str, *values: object) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *values)]


def agent(user: int, **given: Any) -> Actor:
    granted = frozenset({"tasks.read", "tasks.write", "customers.read"})
    return Actor(kind="user", id=user, name="x", role="agent", permissions=granted, user_id=user, **given)


# --- comments ---------------------------------------------------------------------------------------------------------


async def test_whom_only_a_change_names_hears_of_it_once(
    client: httpx.AsyncClient, make: Make, database: Database, users: list[int]
) -> None:
    place = f"{TASKS}/{(await make())['id']}/comments"
    said = await answer(client.post(place, json={"text": "Look"}))
    for words in ("@wang", "@wang again"):
        await answer(client.patch(f"{place}/{said['id']}", json={"text": words}))
    assert await rows(database, "SELECT user_id FROM notice") == [(users[1],)]


async def test_people_talk_about_a_task(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int, users: list[int], frozen_now: FrozenNow
) -> None:
    place = f"{TASKS}/{(await make(customer_id=customer, title='Call Ms Wu'))['id']}"
    said = await answer(client.post(f"{place}/comments", json={"text": "请@li.na, @WANG. look; not a@wang @nobody"}))
    assert (said["mentions"], said["origin"], said["edited_at"]) == (users, "token:1", None)
    assert await rows(database, "SELECT user_id, kind, text::text LIKE '%Wu%' FROM notice ORDER BY 1") == [
        (user, "task.mentioned", True) for user in users
    ]
    await answer(client.post(f"{place}/comments", json={"text": "Second"}))
    frozen_now.advance(minutes=1)
    edited = await answer(client.patch(f"{place}/comments/{said['id']}", json={"text": "Never mind"}))
    assert (edited["text"], edited["mentions"], edited["edited_at"]) == ("Never mind", [], "2026-03-14T08:01:00Z")
    first = await answer(client.get(f"{place}/comments?limit=1"))
    second = await answer(client.get(f"{place}/comments?limit=1&cursor={first['next']}"))
    assert [each["items"][0]["text"] for each in (first, second)] == ["Never mind", "Second"]
    assert (await answer(client.get(place)))["comments"] == 2
    await answer(client.delete(f"{place}/comments/{said['id']}"))
    assert (await answer(client.get(place)))["comments"] == 1
    told = "SELECT properties ->> 'comment_id' FROM event WHERE name = 'task.commented' ORDER BY id"
    assert await rows(database, told) == [("1",), ("2",)]
    audited = "SELECT action, details::text LIKE '%mind%' FROM audit WHERE action LIKE 'task.comment%' ORDER BY id"
    assert await rows(database, audited) == [(f"task.comment{what}", False) for what in ("", "", ".edit", ".remove")]
    for body, status in (({"text": " "}, 400), ({"text": "\0"}, 400), ({}, 400), ({"text": "x" * 10_001}, 400)):
        assert (await client.post(f"{place}/comments", json=body)).status_code == status
    assert (await client.patch(f"{place}/comments/99", json={"text": "x"})).status_code == 404
    assert (await client.post(f"{TASKS}/99/comments", json={"text": "x"})).status_code == 404


async def test_only_who_sees_the_task_takes_part_and_only_the_author_changes(
    platform: Platform, customer: int, users: list[int]
) -> None:
    li, wang = users
    scopes = {key: "own" for key in ("tasks.read", "tasks.write", "customers.read")}
    async with begin(platform, origin="user:1") as work:
        [task] = await service.create(work, [NewTask(title="x", customer_id=customer, assignee=li, items=("a",))])
    async with begin(platform, origin=f"user:{li}") as work:
        said = await comments.add(work, task.id, comments.CommentText("Mine"), actor=agent(li))
    assert said.author == li
    outside = agent(wang, scopes=scopes)
    for reading in (comments.list_, items.list_, history.history):
        with pytest.raises(NotFound):
            await reading(platform.db, outside, task.id)
    with pytest.raises(NotFound):
        async with begin(platform, origin=f"user:{wang}") as work:
            await items.add(work, task.id, items.NewItem(text="b"), actor=outside)
    with pytest.raises(Forbidden):
        async with begin(platform, origin=f"user:{wang}") as work:
            await comments.remove(work, task.id, said.id, actor=agent(wang))
    assert [each.text for each in await comments.list_(platform.db, agent(wang), task.id)] == ["Mine"]


# --- checklists -------------------------------------------------------------------------------------------------------


async def test_a_checklist_is_ticked_off_and_put_in_order(client: httpx.AsyncClient, make: Make) -> None:
    made = await make(items=["a", "b"])
    place = f"{TASKS}/{made['id']}/items"
    assert made["items"] == 2
    shown = await answer(client.post(place, json={"text": "c", "position": 0}))
    ids = {each["text"]: each["id"] for each in shown["items"]}
    assert [*ids] == ["c", "a", "b"]
    shown = await answer(client.patch(f"{place}/{ids['c']}", json={"position": 2, "done": True}))
    assert [(each["text"], each["done"]) for each in shown["items"]] == [("a", False), ("b", False), ("c", True)]
    at = shown["items"][2]["done_at"]
    shown = await answer(client.patch(f"{place}/{ids['c']}", json={"done": True, "text": "C"}))
    assert shown["items"][2] == {"id": ids["c"], "text": "C", "done": True, "done_at": at, "done_by": None}
    task = await answer(client.get(f"{TASKS}/{made['id']}"))
    assert (task["items"], task["items_done"], task["version"]) == (3, 1, 1)
    shown = await answer(client.delete(f"{place}/{ids['a']}"))
    assert await answer(client.get(place)) == shown
    assert [each["text"] for each in shown["items"]] == ["b", "C"]
    for body in ({"text": ""}, {"text": "x" * 501}, {"position": 100}, {"done": None}, {"text": "\0"}):
        assert (await client.patch(f"{place}/{ids['b']}", json=body)).status_code == 400, body
    assert (await client.patch(f"{place}/{ids['a']}", json={"done": True})).status_code == 404
    assert (await client.post(TASKS, json={"title": "x", "items": [" "]})).status_code == 400
    full = f"{TASKS}/{(await make(items=['x'] * 100))['id']}/items"
    assert (await client.post(full, json={"text": "one more"})).status_code == 400


# --- recurrence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "rule", "dates"),
    [
        ("2026-03-14", {"every": "day", "interval": 3}, "03-17 03-20"),
        ("2026-03-13", {"every": "working_day"}, "03-16 03-17"),
        ("2026-09-30", {"every": "working_day"}, "10-08 10-09 10-10 10-12"),  # a Saturday to make up for the holidays
        ("2026-03-14", {"every": "week"}, "03-21 03-28"),
        ("2026-03-11", {"every": "week", "interval": 2, "weekdays": [5, 1]}, "03-13 03-23 03-27 04-06"),
        ("2026-01-31", {"every": "month"}, "02-28 03-31 04-30"),
        ("2026-01-31", {"every": "month", "closed": "next"}, "02-28 03-31 04-30 06-01 06-30"),
        ("2026-04-30", {"every": "month", "closed": "previous"}, "05-29 06-30"),
        ("2026-01-01", {"every": "month", "nth": 2, "weekdays": [2]}, "01-13 02-10"),
        ("2026-01-01", {"every": "quarter", "nth": -1, "weekdays": [5]}, "01-30 04-24 07-31"),
        ("2024-02-29", {"every": "year"}, "02-28 02-28 02-28 02-29"),
        ("2026-03-14", {"every": "day", "until": "2026-03-15"}, "03-15 never"),
        ("2026-03-14", {"every": "year", "interval": 99, "start": "2040-05-06T09:00:00Z"}, "05-06 never"),
    ],
)
def test_the_dates_of_a_rule(first: str, rule: dict[str, Any], dates: str) -> None:
    day = parse_hours(["09:00-18:00"], "hours")
    calendar = WorkingCalendar(SHANGHAI, [day] * 5 + [(), ()], country="CN")
    now = due_at = datetime.combine(date.fromisoformat(first), datetime.min.time(), SHANGHAI) + timedelta(hours=17)
    known = settled(msgspec.convert(rule, Recurrence), due_at, SHANGHAI, now)
    found = []
    for _ in dates.split():
        after = following(known, due_at, now, SHANGHAI, calendar)
        found.append("never" if after is None else after.astimezone(SHANGHAI).strftime("%m-%d"))
        due_at = after or due_at
        assert after is None or after.astimezone(SHANGHAI).hour == 17
    assert " ".join(found) == dates


async def test_the_next_one_is_made_when_one_is_finished(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int, users: list[int], frozen_now: FrozenNow
) -> None:
    frozen_now.set(datetime(2026, 3, 13, 8, tzinfo=UTC))
    first = await make(
        **{"customer_id": customer, "assignee": users[0], "items": ["a"], "priority": "high", "key": "k"},
        **{"due_at": "2026-03-13T18:00:00", "reminders": ["PT1H", "2026-03-13T17:30:00"]},
        recurrence={"every": "working_day"},
    )
    assert (first["series"], first["recurrence"]["start"]) == (first["id"], "2026-03-13T10:00:00Z")
    place = f"{TASKS}/{first['id']}"
    await answer(client.patch(f"{place}/items/1", json={"done": True}))
    frozen_now.set(datetime(2026, 3, 17, 8, tzinfo=UTC))  # Monday's was never made: it is Tuesday
    done = await answer(client.patch(place, json={"status": "done", "result": "ok"}))
    assert (done["recurrence"], done["series"]) == (None, first["id"])
    later = (await answer(client.get(TASKS, params={"series": first["id"], "finished": "false"})))["items"]
    kept = ("title", "customer_id", "assignee", "priority", "recurrence", "series", "items")
    assert [{name: each[name] for name in kept} for each in later] == [{name: first[name] for name in kept}]
    [second] = later
    assert (second["due_at"], second["status"], second["key"]) == ("2026-03-17T10:00:00Z", "open", None)
    assert (second["reminders"], second["items_done"], second["version"]) == (["PT1H"], 0, 1)
    checklist = await answer(client.get(f"{TASKS}/{second['id']}/items"))
    assert [(each["text"], each["done"]) for each in checklist["items"]] == [("a", False)]
    told = await rows(database, "SELECT name FROM event WHERE name LIKE 'task.%' ORDER BY id OFFSET 2")
    assert [name for (name,) in told] == ["task.completed", "task.created", "task.assigned"]
    # The recurrence has gone on: finishing the first one again makes no other one.
    await answer(client.patch(place, json={"status": "open"}))
    await answer(client.patch(place, json={"status": "done"}))
    assert len(await rows(database, "SELECT id FROM task")) == 2
    # Who cancels one leaves it out; who takes the recurrence away ends it.
    await answer(client.patch(f"{TASKS}/{second['id']}", json={"status": "cancelled"}))
    third = (await answer(client.get(TASKS, params={"finished": "false"})))["items"][0]
    assert third["due_at"] == "2026-03-18T10:00:00Z"
    await answer(client.patch(f"{TASKS}/{third['id']}", json={"recurrence": None, "status": "done"}))
    assert len(await rows(database, "SELECT id FROM task")) == 3


async def test_a_completion_that_fails_makes_no_next_one_and_several_make_one(
    platform: Platform, database: Database
) -> None:
    daily = Recurrence(every="day")
    async with begin(platform, origin="user:1") as work:
        [task] = await service.create(work, [NewTask(title="x", due_in="P1D", recurrence=daily)])
    with pytest.raises(ConnectionError):
        async with begin(platform, origin="user:1") as work:
            await service.complete(work, [task.id])
            raise ConnectionError
    assert await rows(database, "SELECT status, recurrence IS NULL FROM task") == [("open", False)]

    async def complete() -> None:
        async with begin(platform, origin="user:1") as work:
            await service.complete(work, [task.id])

    await asyncio.gather(*(complete() for _ in range(3)))
    assert await rows(database, "SELECT status, recurrence IS NULL FROM task ORDER BY id") == [
        ("done", True),
        ("open", False),
    ]


async def test_a_rule_that_cannot_be_is_refused(client: httpx.AsyncClient, make: Make) -> None:
    due = {"due_at": "2030-01-01T00:00:00Z"}
    for given in (
        {"recurrence": {"every": "day"}},
        {**due, "recurrence": {"every": "fortnight"}},
        {**due, "recurrence": {"every": "day", "interval": 0}},
        {**due, "recurrence": {"every": "day", "weekdays": [1]}},
        {**due, "recurrence": {"every": "week", "weekdays": [8]}},
        {**due, "recurrence": {"every": "week", "nth": 1, "weekdays": [1]}},
        {**due, "recurrence": {"every": "month", "nth": 1}},
        {**due, "recurrence": {"every": "month", "nth": 5, "weekdays": [1]}},
        {**due, "recurrence": {"every": "day", "start": "0001-01-01T00:00:00Z"}},
    ):
        refused = await client.post(TASKS, json={"title": "x", **given})
        assert (refused.status_code, "recurrence" in refused.json()["detail"]) == (400, True), given
    place = f"{TASKS}/{(await make(**due, recurrence={'every': 'day'}))['id']}"
    assert (await client.patch(place, json={"due_at": None})).status_code == 400
    await answer(client.patch(place, json={"recurrence": None, "status": "cancelled"}))
    assert (await client.patch(place, json={"recurrence": {"every": "day"}})).status_code == 400


# --- work in progress, boards and counts ------------------------------------------------------------------------------


async def test_a_task_in_progress_is_not_finished(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int, frozen_now: FrozenNow
) -> None:
    place = f"{TASKS}/{(await make(customer_id=customer, due_at='2026-03-14T09:00:00Z'))['id']}"
    begun = await answer(client.patch(place, json={"status": "in_progress"}))
    assert begun["status"] == "in_progress"
    assert (await client.patch(place, json={"result": "x"})).status_code == 400
    frozen_now.advance(hours=2)
    assert (await answer(client.get(place)))["overdue"] is True
    count = {"condition": {"type": "field", "field": "tasks.open", "op": "eq", "value": 1}}
    assert (await answer(client.post("/api/v1/conditions/count", json=count)))["count"] == 1
    for status in ("open", "in_progress", "done", "in_progress"):
        await answer(client.patch(place, json={"status": status}))
    told = await rows(database, "SELECT name FROM event WHERE name LIKE 'task.%' ORDER BY id OFFSET 1")
    names = ["task.started", "task.started", "task.completed", "task.reopened"]
    assert [name for (name,) in told] == names


async def test_lists_boards_and_counts_are_of_what_concerns_somebody(
    platform: Platform, users: list[int], frozen_now: FrozenNow, query_counter: QueryCounter
) -> None:
    li, wang = users
    frozen_now.set(datetime(2026, 3, 12, 2, tzinfo=UTC))  # a Thursday
    now = frozen_now.instant
    async with begin(platform, origin="user:1") as work:
        await service.create(
            work,
            [
                NewTask(title="a", assignee=li, due_at=now - timedelta(hours=20)),  # yesterday
                NewTask(title="b", assignee=li, due_at=now - timedelta(hours=1), priority="urgent"),
                NewTask(title="c", team=1, due_at=datetime(2026, 3, 15, 15, 59, tzinfo=UTC)),  # Sunday's last minute
                NewTask(title="d", assignee=wang, due_at=datetime(2026, 3, 15, 16, tzinfo=UTC)),
                NewTask(title="e", assignee=li),
            ],
        )
        await service.change(work, [2], TaskChange(status="in_progress"))
        await service.complete(work, [5])
    seer = agent(li, teams=frozenset({1}))

    async def titles(**query: Any) -> str:
        page = await lists.list_(platform.db, seer, TasksQuery(**query, sort="due_at"), zone=SHANGHAI)
        return "".join(task.title for task in page.items)

    assert await titles(whose="me") == "abe"
    assert await titles(whose="team", finished=False) == "abc"
    assert await titles(finished=True) == "e"
    assert (await titles(due="today"), await titles(due="week")) == ("b", "abc")
    query_counter.reset()
    shown = await board.board(platform.db, seer, TasksQuery(limit=1), zone=SHANGHAI)
    assert query_counter.count == 1
    assert [(each.status, each.total, "".join(task.title for task in each.tasks)) for each in shown.columns] == [
        ("open", 3, "a"),
        ("in_progress", 1, "b"),
        ("done", 1, "e"),
        ("cancelled", 0, ""),
    ]
    frozen_now.advance(days=15)
    shown = await board.board(platform.db, seer, TasksQuery(whose="me"), zone=SHANGHAI)
    assert [each.total for each in shown.columns] == [1, 1, 0, 0]
    frozen_now.advance(days=-15)
    query_counter.reset()
    found = await board.counts(platform.db, seer, zone=SHANGHAI)
    assert query_counter.count == 1
    mine = board.Counts(unfinished=2, in_progress=1, overdue=2, today=1, week=2, urgent=1, unassigned=0)
    assert found.mine == mine
    assert found.team == msgspec.structs.replace(mine, unfinished=3, week=3, unassigned=1)
    nobody = await board.counts(platform.db, agent(99), zone=SHANGHAI)
    assert nobody.team.unfinished == nobody.mine.unfinished == 0


async def test_the_routes_of_lists_are_not_taken_for_a_task(client: httpx.AsyncClient, make: Make) -> None:
    await make()
    assert [each["total"] for each in (await answer(client.get(f"{TASKS}/board")))["columns"]] == [1, 0, 0, 0]
    assert (await answer(client.get(f"{TASKS}/counts")))["mine"]["unfinished"] == 0


async def test_a_task_is_found_by_its_id_however_late_it_is_due(
    client: httpx.AsyncClient, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggest, "_READ_THROUGH", 1)
    first, late = await make(title="Call", due_in="P1D"), await make(title="Write")
    for q, found in (("call", [first["id"]]), (str(late["id"]), [late["id"]]), ("write", [])):
        tasks = (await answer(client.get("/api/v1/search", params={"q": q})))["tasks"]
        assert [each["id"] for each in tasks] == found, q


# --- history and customers --------------------------------------------------------------------------------------------


async def test_a_history_has_people_plugins_and_time(
    client: httpx.AsyncClient,
    make: Make,
    platform: Platform,
    database: Database,
    customer: int,
    users: list[int],
    frozen_now: FrozenNow,
    run_until_idle: RunUntilIdle,
) -> None:
    made = await make(customer_id=customer, due_at="2026-03-14T09:00:00Z", assignee=users[0])
    place = f"{TASKS}/{made['id']}"
    frozen_now.advance(minutes=1)
    await answer(client.patch(place, json={"title": "secret", "priority": "low"}))
    frozen_now.advance(hours=2)
    await run_until_idle()
    async with begin(platform, origin="plugin:care") as work:
        await service.complete(work, [made["id"]])
    # The audit trail has the database's own time, so that only the order within each kind is known here.
    found = (await answer(client.get(f"{place}/history")))["events"]
    people = [each for each in found if each["details"] is not None]
    assert [(each["what"], each["origin"]) for each in people] == [
        ("task.change", "token:1"),
        ("task.create", "token:1"),
    ]
    assert people[0]["details"] == {"title": "…", "priority": "low"}
    others = [(each["what"], each["origin"]) for each in found if each["details"] is None]
    assert others == [("task.completed", "plugin:care"), ("task.overdue", "system")]
    notices = await rows(database, "SELECT kind FROM notice WHERE user_id = $1 ORDER BY id", users[0])
    assert notices == [("task.assigned",), ("task.overdue",)]


async def test_what_belongs_to_a_task_follows_its_customer(
    client: httpx.AsyncClient, make: Make, database: Database, record: Record, users: list[int]
) -> None:
    [visit] = await record({"name": "page.viewed", "identities": {"device_id": "d-1"}})
    made = await make(customer_id=visit.customer_id, items=["a"], assignee=users[0])
    await answer(client.post(f"{TASKS}/{made['id']}/comments", json={"text": "x"}))
    [known] = await record({"name": "app.login", "identities": PHONE})
    await record({"name": "app.login", "identities": {**PHONE, "device_id": "d-1"}})
    where = "SELECT i.customer_id, c.customer_id FROM task_item AS i CROSS JOIN task_comment AS c"
    assert await rows(database, where) == [(known.customer_id, known.customer_id)]
    exported = (await client.get(f"/api/v1/customers/{known.customer_id}/export")).text
    assert '"task_comment"' in exported
    assert '"task_item"' in exported
    async with database.connection() as connection:  # as erasing a customer does it
        await connection.execute("DELETE FROM task WHERE customer_id = $1", known.customer_id)
    assert await rows(database, where) == []
    assert await rows(database, "SELECT id FROM notice") == []
