"""Merging customers and undoing it over HTTP: what becomes of fields, identities, events, figures and plugins' rows."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest

from zhike.contracts import CustomerRows, CustomersMerge
from zhike.customers import settling
from zhike.hooks import Rejected, hookimpl
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform
from zhike.plugins.rows import declare

STATS = """
WITH rebuilt AS (
  SELECT customer_id, coalesce(name, '*') AS name, coalesce(currency, '') AS currency, count(*),
    coalesce(sum(amount), 0)::bigint, min(occurred_at), max(occurred_at)
  FROM event WHERE behaviour GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
)
(SELECT * FROM rebuilt EXCEPT SELECT * FROM customer_event_stat)
UNION ALL (SELECT * FROM customer_event_stat EXCEPT SELECT * FROM rebuilt)
"""


class People:
    """What a test does with customers over HTTP.

    Args:
        client: With a token that may do all.
        database: Where they are.
    """

    def __init__(self, client: httpx.AsyncClient, database: Database) -> None:
        self.client = client
        self.database = database

    async def post(self, path: str, status: int = 200, /, **body: Any) -> Any:
        answer = await self.client.post(f"/api/v1/customers/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def event(self, traits: dict[str, Any] | None = None, *, name: str = "page.view", **identities: str) -> int:
        """Store an event and return whose it is."""
        event = {"name": name, "identities": identities, "traits": traits or {}}
        answer = await self.client.post("/api/v1/events", json={"events": [event]})
        assert answer.json()["accepted"] == 1, answer.text
        [item] = (await self.get("customers", q=next(iter(identities.values()))))["items"]
        return int(item["id"])

    async def visits(self, customer: int) -> int:
        """Count a customer's behaviours by turning over its timeline."""
        found, cursor = 0, None
        while True:
            page = await self.get(f"customers/{customer}/events", limit=7, **({"cursor": cursor} if cursor else {}))
            found += sum(item["kind"] == "behaviour" for item in page["items"])
            if (cursor := page["next"]) is None:
                return found

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    async def counted(self, customer: int) -> int:
        """Return how many behaviours the figures know of."""
        found = await self.fetch(
            "SELECT coalesce(sum(count), 0)::int FROM customer_event_stat WHERE customer_id = $1 AND name = '*'",
            customer,
        )
        return int(found[0][0])


@pytest.fixture
def people(client: httpx.AsyncClient, database: Database) -> People:
    return People(client, database)


async def test_a_merge_and_its_undoing(people: People) -> None:
    first = await people.event({"name": "Ann", "city": "x"}, external_id="1")
    second = await people.event({"name": "Anna", "company": "Acme"}, external_id="2")
    file = await people.get(f"customers/{second}")
    merged = await people.post("merge", winner=first, losers=[second])
    assert merged["loser_ids"] == [second]
    assert merged["settling"] is False
    assert merged["customer"] == await people.get(f"customers/{second}")
    assert merged["customer"] | {"updated_at": ""} == {
        **(await people.get(f"customers/{first}")), "name": "Ann", "company": "Acme", "attributes": {"city": "x"},
        "identities": {"external_id": ["1", "2"]}, "updated_at": "",
    }  # fmt: skip
    assert [item["id"] for item in (await people.get("customers", q="2"))["items"]] == [first]
    await people.event(external_id="2")
    assert await people.visits(first) == await people.visits(second) == await people.counted(first) == 3
    timeline = await people.get(f"customers/{first}/events")
    facts = {item["name"]: item["properties"] for item in timeline["items"] if item["kind"] == "platform"}
    assert facts["customer.merged"] == {"loser_id": second, "reason": "chosen", "merge_id": merged["merge_id"]}
    assert facts["customer.history_changed"] == {"loser_id": second, "reason": "merge"}
    assert facts["customer.updated"] == {"changes": {"company": {"old": None, "new": "Acme"}}}

    undone = await people.post("unmerge", merge_id=merged["merge_id"])
    assert (undone["loser_ids"], undone["settling"]) == ([second], False)
    assert undone["customer"]["company"] is None
    assert undone["customer"]["identities"] == {"external_id": ["1"]}
    again = await people.get(f"customers/{second}")
    assert again | {"updated_at": ""} == file | {"updated_at": ""}
    assert (await people.visits(first), await people.visits(second)) == (1, 2)
    assert (await people.counted(first), await people.counted(second)) == (1, 2)
    assert await people.fetch(STATS) == []
    for customer in (first, second):
        [latest, changed] = [
            item for item in (await people.get(f"customers/{customer}/events"))["items"]
            if item["name"] == "customer.unmerged" or item["properties"].get("reason") == "unmerge"
        ]  # fmt: skip
        assert {latest["name"], changed["name"]} == {"customer.unmerged", "customer.history_changed"}
    assert (await people.post("unmerge", 409, merge_id=merged["merge_id"]))["code"] == "unmerged"
    [item] = (await people.get(f"customers/{first}/merges"))["items"]
    assert item["unmerged_at"] is not None
    assert (item["winner_id"], item["loser_ids"], item["settled"]) == (first, [second], True)
    actions = await people.fetch("SELECT action FROM audit WHERE object = $1 ORDER BY id", f"customer:{first}")
    assert actions == [("customer.merge",), ("customer.unmerge",)]


