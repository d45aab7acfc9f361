"""Scopes: whoever sees only some customers sees only these, wherever customers are read, counted and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from zhike.access import new_users, teams, user_changes
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.scope import visible_customers

if TYPE_CHECKING:
    import httpx

    from conftest import As
    from zhike.platform import Platform
    from zhike.testing.plugin import Record

BASE = "/api/v1"
OPERATOR = Actor.command("test")
EVERYBODY: dict[str, Any] = {"type": "all", "of": []}


class Shop(NamedTuple):
    """Ann is in the team above the team of some customers; others have others.

    Args:
        ann: Her id.
        other: The id of somebody of another team.
        customers: Name to id: `own` (Ann's, of no team), `team` (of the team below hers), `foreign`.
        teams: The ids of her team and of the foreign one.
    """

    ann: int
    other: int
    customers: dict[str, int]
    teams: tuple[int, int]


@pytest.fixture
async def shop(platform: Platform, record: Record) -> Shop:
    """Three customers, one event each."""
    ids: list[int] = []
    for name, parent in [("hers", None), ("below", 0), ("foreign", None)]:
        new = teams.NewTeam(name, None if parent is None else ids[parent])
        ids.append((await teams.create(platform.db, OPERATOR, new)).id)
    people = [
        await new_users.create(
            platform.db, OPERATOR, login=login, name=login, role="viewer", password="tulip quarry 77", team_id=team
        )
        for login, team in [("ann", ids[0]), ("other", ids[2])]
    ]
    ann, other = people[0].id, people[1].id
    customers = {}
    for name, owner, team in [("own", ann, None), ("team", None, ids[1]), ("foreign", other, ids[2])]:
        [event] = await record({"name": "order.paid", "identities": {"external_id": name}, "traits": {"name": name}})
        customers[name] = event.customer_id
        async with platform.db.transaction() as connection:
            await connection.execute(
                "UPDATE customer SET owner = $2, team = $3 WHERE id = $1", event.customer_id, owner, team
            )
    return Shop(ann, other, customers, (ids[0], ids[2]))


SEEN = {"all": {"own", "team", "foreign"}, "team": {"own", "team"}, "own": {"own"}}


@pytest.mark.parametrize("scope", SEEN)
async def test_customers_are_read_in_scope(acting: As, shop: Shop, scope: Any) -> None:
    held = ("customers.read", "events.read", "conditions.count")
    client = await acting(dict.fromkeys(held, scope), user=shop.ann)
    names = {customer_id: name for name, customer_id in shop.customers.items()}
    seen = SEEN[scope]
    listed = (await client.get(f"{BASE}/customers")).json()["items"]
    assert {names[item["id"]] for item in listed} == seen
    searched = await client.post(f"{BASE}/customers/search", json={"condition": EVERYBODY, "sort": ["-name"]})
    assert {names[item["id"]] for item in searched.json()["items"]} == seen
    counted = await client.post(f"{BASE}/conditions/count", json={"condition": EVERYBODY})
    assert counted.json() == {"count": len(seen)}
    for name, customer_id in shop.customers.items():
        q = (await client.get(f"{BASE}/customers", params={"q": name})).json()["items"]
        assert [item["id"] for item in q] == ([customer_id] if name in seen else []), name
        explained = {"condition": EVERYBODY, "customer_id": customer_id}
        for answer in (
            await client.get(f"{BASE}/customers/{customer_id}"),
            await client.get(f"{BASE}/customers/{customer_id}/events"),
            await client.post(f"{BASE}/conditions/explain", json=explained),
        ):
            assert answer.status_code == (200 if name in seen else 404), (name, answer.text)


async def test_each_permission_has_a_scope_of_its_own(acting: As, shop: Shop) -> None:
    client = await acting({"customers.read": "all", "conditions.count": "team", "events.read": "own"}, user=shop.ann)
    assert len((await client.get(f"{BASE}/customers")).json()["items"]) == 3
    counted = await client.post(f"{BASE}/conditions/count", json={"condition": EVERYBODY})
    assert counted.json() == {"count": 2}
    assert (await client.get(f"{BASE}/customers/{shop.customers['team']}/events")).status_code == 404
    assert (await client.get(f"{BASE}/customers/{shop.customers['own']}/events")).status_code == 200


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ("all", {"own", "team", "foreign", "hers", "queue", "theirs", "assigned"}),
        ("team", {"own", "team", "hers", "queue", "assigned"}),
        ("own", {"own", "hers", "assigned"}),
    ],
)
async def test_tasks_are_those_of_customers_in_scope_and_ones_own(
    client: httpx.AsyncClient, acting: As, shop: Shop, scope: Any, seen: set[str]
) -> None:
    about: dict[str, dict[str, Any]] = {
        **{name: {"customer_id": customer_id} for name, customer_id in shop.customers.items()},
        **{"hers": {"assignee": shop.ann}, "queue": {"team": shop.teams[0]}},
        **{"theirs": {"assignee": shop.other}},
        "assigned": {"assignee": shop.ann, "customer_id": shop.customers["foreign"]},
    }
    tasks = {}
    for title, more in about.items():
        tasks[title] = (await client.post(f"{BASE}/tasks", json={"title": title, **more})).json()["id"]
    ann = await acting(dict.fromkeys(("customers.read", "tasks.read", "tasks.write"), scope), user=shop.ann)
    listed = (await ann.get(f"{BASE}/tasks")).json()["items"]
    assert {task["title"] for task in listed} == seen
    for title, task_id in tasks.items():
        status = 200 if title in seen else 404
        assert (await ann.get(f"{BASE}/tasks/{task_id}")).status_code == status, title
        changed = await ann.patch(f"{BASE}/tasks/{task_id}", json={"priority": "high"})
        assert changed.status_code == status, title
    for name, customer_id in shop.customers.items():
        made = await ann.post(f"{BASE}/tasks", json={"title": "x", "customer_id": customer_id})
        assert made.status_code == (200 if name in SEEN[scope] else 400), name


async def test_a_user_without_team_and_a_token_without_user_have_nobody(acting: As, shop: Shop) -> None:
    for scope in ("team", "own"):
        client = await acting({"customers.read": scope})
        assert (await client.get(f"{BASE}/customers")).json()["items"] == []


async def test_a_user_who_moves_sees_others_at_once(client: httpx.AsyncClient, acting: As, shop: Shop) -> None:
    ann = await acting({"customers.read": "team"}, user=shop.ann)
    assert len((await ann.get(f"{BASE}/customers")).json()["items"]) == 2
    await client.patch(f"{BASE}/users/{shop.ann}", json={"team_id": shop.teams[1]})
    names = {item["name"] for item in (await ann.get(f"{BASE}/customers")).json()["items"]}
    assert names == {"own", "foreign"}
    await client.patch(f"{BASE}/teams/{shop.teams[0]}", json={"parent_id": shop.teams[1]})
    names = {item["name"] for item in (await ann.get(f"{BASE}/customers")).json()["items"]}
    assert names == {"own", "team", "foreign"}


async def test_the_actor_of_a_user(platform: Platform, shop: Shop) -> None:
    actor = await platform.directory.user(shop.ann)
    assert actor is not None
    assert (actor.kind, actor.origin, actor.user_id) == ("user", f"user:{shop.ann}", shop.ann)
    assert len(actor.teams) == 2
    await user_changes.disable(platform.db, OPERATOR, "ann")
    assert await Directory(platform.db).user(shop.ann) is None
    assert await Directory(platform.db).user(999) is None


def test_ids_in_the_predicate_are_numbers() -> None:
    held = frozenset({"customers.read"})
    actor = Actor(
        kind="user", id=1, name="x", role="x", permissions=held, scopes={"customers.read": "team"}, user_id=1,
        teams=frozenset({3, 2}),
    )  # fmt: skip
    assert visible_customers(actor, "c") == (
        "c.merged_into IS NULL AND c.erased_at IS NULL AND (c.owner = 1 OR c.team IN (2, 3))"
    )
    assert visible_customers(actor, "c", "customers.erase") == "FALSE"
