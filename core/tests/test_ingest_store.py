"""What one batch writes: events, duplicates, traits, platform events, and what the database refuses."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from zhike.customers import resolve
from zhike.events.ingest import Ingested, store
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
_numbers = itertools.count()


def event(traits: dict[str, Any] | None = None, /, **fields: Any) -> CheckedEvent:
    identities = fields.pop("identities", None) or [("external_id", fields.pop("who", "x"))]
    number = next(_numbers)
    given = {"index": number, "name": "page.view", "message_id": f"m{number}", "occurred_at": NOW} | fields
    return CheckedEvent(**given, identities=identities, traits=traits)


async def put(database: Database, *events: CheckedEvent, live: bool = True, **options: Any) -> Ingested:
    async with database.transaction() as connection:
        return await store(connection, events, origin="token:7", live=live, now=NOW, **options)


async def fetch(database: Database, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    async with database.connection() as connection:
        return await connection.fetch(sql, *arguments)


async def value(database: Database, sql: str, *arguments: Any) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(sql, *arguments)


async def test_an_event_is_stored_as_it_was_given(database: Database) -> None:
    at = NOW - timedelta(hours=1)
    given = event(
        name="order.paid", message_id="m", occurred_at=at, amount=1230, currency="CNY",
        properties='{"sku": "A", "n": 1.50}', source="shop",
    )  # fmt: skip
    assert await put(database, given) == Ingested(1, 0, [])
    [row] = await fetch(database, "SELECT * FROM event WHERE behaviour")
    assert dict(row) | {"id": 0, "batch_id": 0} == {
        "id": 0, "batch_id": 0, "message_id": "m", "name": "order.paid", "behaviour": True,
        "customer_id": row["customer_id"], "home_customer_id": row["customer_id"], "shard": row["customer_id"] % 64,
        "occurred_at": at, "recorded_at": NOW, "amount": 1230, "currency": "CNY",
        "properties": '{"n": 1.50, "sku": "A"}', "source": "shop", "origin": "token:7", "live": True,
        "import_id": None, "causation_id": None, "depth": 0,
    }  # fmt: skip
    types = await fetch(database, "SELECT name, behaviour, first_seen_at FROM event_type ORDER BY name")
    assert list(map(tuple, types)) == [("customer.created", False, NOW), ("order.paid", True, NOW)]


async def test_a_duplicate_has_no_effect_at_all(database: Database) -> None:
    assert await put(database, event(message_id="a"), event(message_id="a", who="y")) == Ingested(1, 1, [])
    before = await fetch(database, "SELECT * FROM customer")
    again = event({"name": "Ann"}, message_id="a", identities=[("external_id", "x"), ("phone", "1")])
    other = event({"name": "Bob"}, message_id="a", who="z")
    assert await put(database, again, other) == Ingested(0, 2, [])
    assert await fetch(database, "SELECT * FROM customer") == before
    assert await value(database, "SELECT count(*) FROM identity") == 1
    assert await value(database, "SELECT count(*) FROM log_batch") == 1
    assert await value(database, "SELECT sum(count) FROM customer_event_stat WHERE name = '*'") == 1


async def test_a_known_batch_is_looked_at_and_not_written(database: Database, query_counter: Any) -> None:
    events = [event() for _ in range(3)]
    await put(database, *events)
    query_counter.reset()
    await put(database, *events)
    # BEGIN, SAVEPOINT, the look-up, COMMIT
    assert query_counter.count == 4
    query_counter.reset()
    await put(database, *[event() for _ in range(3)])
    assert query_counter.count == 5


WORDS = {
    "newer": ([(0, "a"), (1, "b")], "b"),
    "older": ([(1, "a"), (0, "b")], "a"),
    "equally old": ([(0, "a"), (0, "b")], "b"),
    "cleared": ([(0, "a"), (1, None)], None),
    "older than the clearing": ([(1, None), (0, "a")], None),
    "after the clearing": ([(1, None), (2, "a")], "a"),
}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_the_newest_word_counts(database: Database, together: bool) -> None:
    for field, case in itertools.product(["name", "city"], WORDS):
        words, expected = WORDS[case]
        who = f"{field} {case}"
        events = [event({field: word}, who=who, occurred_at=NOW + timedelta(seconds=second)) for second, word in words]
        for batch in [events] if together else [[one] for one in events]:
            await put(database, *batch)
        [row] = await fetch(
            database,
            "SELECT name, attributes->>'city' AS city FROM customer JOIN identity ON customer_id = id WHERE value = $1",
            who,
        )
        assert row[field] == expected, who


async def test_traits_are_columns_or_attributes(database: Database) -> None:
    await put(database, event({"kind": "company", "name": "N", "stage": "lead", "city": "上海", "n": 0.1, "ok": True}))
    await put(database, event({"vip": [1, "a"], "big": 2**53}))
    [row] = await fetch(database, "SELECT kind, name, stage, attributes, provenance FROM customer")
    assert tuple(row)[:3] == ("company", "N", "lead")
    # 0.1 came through a second write of the whole object.
    assert msgspec.json.decode(row["attributes"]) == {
        "city": "上海",
        "n": 0.1,
        "ok": True,
        "vip": [1, "a"],
        "big": 2**53,
    }
    instant = int(NOW.timestamp() * 1000)
    assert msgspec.json.decode(row["provenance"])["city"] == ["", instant]


async def test_a_decimal_attribute_survives_other_traits(database: Database) -> None:
    await put(database, event())
    exact = '{"limit": 12345678901234567890.123456789}'
    await fetch(database, "UPDATE customer SET attributes = $1", exact)
    await put(database, event({"city": "x"}))
    assert "12345678901234567890.123456789" in await value(database, "SELECT attributes::text FROM customer")


async def test_phone_and_email_come_from_identities_when_no_trait_sets_them(database: Database) -> None:
    await put(database, event(identities=[("phone", "+861"), ("email", "a@b.cn")]))
    await put(database, event({"phone": "mine"}, identities=[("phone", "+862")]))
    await put(database, event({"phone": None}, identities=[("phone", "+863")]))
    await put(database, event(who="later"), event(identities=[("external_id", "later"), ("phone", "+864")]))
    rows = await fetch(database, "SELECT phone, email FROM customer ORDER BY id")
    assert list(map(tuple, rows)) == [("+861", "a@b.cn"), ("mine", None), (None, None), ("+864", None)]


async def test_platform_events_tell_what_ingest_did(database: Database) -> None:
    await put(database, event({"city": "a", "name": "N"}, who="x"), event({"city": "b"}, who="x"))
    await put(database, event({"city": "c", "age": 1}), event({"city": "d"}), event({"age": None, "name": "N"}))
    await put(database, event(identities=[("device_id", "d")]))
    await put(database, event(identities=[("external_id", "x"), ("device_id", "d")]))
    rows = await fetch(
        database,
        "SELECT name, properties::text, customer_id, home_customer_id, origin, live FROM event"
        " WHERE NOT behaviour ORDER BY id",
    )
    x, visitor = [row["id"] for row in await fetch(database, "SELECT id FROM customer ORDER BY id")]
    assert [(row[0], msgspec.json.decode(row[1]), *row[2:4]) for row in rows] == [
        ("customer.created", {"fields": {"kind": "person", "name": "N", "city": "b"}}, x, x),
        ("customer.updated", {"changes": {"city": {"old": "b", "new": "d"}}}, x, x),
        ("customer.created", {"fields": {"kind": "person"}}, x, visitor),
        ("customer.merged", {"loser_id": visitor, "reason": "anonymous"}, x, x),
        ("customer.history_changed", {"loser_id": visitor, "reason": "merge"}, x, x),
    ]
    assert {tuple(row)[4:] for row in rows} == {("token:7", True)}
    assert await value(database, "SELECT count(*) FROM customer_event_stat WHERE name LIKE 'customer.%'") == 0


async def test_a_customer_is_created_before_anything_happens_to_it(database: Database) -> None:
    await put(database, event(who="b", message_id="z"), event(who="a", message_id="y"), event(who="b", message_id="a"))
    rows = await fetch(database, "SELECT name, message_id FROM event ORDER BY batch_id, id")
    assert [row["name"] for row in rows[:2]] == ["customer.created"] * 2
    assert [row["message_id"] for row in rows[2:]] == ["z", "y", "a"]


async def test_a_loser_gives_what_the_winner_lacks(database: Database) -> None:
    device = [("device_id", "d")]
    await put(database, event({"city": "old", "name": "Loser", "tags": ["a"], "gone": 1}, identities=device))
    await put(database, event({"name": "Winner", "city": None}, who="x", occurred_at=NOW + timedelta(hours=1)))
    await put(database, event(identities=[("external_id", "x"), *device]))
    [winner, loser] = await fetch(
        database, "SELECT id, name, attributes, merged_into FROM customer ORDER BY merged_into NULLS FIRST"
    )
    # The winner's city was cleared later than the loser's was set.
    assert (winner["name"], msgspec.json.decode(winner["attributes"])) == ("Winner", {"tags": ["a"], "gone": 1})
    assert (loser["name"], loser["merged_into"]) == ("Loser", winner["id"])
    [merge] = await fetch(database, "SELECT winner_id, loser_id, reason, origin FROM customer_merge")
    assert tuple(merge) == (winner["id"], loser["id"], "anonymous", "token:7")


async def test_a_visitor_with_many_events_is_a_candidate(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MERGE_LIMIT", 3)
    for device, number in (("few", 3), ("many", 4)):
        await put(database, *[event(identities=[("device_id", device)]) for _ in range(number)])
        await put(database, event(identities=[("external_id", device), ("phone", device)]))
        await put(database, event(identities=[("external_id", device), ("device_id", device)]))
    assert await value(database, "SELECT count(*) FROM customer_merge") == 1
    [row] = await fetch(database, "SELECT reason, namespace, value FROM duplicate_candidate")
    assert tuple(row) == ("many_events", "device_id", "many")


async def test_only_recent_events_that_no_import_brings_are_live(database: Database) -> None:
    old = NOW - timedelta(hours=24, seconds=1)
    await put(database, event(message_id="now"), event(message_id="old", occurred_at=old))
    await put(database, event(message_id="import", who="new"), live=False, import_id=5)
    rows = await fetch(database, "SELECT message_id, live, import_id FROM event WHERE behaviour")
    assert set(map(tuple, rows)) == {("now", True, None), ("old", False, None), ("import", False, 5)}
    [created] = await fetch(
        database, "SELECT live, import_id FROM event WHERE name = 'customer.created' ORDER BY id DESC LIMIT 1"
    )
    assert tuple(created) == (False, 5)


BAD = {
    "property that is no JSON": {"properties": "{"},
    "property with NUL": {"properties": '{"a": "\\u0000"}'},
    "NUL in the source": {"source": "a\x00b"},
    "half a character": {"source": "\ud83d"},
    "amount beyond 64 bits": {"amount": 2**63, "currency": "CNY"},
    "identity too long for the index": {"identities": [("external_id", "".join(map(chr, range(33, 9000))))]},
    "kind that is none": {"identities": [("external_id", "kind")], "traits": {"kind": "robot"}},
}


async def test_what_the_database_refuses_is_rejected_alone(database: Database) -> None:
    for size, name in itertools.product([1, 2, 13], BAD):
        bad = dict(BAD[name])
        events = [event(who=f"c{place}") for place in range(size)]
        place = size // 2
        events[place] = event(bad.pop("traits", {"secret": "s"}), **bad)
        got = await put(database, *events)
        assert (got.accepted, got.duplicate) == (size - 1, 0), name
        assert [(one.index, one.code) for one in got.rejected] == [(events[place].index, "data")], name
        assert "\x00" not in str(got.rejected[0].message)
    await consistent(database)
    assert await value(database, "SELECT count(*) FROM customer WHERE attributes ? 'secret'") == 0
    assert await value(database, "SELECT count(*) FROM customer") == 12


async def test_several_bad_events_in_a_batch(database: Database) -> None:
    events = [event(message_id="same"), *[event(source="\x00") for _ in range(5)], event(message_id="same"), event()]
    got = await put(database, *events)
    assert (got.accepted, got.duplicate, len(got.rejected)) == (2, 1, 5)
    # The first of two equal message ids cannot be stored: the second one is no duplicate.
    events = [event(message_id="twice", source="\x00"), event(message_id="twice")]
    got = await put(database, *events)
    assert (got.accepted, got.duplicate, [one.index for one in got.rejected]) == (1, 0, [events[0].index])


async def test_a_sum_that_overflows_rejects_the_last_straw(database: Database) -> None:
    events = [event(amount=2**63 - 1, currency="CNY"), event(who="y"), event(amount=1, currency="CNY"), event()]
    got = await put(database, *events)
    assert (got.accepted, [one.index for one in got.rejected]) == (3, [events[2].index])
    got = await put(database, event(amount=2, currency="CNY"))
    assert [one.code for one in got.rejected] == ["data"]
    await consistent(database)


async def test_an_error_after_it_undoes_everything(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await store(connection, [event({"name": "N"})], origin="x", live=True, now=NOW)
            raise ZeroDivisionError
    for table in ("customer", "identity", "event", "customer_event_stat", "log_batch", "event_type"):
        assert await value(database, f"SELECT count(*) FROM {table}") == 0
    assert (await put(database, event())).accepted == 1


async def consistent(database: Database) -> None:
    """Stats equal a rebuild, and nothing hangs on a customer who was merged away."""
    assert not await fetch(
        database,
        """
        WITH rebuilt AS (
          SELECT customer_id, coalesce(name, '*') AS name, coalesce(currency, '') AS currency, count(*)::bigint,
                 coalesce(sum(amount), 0)::bigint, min(occurred_at), max(occurred_at)
          FROM event WHERE behaviour
          GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
        )
        (SELECT * FROM rebuilt EXCEPT SELECT * FROM customer_event_stat)
        UNION ALL (SELECT * FROM customer_event_stat EXCEPT SELECT * FROM rebuilt)
        """,
    )
    for table in ("event", "identity", "customer_event_stat"):
        sql = f"SELECT count(*) FROM {table} JOIN customer c ON c.id = customer_id WHERE c.merged_into IS NOT NULL"
        assert await value(database, sql) == 0


async def test_plans_made_on_small_tables_still_find_rows_by_index(database: Database) -> None:
    """A sequential scan that was right for ten rows would be kept for the next hundred thousand."""
    async with database.connection() as connection:
        await put(database, *(event(who=f"c{number}") for number in range(10)))
        await connection.execute("ANALYZE event, identity, customer, customer_event_stat")
    for start in range(0, 400, 20):
        await put(database, *(event({"n": number}, who=f"c{number}") for number in range(start, start + 20)))
    plans = [
        row["generic_plans"]
        for row in await fetch(database, "SELECT generic_plans FROM pg_prepared_statements WHERE generic_plans > 0")
    ]
    await database.close()

    reader = await asyncpg.connect(database.engine.config["dsn"])
    try:
        scans = await reader.fetch(
            "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY($1)",
            ["event", "identity", "customer", "customer_event_stat"],
        )
    finally:
        await reader.close()
    assert plans
    assert {row["relname"]: row["seq_tup_read"] for row in scans if row["seq_tup_read"] > 100} == {}