async def test_fields_are_chosen_and_given_back_unless_said_anew(people: People) -> None:
    first = await people.event({"name": "Ann", "city": "x"}, external_id="1")
    second = await people.event({"name": "Anna", "city": "y", "age": 7}, external_id="2")
    body: dict[str, Any] = {"winner": first, "losers": [second], "fields": {"name": second, "attributes.city": second}}
    preview = await people.post("merge/preview", **body)
    assert {each["field"]: (each["taken_from"], each["why"]) for each in preview["fields"]} == {
        "name": (second, "chosen"), "attributes.city": (second, "chosen"), "attributes.age": (second, "gap"),
    }  # fmt: skip
    merged = await people.post("merge", **body)
    assert (merged["customer"]["name"], merged["customer"]["attributes"]) == ("Anna", {"city": "y", "age": 7})
    await people.event({"city": "z"}, external_id="1")
    undone = await people.post("unmerge", merge_id=merged["merge_id"])
    assert (undone["customer"]["name"], undone["customer"]["attributes"]) == ("Ann", {"city": "z"})


async def test_merges_into_one_are_undone_in_any_order(people: People) -> None:
    first, second, third = [await people.event({"name": name}, external_id=name) for name in ("a", "b", "c")]
    one = await people.post("merge", winner=first, losers=[second], fields={"name": second})
    two = await people.post("merge", winner=first, losers=[third], fields={"name": third})
    assert (await people.post("unmerge", merge_id=one["merge_id"]))["customer"]["name"] == "c"
    # What the second one found was the first one's, which is gone by now.
    assert (await people.post("unmerge", merge_id=two["merge_id"]))["customer"]["name"] == "a"


async def test_several_at_once_and_a_merge_over_a_merge(people: People) -> None:
    ids = [await people.event({f"f{n}": n}, external_id=f"e{n}") for n in range(4)]
    inner = await people.post("merge", winner=ids[1], losers=[ids[2], ids[3]])
    # A customer merged away stands for the one it was merged into.
    outer = await people.post("merge", winner=ids[0], losers=[ids[3]])
    assert outer["loser_ids"] == [ids[1]]
    assert outer["customer"]["attributes"] == {"f0": 0, "f1": 1, "f2": 2, "f3": 3}
    assert await people.visits(ids[2]) == 4
    refused = await people.post("unmerge", 409, merge_id=inner["merge_id"])
    assert refused["code"] == "merged_later"
    assert str(outer["merge_id"]) in refused["detail"]
    await people.post("unmerge", merge_id=outer["merge_id"])
    assert [await people.visits(each) for each in ids] == [1, 3, 3, 3]
    assert await people.fetch(STATS) == []
    undone = await people.post("unmerge", merge_id=inner["merge_id"])
    assert undone["customer"]["attributes"] == {"f1": 1}
    assert [await people.visits(each) for each in ids] == [1, 1, 1, 1]
    assert [await people.counted(each) for each in ids] == [1, 1, 1, 1]


