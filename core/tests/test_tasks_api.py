"""Tasks through the API: their life, lists, who may do what, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.api import MAX_ID
from zhike.errors import NotFound
from zhike.tasks import lists
from zhike.tasks.query import TasksQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from conftest import MakeToken
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import FrozenNow, Record

TASKS = "/api/v1/tasks"
VISIT = {"name": "app.login", "identities": {"phone": "13800138000"}}


@pytest.fixture
async def customer(record: Record) -> int:
    """A customer's id."""
    [event] = await record(VISIT)
    return event.customer_id


@pytest.fixture
async def user(database: Database) -> int:
    """A user's id."""
    async with database.connection() as connection:
        user_id: int = await connection.fetchval(
            "INSERT INTO app_user (login, name, password_hash, role) VALUES ('li', 'Li', 'x', 'agent') RETURNING id"
        )
    return user_id


@pytest.fixture
async def team(database: Database) -> None:
    """The team 7."""
    async with database.connection() as connection:
        await connection.execute("INSERT INTO team (id, name) VALUES (7, 'Front desk')")


@pytest.fixture
def make(client: httpx.AsyncClient, team: None) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Makes a task and returns it."""

    async def make(**given: Any) -> dict[str, Any]:
        answer = await client.post(TASKS, json={"title": "Call them", **given})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


Make = Callable[..., Awaitable[dict[str, Any]]]


async def events_of(database: Database, customer_id: int) -> list[tuple[str, dict[str, Any]]]:
    """Return name and properties of a customer's events about tasks, in the order they were recorded."""
    import msgspec

    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, properties::text FROM event WHERE customer_id = $1 AND name LIKE 'task.%' ORDER BY id",
            customer_id,
        )
    return [(row[0], msgspec.json.decode(row[1])) for row in rows]


# --- the life of a task -----------------------------------------------------------------------------------------------


async def test_the_life_of_a_task(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int, user: int, frozen_now: FrozenNow
) -> None:
    made = await make(
        customer_id=customer, due_at="2026-03-15T10:00:00", priority="high", description="About the order"
    )
    assert {name: made[name] for name in ("status", "priority", "due_at", "version", "overdue", "result")} == {
        "status": "open",
        "priority": "high",
        "due_at": "2026-03-15T02:00:00Z",  # without offset it is in the deployment's zone
        "version": 1,
        "overdue": False,
        "result": None,
    }
    place = f"{TASKS}/{made['id']}"
    steps = [
        ({"assignee": user}, ["task.assigned"]),
        ({"assignee": user, "title": "Call them again"}, []),
        ({"status": "done", "result": "They will order"}, ["task.completed"]),
        ({"status": "done"}, []),
        ({"status": "open"}, ["task.reopened"]),
        ({"status": "cancelled", "result": "A double"}, ["task.cancelled"]),
    ]
    told = ["task.created"]
    for change, names in steps:
        frozen_now.advance(minutes=1)
        answer = await client.patch(place, json=change)
        assert answer.status_code == 200, answer.text
        told += names
        assert [name for name, _ in await events_of(database, customer)] == told
    shown = (await client.get(place)).json()
    assert shown == answer.json()
    assert (shown["version"], shown["status"], shown["result"], shown["completed_at"]) == (
        6,
        "cancelled",
        "A double",
        None,
    )
    assert shown["updated_at"] > shown["created_at"]
    facts = {"task_id": made["id"], "title": "Call them", "priority": "high", "due_at": "2026-03-15T02:00:00Z"}
    assert (await events_of(database, customer))[0] == ("task.created", facts)
    timeline = (await client.get(f"/api/v1/customers/{customer}/events")).json()["items"]
    assert {event["origin"] for event in timeline if event["name"].startswith("task.")} == {"token:1"}
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT action, details::text FROM audit WHERE object = $1 ORDER BY id", "task:1")
    assert [row[0] for row in rows] == ["task.create"] + ["task.change"] * 5
    assert "Call them" not in "".join(row[1] for row in rows)