async def test_what_is_refused(people: People, make_token: Any) -> None:
    first, second = await people.event(external_id="1"), await people.event(external_id="2")
    company = await people.event({"kind": "company"}, external_id="3")
    await people.post("merge", 400, winner=first, losers=[first])
    await people.post("merge", 400, winner=first, losers=[])
    await people.post("merge", 400, winner=first, losers=list(range(2, 23)))
    await people.post("merge", 404, winner=first, losers=[second, 999])
    await people.post("merge", 404, winner=999, losers=[second])
    await people.post("merge", 400, winner=first, losers=[second], fields={"name": company})
    await people.post("merge", 400, winner=first, losers=[second], fields={"name": second})
    await people.post("unmerge", 404, merge_id=1)
    kinds = {kind for (kind,) in await people.fetch("SELECT kind FROM customer")}
    if kinds == {"person"}:  # events cannot say what somebody is
        await people.fetch("UPDATE customer SET kind = 'company' WHERE id = $1", company)
    assert (await people.post("merge", 409, winner=first, losers=[company]))["code"] == "mixed"
    await people.post("merge", winner=first, losers=[second])
    assert (await people.post("merge", 409, winner=second, losers=[first]))["code"] == "merged"
    await people.post("merge", winner=first, losers=[company], mixed=True)
    people.client.headers["authorization"] = f"Bearer {await make_token('agent')}"
    await people.post("merge", 403, winner=first, losers=[second])
    await people.post("merge/preview", 403, winner=first, losers=[second])
    await people.post("unmerge", 403, merge_id=1)


async def test_a_preview_shows_and_writes_nothing(people: People, make_token: Any) -> None:
    visitor = await people.event({"city": "x"}, device_id="d")
    known = await people.event({"name": "Ann"}, phone="13800138000")
    await people.event(phone="13800138000")
    async with people.database.transaction() as connection:
        await connection.execute(
            "CREATE TABLE stamps_stamp AS SELECT id AS customer_id FROM customer;"
            "CREATE TABLE stamps_total AS SELECT id AS customer_id FROM customer"
        )
        rows = [CustomerRows(table="stamps_stamp"), CustomerRows(table="stamps_total", on_merge="hook")]
        await declare(connection, "stamps", rows)
    before = await people.fetch("SELECT c::text FROM customer AS c UNION ALL SELECT e::text FROM event AS e")
    preview = await people.post("merge/preview", winner=visitor, losers=[known])
    assert (preview["winner"], preview["suggested_winner"]) == (visitor, known)
    assert [(side["customer"]["id"], side["events"]) for side in preview["sides"]] == [(visitor, 1), (known, 2)]
    assert preview["sides"][1]["customer"]["identities"] == {"phone": ["+8613800138000"]}
    assert preview["sides"][0]["provenance"].keys() == {"attributes.city"}
    assert {each["field"]: (each["taken_from"], each["why"]) for each in preview["fields"]} == {
        "name": (known, "gap"), "phone": (known, "gap"), "attributes.city": (visitor, "winner"),
    }  # fmt: skip
    counts = {each["table"]: each["rows"] for each in preview["rows"]}
    assert counts["stamps_total"] == counts["stamps_stamp"] == {str(visitor): 1, str(known): 1}
    assert ["stamps_total" in obstacle for obstacle in preview["obstacles"]] == [True]
    assert await people.fetch("SELECT c::text FROM customer AS c UNION ALL SELECT e::text FROM event AS e") == before
    refused = await people.post("merge", 409, winner=visitor, losers=[known])
    assert "stamps" in refused["detail"]
    assert await people.fetch("SELECT c::text FROM customer AS c UNION ALL SELECT e::text FROM event AS e") == before


async def test_rows_of_plugins_go_and_come_back(people: People) -> None:
    first, second = await people.event(external_id="1"), await people.event(external_id="2")
    async with people.database.transaction() as connection:
        await connection.execute(
            "CREATE TABLE stamps_tag (customer_id bigint, tag text, n int, two int GENERATED ALWAYS AS (n * 2) STORED,"
            " PRIMARY KEY (customer_id, tag));"
            "CREATE TABLE stamps_note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who bigint, gone bigint);"
            "CREATE TABLE stamps_loose (customer_id bigint, word text)"
        )
        await connection.execute(
            "INSERT INTO stamps_tag VALUES ($1, 'vip', 1), ($2, 'vip', 2), ($2, 'new', 3)", first, second
        )
        await connection.execute("INSERT INTO stamps_note (who, gone) VALUES ($1, $1), ($2, $2)", first, second)
        await connection.execute("INSERT INTO stamps_loose VALUES ($1, 'a'), ($2, 'a'), ($2, 'b')", first, second)
        await declare(
            connection,
            "stamps",
            [
                CustomerRows(table="stamps_tag"),
                CustomerRows(table="stamps_note", column="who", on_merge="null"),
                CustomerRows(table="stamps_note", column="gone"),
                CustomerRows(table="stamps_loose", on_merge="delete"),
            ],
        )
    everything = (
        "SELECT t::text FROM stamps_tag AS t UNION ALL SELECT n::text FROM stamps_note AS n"
        " UNION ALL SELECT l::text FROM stamps_loose AS l ORDER BY 1"
    )
    before = await people.fetch(everything)
    merged = await people.post("merge", winner=first, losers=[second])
    assert await people.fetch("SELECT customer_id, tag, n FROM stamps_tag ORDER BY tag") == [
        (first, "new", 3), (first, "vip", 1),
    ]  # fmt: skip
    assert await people.fetch("SELECT who, gone FROM stamps_note ORDER BY id") == [(first, first), (None, first)]
    assert await people.fetch("SELECT customer_id, word FROM stamps_loose") == [(first, "a")]
    async with people.database.transaction() as connection:
        await connection.execute("INSERT INTO stamps_tag VALUES ($1, 'later', 4)", first)
    await people.post("unmerge", merge_id=merged["merge_id"])
    assert await people.fetch(everything) == sorted([*before, (f"({first},later,4,8)",)])
    assert await people.fetch("SELECT FROM customer_merge_row") == []


async def test_tasks_and_owners_follow(people: People) -> None:
    first, second = await people.event(external_id="1"), await people.event(external_id="2")
    async with people.database.transaction() as connection:
        await connection.execute("UPDATE customer SET owner = 7, team = 2 WHERE id = $1", second)
        await connection.execute("UPDATE customer SET team = 1 WHERE id = $1", first)
    task = (await people.client.post("/api/v1/tasks", json={"title": "Call", "customer_id": second})).json()
    merged = await people.post("merge", winner=first, losers=[second])
    assert (merged["customer"]["owner"], merged["customer"]["team"]) == (7, 1)
    assert (await people.get(f"tasks/{task['id']}"))["customer_id"] == first
    await people.post("unmerge", merge_id=merged["merge_id"])
    assert await people.fetch("SELECT owner, team FROM customer ORDER BY id") == [(None, 1), (7, 2)]
    told = "SELECT properties #>> '{changes,owner}' FROM event WHERE name = 'customer.updated' ORDER BY id"
    assert await people.fetch(told) == [('{"new": 7, "old": null}',), ('{"new": null, "old": 7}',)]
    assert (await people.get(f"tasks/{task['id']}"))["customer_id"] == second


async def test_an_automatic_merge_is_undone_for_good(people: People) -> None:
    visitor = await people.event({"city": "x"}, device_id="d")
    known = await people.event({"name": "Ann"}, phone="13800138000")
    assert await people.event(device_id="d", phone="13800138000") == known
    await people.event(device_id="d")
    [merge] = (await people.get(f"customers/{visitor}/merges"))["items"]
    assert (merge["reason"], merge["loser_ids"], await people.visits(known)) == ("anonymous", [visitor], 4)
    undone = await people.post("unmerge", merge_id=merge["merge_id"])
    assert undone["customer"]["attributes"] == {}
    # The event that had both went to the phone's customer, whose it stays.
    assert (await people.visits(visitor), await people.visits(known)) == (2, 2)
    await people.client.post("/api/v1/events", json={"events": [
        {"name": "page.view", "identities": {"device_id": "d", "phone": "13800138000"}}
    ]})  # fmt: skip
    assert (await people.visits(visitor), await people.visits(known)) == (2, 3)
    assert (await people.get("customers/duplicates"))["items"] == []
    # Somebody may still say that they are one.
    await people.post("merge", winner=known, losers=[visitor])
    assert await people.visits(visitor) == 5


async def test_candidates_are_listed_and_decided(people: People) -> None:
    ids = [await people.event(external_id=f"e{n}", phone=f"1380013800{n}") for n in range(4)]
    for n in range(3):
        await people.client.post("/api/v1/events", json={"events": [
            {"name": "page.view", "identities": {"external_id": f"e{n}", "phone": f"1380013800{n + 1}"}}
        ]})  # fmt: skip
    page = await people.get("customers/duplicates", limit=2)
    assert [item["customer_ids"] for item in page["items"]] == [ids[2:4], ids[1:3]]
    rest = await people.get("customers/duplicates", cursor=page["next"])
    assert [(item["customer_ids"], item["reason"], item["namespace"]) for item in rest["items"]] == [
        (ids[0:2], "strong_identity", "phone")
    ]
    candidate = page["items"][0]["id"]
    await people.post(f"duplicates/{candidate}/decide", decision="distinct")
    await people.post("duplicates/999999/decide", 404, decision="distinct")
    # Whoever is merged away is no candidate: the one they were merged into is.
    await people.post("merge", winner=ids[0], losers=[ids[1]])
    assert [item["customer_ids"] for item in (await people.get("customers/duplicates"))["items"]] == [[ids[0], ids[2]]]