async def test_what_is_done_says_so_until_it_is_taken_up_again(client: httpx.AsyncClient, make: Make) -> None:
    place = f"{TASKS}/{(await make())['id']}"
    done = (await client.patch(place, json={"status": "done", "result": "Fine"})).json()
    assert (done["result"], done["completed_at"]) == ("Fine", done["updated_at"])
    corrected = (await client.patch(place, json={"result": "Very fine"})).json()
    assert (corrected["result"], corrected["completed_at"]) == ("Very fine", done["completed_at"])
    refused = await client.patch(place, json={"status": "cancelled"})
    assert (refused.status_code, refused.json()["detail"]) == (409, "The task 1 is done; open it again first")
    again = (await client.patch(place, json={"status": "open"})).json()
    assert (again["result"], again["completed_at"]) == (None, None)
    assert (await client.patch(place, json={"result": "Not yet"})).status_code == 400


async def test_a_task_without_a_customer_leaves_no_event(
    client: httpx.AsyncClient, make: Make, database: Database
) -> None:
    made = await make(team=7)
    assert (await client.patch(f"{TASKS}/{made['id']}", json={"status": "done"})).json()["status"] == "done"
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM event") == 0


async def test_the_same_key_makes_one_task(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int
) -> None:
    made = await make(key="visit-1", customer_id=customer)
    assert await make(key="visit-1", title="Something else") == made
    answers = await asyncio.gather(*(client.post(TASKS, json={"title": "x", "key": "visit-2"}) for _ in range(5)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(200, answers[0].json()["id"])}
    assert len(await events_of(database, customer)) == 1
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM task") == 2


async def test_of_two_who_change_one_task_the_second_is_told(client: httpx.AsyncClient, make: Make) -> None:
    place = f"{TASKS}/{(await make())['id']}"
    bodies = [{"title": "a", "version": 1}, {"description": "b", "version": 1}]
    answers = await asyncio.gather(*(client.patch(place, json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert next(each for each in answers if each.status_code == 409).json()["code"] == "version"
    # Who does not say what they have read changes what they name and nothing else.
    bodies = [{"title": "c"}, {"priority": "urgent"}]
    answers = await asyncio.gather(*(client.patch(place, json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200, 200]
    shown = (await client.get(place)).json()
    assert (shown["title"], shown["priority"], shown["version"]) == ("c", "urgent", 4)


async def test_of_two_who_complete_one_task_one_does(
    client: httpx.AsyncClient, make: Make, database: Database, customer: int
) -> None:
    place = f"{TASKS}/{(await make(customer_id=customer))['id']}"
    answers = await asyncio.gather(*(client.patch(place, json={"status": "done"}) for _ in range(4)))
    assert {(answer.status_code, answer.json()["version"]) for answer in answers} == {(200, 2)}
    assert [name for name, _ in await events_of(database, customer)] == ["task.created", "task.completed"]


# --- working time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "due_in", "due_at"),
    [
        ("2026-03-13T16:00:00+08:00", "PT4H", "2026-03-16T11:00:00+08:00"),  # a Friday
        ("2026-03-13T16:00:00+08:00", "P1D", "2026-03-16T16:00:00+08:00"),
        ("2026-03-13T16:00:00+08:00", "P1DT4H", "2026-03-17T11:00:00+08:00"),
        ("2026-03-14T08:00:00+08:00", "P3D", "2026-03-19T09:00:00+08:00"),  # a Saturday: Monday 9:00 and three days
        ("2026-03-13T16:00:00+08:00", "PT24H", "2026-03-18T16:00:00+08:00"),
        ("2026-03-13T12:30:00+08:00", "PT30M", "2026-03-13T13:30:00+08:00"),  # at lunch
        ("2025-09-30T16:00:00+08:00", "P1D", "2025-10-09T16:00:00+08:00"),  # National Day and the Mid-Autumn Festival
        ("2025-09-26T16:00:00+08:00", "P1D", "2025-09-28T16:00:00+08:00"),  # a Sunday, to make up for them
        ("2026-09-30T15:00:00+08:00", "P1D", "2026-10-08T15:00:00+08:00"),  # National Day from Thursday to Wednesday
        ("2026-09-30T15:00:00+08:00", "P3D", "2026-10-10T15:00:00+08:00"),  # a Saturday, to make up for it
        ("2026-10-03T11:00:00+08:00", "PT4H", "2026-10-08T14:00:00+08:00"),
    ],
)
async def test_a_due_time_in_working_time(
    make: Make, frozen_now: FrozenNow, now: str, due_in: str, due_at: str
) -> None:
    frozen_now.set(datetime.fromisoformat(now))
    made = await make(due_in=due_in)
    assert datetime.fromisoformat(made["due_at"]) == datetime.fromisoformat(due_at)


@pytest.mark.parametrize(
    ("now", "due_in", "due_at"),
    [
        ("2026-03-12T23:00:00+08:00", "P1D", "2026-03-13T23:00:00+08:00"),
        ("2026-03-13T02:00:00+08:00", "P1D", "2026-03-14T02:00:00+08:00"),  # from Thursday's night to Friday's
        ("2026-03-13T23:00:00+08:00", "P1D", "2026-03-16T23:00:00+08:00"),
        ("2026-03-14T02:00:00+08:00", "P1DT5H", "2026-03-17T23:00:00+08:00"),
    ],
)
async def test_a_night_is_the_working_day_on_which_it_begins(
    client: httpx.AsyncClient, make: Make, frozen_now: FrozenNow, now: str, due_in: str, due_at: str
) -> None:
    week = {key: ["22:00-06:00"] for key in ("monday", "tuesday", "wednesday", "thursday", "friday")}
    assert (await client.put("/api/v1/calendars/default", json={"weekly": week})).status_code == 200
    frozen_now.set(datetime.fromisoformat(now))
    made = await make(due_in=due_in)
    assert datetime.fromisoformat(made["due_at"]) == datetime.fromisoformat(due_at)


async def test_a_due_time_is_moved_and_taken_away(client: httpx.AsyncClient, make: Make, frozen_now: FrozenNow) -> None:
    frozen_now.set(datetime.fromisoformat("2026-03-13T16:00:00+08:00"))
    place = f"{TASKS}/{(await make(due_at='2026-03-13T09:00:00Z'))['id']}"
    assert (await client.patch(place, json={"due_in": "PT1H"})).json()["due_at"] == "2026-03-13T09:00:00Z"
    frozen_now.advance(hours=2)
    assert (await client.get(place)).json()["overdue"] is True
    assert (await client.patch(place, json={"due_at": None})).json()["overdue"] is False


# --- lists ------------------------------------------------------------------------------------------------------------


async def titles(client: httpx.AsyncClient, **query: Any) -> str:
    answer = await client.get(TASKS, params=query)
    assert answer.status_code == 200, answer.text
    return "".join(task["title"] for task in answer.json()["items"])


async def test_lists_are_filtered(
    client: httpx.AsyncClient, make: Make, customer: int, user: int, frozen_now: FrozenNow
) -> None:
    frozen_now.set(datetime(2026, 3, 14, 8, tzinfo=UTC))
    await make(title="a", assignee=user, due_at="2026-03-14T09:00:00Z", priority="urgent")
    await make(title="b", team=7, due_at="2026-03-15T09:00:00Z", customer_id=customer)
    await make(title="c", assignee=user, team=7, priority="low")
    await make(title="d", due_at="2026-03-14T09:30:00Z", customer_id=customer)
    await client.patch(f"{TASKS}/4", json={"status": "done"})
    frozen_now.set(datetime(2026, 3, 14, 10, tzinfo=UTC))
    for query, shown in [
        ({}, "dcba"),
        ({"status": "open"}, "cba"),
        ({"status": "cancelled"}, ""),
        ({"assignee": user}, "ca"),
        ({"assignee": user + 1}, ""),
        ({"team": 7, "status": "open"}, "cb"),
        ({"customer_id": customer}, "db"),
        ({"customer_id": MAX_ID}, ""),
        ({"priority": "urgent"}, "a"),
        ({"due_before": "2026-03-15T09:00:00Z"}, "da"),
        ({"due_after": "2026-03-14T09:30:00Z"}, "db"),
        ({"due_after": "2026-03-14T17:30:00", "due_before": "2026-03-15T09:00:00Z"}, "d"),
        ({"overdue": "true"}, "a"),
        ({"overdue": "false"}, "dcb"),
        ({"sort": "due_at"}, "adbc"),
        ({"sort": "priority"}, "adbc"),
        ({"sort": "priority", "status": "open", "team": 7}, "bc"),
    ]:
        assert await titles(client, **query) == shown, query


@pytest.mark.parametrize("sort", ["-created_at", "due_at", "priority"])
async def test_pages_together_are_the_list(client: httpx.AsyncClient, make: Make, sort: str) -> None:
    for number in range(12):
        due = {} if number % 3 == 0 else {"due_at": f"2030-01-{1 + number % 2:02}T00:00:00.000001Z"}
        await make(title=chr(97 + number), priority=("low", "urgent")[number % 2], **due)
    whole = await titles(client, sort=sort)
    assert len(set(whole)) == 12
    pages, cursor = "", None
    while cursor or not pages:
        answer = (
            await client.get(TASKS, params={"sort": sort, "limit": 5, **({"cursor": cursor} if cursor else {})})
        ).json()
        pages += "".join(task["title"] for task in answer["items"])
        cursor = answer["next"]
        if cursor:  # it belongs to this list alone
            for other in ({"sort": sort, "status": "open"}, {"sort": "due_at" if sort != "due_at" else "priority"}):
                refused = await client.get(TASKS, params={**other, "cursor": cursor})
                assert (refused.status_code, refused.json()["code"]) == (400, "cursor")
    assert pages == whole


async def test_a_list_of_many_takes_as_many_statements_as_one_of_few(
    client: httpx.AsyncClient, make: Make, customer: int, query_counter: QueryCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.access.directory.CACHE_SECONDS", 3600.0)  # whose token it is is asked once
    counts = []
    for number in (2, 20):
        for _ in range(number):
            await make(customer_id=customer)
        await titles(client)  # the token is known now
        query_counter.reset()
        assert len(await titles(client, customer_id=customer)) > number
        counts.append(query_counter.count)
    assert counts[0] == counts[1] <= 2


class Explained:
    """A database that answers with the plan of what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.plan = ""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._database.connection() as connection:
            self._connection = connection
            yield self

    async def fetchval(self, query: str, *values: Any) -> Any:
        return await self._connection.fetchval(query, *values)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        rows = await self._connection.fetch(f"EXPLAIN {query}", *values)
        self.plan = "\n".join(row[0] for row in rows)
        return []


async def test_filters_use_indexes(database: Database, platform: Platform) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO customer (id) SELECT generate_series(1, 2000);
            INSERT INTO task (title, customer_id, assignee, team, status, completed_at, due_at, origin)
            SELECT 'x', nullif(n % 2000, 0), n % 200, nullif(n % 20, 0),
              CASE WHEN n % 50 = 0 THEN 'open' ELSE 'done' END, CASE WHEN n % 50 <> 0 THEN now() END,
              CASE WHEN n % 3 > 0 THEN timestamptz '2026-01-01Z' + n * interval '10 minutes' END, 'x'
            FROM generate_series(1, 30000) AS n;
            ANALYZE task; ANALYZE customer;
            """
        )
    at = datetime(2026, 2, 1, tzinfo=UTC)
    for filters, index in [
        ({"assignee": 7, "status": "open", "sort": "due_at"}, "task_assignee"),
        ({"assignee": 7}, "task_assignee"),
        ({"team": 7, "sort": "due_at"}, "task_team"),
        ({"customer_id": 7}, "task_customer"),
        ({"status": "open", "sort": "due_at"}, "task_status"),
        ({"status": "open", "sort": "priority"}, "task_status"),
        ({"overdue": True, "sort": "due_at"}, "task_unfinished"),
        ({"finished": False, "sort": "due_at"}, "task_unfinished"),
        ({"series": 7}, "task_series"),
        ({"due_after": at, "due_before": at + timedelta(days=1)}, "task_status"),
        ({"status": "open", "due_before": at}, "task_status"),
        ({}, "task_pkey"),
    ]:
        explained = Explained(database)
        query = TasksQuery(**filters)
        await lists.list_(explained, Actor.system(), query, zone=platform.settings.zone)  # type: ignore[arg-type]
        assert f" {index} " in explained.plan, (filters, explained.plan)
        assert "Seq Scan on task" not in explained.plan


# --- who may do what --------------------------------------------------------------------------------------------------


async def test_a_viewer_reads_and_an_agent_writes(
    anonymous: httpx.AsyncClient, make_token: MakeToken, client: httpx.AsyncClient, make: Make
) -> None:
    await make()
    for role, status in (("viewer", 403), ("agent", 200)):
        anonymous.headers["authorization"] = f"Bearer {await make_token(role)}"
        assert (await anonymous.get(f"{TASKS}/1")).status_code == 200
        assert (await anonymous.get(TASKS)).status_code == 200
        assert (await anonymous.post(TASKS, json={"title": "x"})).status_code == status
        assert (await anonymous.patch(f"{TASKS}/1", json={"title": "y"})).status_code == status
    anonymous.headers.pop("authorization")
    assert (await anonymous.get(TASKS)).status_code == 401


async def test_tasks_of_customers_out_of_sight_are_not_there(
    make: Make, customer: int, database: Database, platform: Platform
) -> None:
    from zhike.errors import BadRequest, Conflict
    from zhike.tasks import service
    from zhike.work import begin

    hidden, free = await make(customer_id=customer, key="k"), await make()
    blind = Actor(kind="user", id=3, name="x", role="x", permissions=frozenset({"tasks.read", "tasks.write"}))
    page = await lists.list_(database, blind, TasksQuery(), zone=platform.settings.zone)
    assert [task.id for task in page.items] == [free["id"]]
    with pytest.raises(NotFound):
        await lists.get(database, blind, hidden["id"])
    for wrong, error in [
        (lambda work: service.change(work, [hidden["id"]], service.TaskChange(title="x"), actor=blind), NotFound),
        (
            lambda work: service.create(work, [service.NewTask(title="x", customer_id=customer)], actor=blind),
            BadRequest,
        ),
        (lambda work: service.create(work, [service.NewTask(title="x", key="k")], actor=blind), Conflict),
    ]:
        with pytest.raises(error):
            async with begin(platform, origin="user:3") as work:
                await wrong(work)


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_what_is_wrong_is_named(client: httpx.AsyncClient, database: Database) -> None:
    for given, field in [
        ({"title": ""}, "title"),
        ({"title": " \n "}, "title"),
        ({"title": None}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": "\0"}, "description"),
        ({"key": "a\0"}, "key"),
        ({"key": ""}, "key"),
        ({"priority": "highest"}, "priority"),
        ({"customer_id": 0}, "customer_id"),
        ({"customer_id": "1"}, "customer_id"),
        ({"customer_id": 4711}, "customer_id"),
        ({"customer_id": 2**63}, "customer_id"),
        ({"assignee": 4711}, "assignee"),
        ({"assignee": True}, "assignee"),
        ({"team": -1}, "team"),
        ({"due_at": "0001-01-01T00:00:00+08:00"}, "due_at"),
        ({"due_at": "1969-12-31T00:00:00Z"}, "due_at"),
        ({"due_at": "9999-12-31T23:59:59-08:00"}, "due_at"),
        ({"due_at": "tomorrow"}, "due_at"),
        ({"due_at": 1700000000}, "due_at"),
        ({"due_in": "PT0H"}, "due_in"),
        ({"due_in": "P0D"}, "due_in"),
        ({"due_in": "-P1D"}, "due_in"),
        ({"due_in": "P-1D"}, "due_in"),
        ({"due_in": "P500Y"}, "due_in"),
        ({"due_in": "P182500D"}, "due_in"),
        ({"due_in": "PT99999H"}, "due_in"),
        ({"due_in": "P"}, "due_in"),
        ({"due_in": "PT"}, "due_in"),
        ({"due_in": "P1D\0"}, "due_in"),
        ({"due_in": 4}, "due_in"),
        ({"due_in": "PT4H", "due_at": "2030-01-01T00:00:00Z"}, "due_in"),
        ({"reminders": ["PT1H"]}, "reminders"),
        ({"due_at": "2030-01-01T00:00:00Z", "reminders": ["PT0S"]}, "reminders"),
        ({"due_at": "2030-01-01T00:00:00Z", "reminders": ["P501Y"]}, "reminders"),
        ({"reminders": ["soon"]}, "reminders"),
        ({"reminders": ["9999-12-31T23:59:59-08:00"]}, "reminders"),
        ({"reminders": ["2030-01-01T00:00:00Z"] * 11}, "reminders"),
        ({"reminders": "PT1H"}, "reminders"),
        ({"owner": 1}, "owner"),
        ({"status": "done"}, "status"),
    ]:
        answer = await client.post(TASKS, json={"title": "x", **given})
        assert answer.status_code == 400, (given, answer.text)
        assert field in answer.json()["detail"], given
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM task") == 0


async def test_a_change_that_is_wrong_changes_nothing(client: httpx.AsyncClient, make: Make) -> None:
    made = await make(due_at="2030-01-01T00:00:00Z", reminders=["PT1H"])
    changes: list[tuple[object, int]] = [
        ({"title": None}, 400),
        ({"title": "\0"}, 400),
        ({"status": "finished"}, 400),
        ({"status": None}, 400),
        ({"customer_id": 1}, 400),
        ({"due_at": None}, 400),  # of which there is a reminder
        ({"due_in": None}, 400),
        ({"due_in": "PT4H", "due_at": "2030-01-01T00:00:00Z"}, 400),
        ({"key": "x"}, 400),
        ({"origin": "system"}, 400),
        ({"version": 0}, 400),
        ({"version": 2}, 409),
        ([], 400),
        ("x", 400),
    ]
    for given, status in changes:
        assert (await client.patch(f"{TASKS}/{made['id']}", json=given)).status_code == status, given
    assert (await client.get(f"{TASKS}/{made['id']}")).json() == made


async def test_requests_that_are_no_requests(client: httpx.AsyncClient, make: Make, customer: int) -> None:
    headers = {"content-type": "application/json"}
    for body in (
        b'{"title": "%b"}' % (b"x" * 10_000_000),
        b'{"title": "\\ud800"}',
        b'{"title": "\xff"}',
        b'{"title": "x", "team": 1e400}',
        b'{"title": %b}' % (b"[" * 10_000),
        b'{"title": "x"',
        b"",
    ):
        assert (await client.post(TASKS, content=body, headers=headers)).status_code == 400
    for address in ("0", "-1", "x", str(2**63), "4711", "1'--"):
        assert (await client.get(f"{TASKS}/{address}")).status_code == 404
        assert (await client.patch(f"{TASKS}/{address}", json={})).status_code == 404
    for query in ("assignee=x", "status=late", "sort=title", "due_before=never", "overdue=perhaps", "team=0", "who=me"):
        assert (await client.get(f"{TASKS}?{query}")).status_code == 400
    assert (await client.get(f"{TASKS}?due_before=9999-12-31T23:59:59-08:00")).status_code == 400
    words = "'; DROP TABLE task; -- {{7*7}} %s 你好 🙂"
    assert (await make(title=words, key=words, customer_id=customer))["title"] == words


async def test_a_disabled_user_is_given_nothing(client: httpx.AsyncClient, database: Database, user: int) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE app_user SET disabled_at = now()")
    answer = await client.post(TASKS, json={"title": "x", "assignee": user})
    assert (answer.status_code, answer.json()["detail"]) == (400, f"assignee: there is no active user {user}")
    answer = await client.post(TASKS, json={"title": "x", "team": 8})
    assert (answer.status_code, answer.json()["detail"]) == (400, "team: there is no team 8")