class Guard:
    """A plugin that allows no merge into one customer."""

    forbidden = 0
    seen: tuple[str, CustomersMerge] | None = None

    @hookimpl
    async def before_customers_merge(self, actor: Any, merge: CustomersMerge) -> None:
        """Refuse, if it is that one."""
        self.seen = (actor.origin, merge)
        if merge.winner_id == self.forbidden:
            raise Rejected("not this one")


async def test_a_large_merge_reads_right_while_rows_move(
    people: People, platform: Platform, run_until_idle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "CHUNK", 10)
    first, second = await people.event({"name": "Ann"}, external_id="1"), await people.event(external_id="2")
    for customer, number in (("1", 12), ("2", 32)):
        events = [{"name": "page.view", "identities": {"external_id": customer}} for _ in range(number)]
        await people.client.post("/api/v1/events", json={"events": events})
    merged = await people.post("merge", winner=first, losers=[second])
    assert merged["settling"] is True
    assert await people.fetch("SELECT count(*) FROM event WHERE customer_id = $1 AND behaviour", second) == [(33,)]
    assert await people.visits(first) == await people.visits(second) == await people.counted(first) == 46
    await people.event(external_id="2")
    assert await people.visits(first) == await people.counted(first) == 47
    changed = "SELECT customer_id, properties->>'reason' FROM event WHERE name = 'customer.history_changed' ORDER BY id"
    assert await people.fetch(changed) == []
    # It is undone before all has moved.
    await JobWorker(platform).step()
    assert await people.fetch("SELECT count(*) FROM event WHERE customer_id = $1 AND behaviour", second) == [(23,)]
    assert await people.visits(first) == 47
    undone = await people.post("unmerge", merge_id=merged["merge_id"])
    assert (undone["settling"], await people.visits(first), await people.visits(second)) == (True, 13, 34)
    assert (await people.counted(first), await people.counted(second)) == (13, 34)
    await run_until_idle()
    assert await people.fetch("SELECT FROM customer_settling") == []
    assert await people.fetch("SELECT FROM customer WHERE settling") == []
    assert await people.fetch("SELECT FROM event WHERE customer_id <> home_customer_id") == []
    assert sorted(await people.fetch(changed)) == [(first, "unmerge"), (second, "unmerge")]
    again = await people.post("merge", winner=first, losers=[second])
    await run_until_idle()
    assert (await people.fetch(changed))[2:] == [(first, "merge")]
    assert await people.fetch("SELECT DISTINCT customer_id FROM event") == [(first,)]
    undone = await people.post("unmerge", merge_id=again["merge_id"])
    assert (undone["settling"], await people.visits(first), await people.visits(second)) == (True, 13, 34)
    await run_until_idle()
    assert (await people.visits(first), await people.visits(second)) == (13, 34)
    assert await people.fetch(STATS) == []


async def test_a_plugin_may_stop_a_merge(database: Database, make_platform: Any) -> None:
    from zhike.access.actor import Actor
    from zhike.customers.merging import MergeRequest, merge
    from zhike.work import begin

    guard = Guard()
    platform: Platform = make_platform(database, guard=guard)
    async with database.transaction() as connection:
        ids = [row[0] for row in await connection.fetch("INSERT INTO customer (name) VALUES ('a'), ('b') RETURNING id")]
    actor, request = Actor.command("test"), MergeRequest(winner=ids[0], losers=[ids[1]], fields={"name": ids[1]})
    guard.forbidden = ids[0]
    with pytest.raises(Rejected, match="not this one"):
        async with begin(platform, origin=actor.origin) as work:
            await merge(work, actor, request)
    assert guard.seen == (
        "command:test", CustomersMerge(winner_id=ids[0], loser_ids=(ids[1],), fields={"name": ids[1]}),
    )  # fmt: skip
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer WHERE merged_into IS NOT NULL") == 0
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                "INSERT INTO duplicate_candidate (low_id, high_id, reason, state) VALUES (1, 2, '', '')"
            )
