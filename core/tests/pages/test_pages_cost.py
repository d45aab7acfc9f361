"""What pages cost: few statements however many plugins there are, and no pass over all events or all customers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from zhike.access import own_roles
from zhike.access.actor import Actor
from zhike.testing.databases import QueryCounter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import asyncpg

    from zhike.orm import Connection, Database
    from zhike.platform import Platform
    from zhike.testing.visiting import Visits

MOST = 15
PLUGINS = 12
CUSTOMERS, EVENTS = 20_000, 60_000
_PLUGIN = """
from zhike.contracts import BulkAction, Column, NavItem, Panel
from zhike.hooks import hookimpl

NAME = "{name}"


async def load(call, **known):
    return {{}}


async def run(work, actor, ids, options):
    return 0


@hookimpl
def register_panels():
    places = zip("abcd", ("customer.main", "customer.side", "home.main", "home.side"))
    common = dict(label=NAME, load=load, template="own.html", permission="customers.read")
    return [Panel(key=f"{{NAME}}.{{letter}}", place=place, **common) for letter, place in places]


@hookimpl
def register_columns():
    return [Column(key=f"{{NAME}}.ids", label=NAME, relation=f"{{NAME}}_ids", permission="customers.read")]


@hookimpl
def register_bulk_actions():
    return [BulkAction(key=f"{{NAME}}.go", label=NAME, icon="bolt", permission="customers.write", run=run)]


@hookimpl
def register_nav_items():
    return [NavItem(key=f"{{NAME}}.nav", label=NAME, icon="bolt", path="/")]
"""
_SEED = (
    """
    INSERT INTO customer (name, phone, stage, owner, attributes, created_at, updated_at)
    SELECT CASE WHEN n % 50 > 0 THEN 'Customer ' || n END, '+86138' || lpad(n::text, 8, '0'),
           (ARRAY['lead', 'won'])[n % 2 + 1], (n + 36) % 40 + 1, jsonb_build_object('city', 'city' || n % 50),
           now() - n * interval '1 minute', now() - n * interval '1 minute'
    FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO identity (namespace, value, customer_id, home_customer_id)
    SELECT 'phone', phone, id, id FROM customer WHERE $1::int > 0
    """,
    """
    INSERT INTO event (
      batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at, recorded_at,
      properties, source, origin, live
    )
    SELECT n / 100 + 1, 'seed-' || n, (ARRAY['page.view', 'app.login', 'order.paid'])[n % 3 + 1], true, c, c, c % 64,
           at, at, '{}', 'web', 'system', true
    FROM (SELECT n, 1 + n % (SELECT max(id) FROM customer) AS c, now() - n * interval '1 minute' AS at
          FROM generate_series(1, $1::int) n) AS seed
    """,
    """
    INSERT INTO task (title, customer_id, assignee, due_at, origin)
    SELECT 'Call ' || id, id, id % 40 + 1, now() + id * interval '1 minute', 'system' FROM customer WHERE id <= $1 / 10
    """,
    """
    INSERT INTO duplicate_candidate (low_id, high_id, reason, rules)
    SELECT id - 1, id, 'rule', '{name}' FROM customer WHERE id BETWEEN 2 AND $1 / 100
    """,
    """
    INSERT INTO event_type (name, behaviour)
    SELECT DISTINCT name, behaviour FROM event WHERE $1::int > 0 ON CONFLICT DO NOTHING
    """,
)
_CITY = quote(json.dumps({"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "city1"}))
QUERIES = {
    "/customers": [
        "", "?sort=name", "?sort=-name", "?sort=created_at", "?stage=lead", "?kind=person",
        "?owner=7", "?q=8000", f"?condition={_CITY}",
        "?" + "&".join(f"columns=costly{number}.ids" for number in range(PLUGINS)),
    ],
    "/events": ["", "?name=order.paid", "?kind=behaviour", "?source=web", "?identity=phone:%2B8613800000005"],
    "/events/event": ["?id=seed-5"],
    "/customers/{customer_id}/timeline": ["", "?q=own", "?name=order.paid"],
    "/customers/{customer_id}/reveal": ["?field=phone"],
    "/search": ["", "?q=8000"],
    "/search/suggest": ["", "?q=8000"],
    "/search/pick": ["?kind=customer&q=80"],
    "/customers/lookup": ["", "?phone=13800000005"],
    "/views/new": ["?page=customers"],
}  # fmt: skip
"""The filters of pages, and what those cannot be without that answer for one thing only."""
PLACES = {"customer_id": "5", "task_id": "3"}
SCOPED = ("customers.read", "events.read", "tasks.read")
LEFT_OUT = frozenset({"/customers/{customer_id}/export"})  # a file with all there is about a customer, and no page


class Statements(QueryCounter):
    """Also keeps what each statement was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[str, Sequence[Any]]] = []

    def watch(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        super().watch(connection)
        connection.add_query_logger(lambda record: self.given.append((record.query, record.args)))

    def reset(self) -> None:
        super().reset()
        self.given.clear()


@pytest.fixture
def query_counter() -> Statements:
    return Statements()


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve plugins that stand on every page where plugins can."""
    folder = tmp_path_factory.mktemp("hooks")
    for number in range(PLUGINS):
        (folder / f"costly{number}.py").write_text(_PLUGIN.format(name=f"costly{number}"))
    (folder / "templates").mkdir()
    (folder / "templates" / "own.html").write_text("<p>own</p>")
    return folder


def addresses(platform: Platform) -> Iterator[str]:
    """Yield the address of every page and part of one that is about customers or tasks or about many things."""
    for _, route in platform.registry.pages:
        if (
            route.method == "GET"
            and route.path not in LEFT_OUT
            and set(PLACES) >= set(re.findall(r"{(\w+)}", route.path))
        ):
            yield from (route.path.format(**PLACES) + query for query in QUERIES.get(route.path, [""]))
    for panel in platform.registry.panels.values():
        yield f"/{'start' if panel.place.startswith('home') else 'customers/5'}/panels/{panel.key}"
    yield "/events/types/order.paid"


async def scanned(connection: Connection, given: Sequence[tuple[str, Sequence[Any]]]) -> list[str]:
    """Return those statements that PostgreSQL would answer by reading all events or all customers."""
    found = []
    for sql, values in given:
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            await connection.execute("RESET ALL")
        elif sql.lstrip().startswith("SET LOCAL"):
            await connection.execute(sql.replace("SET LOCAL", "SET"))
        elif re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", sql):
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values))
            if re.search(r"Seq Scan on (event|customer)\b(?!_)", plan):
                found.append(sql)
    return found


@pytest.mark.heavy
async def test_pages_ask_few_questions_and_none_of_all_events_or_customers(
    visit: Visits, platform: Platform, database: Database, query_counter: Statements
) -> None:
    assert not platform.problems
    async with database.connection() as connection:
        for statement in _SEED:
            await connection.execute(statement, EVENTS if "event (" in statement else CUSTOMERS)
        for number in range(PLUGINS):
            await connection.execute(f"CREATE VIEW costly{number}_ids AS SELECT customer_id, value FROM identity")
        await connection.execute("ANALYZE")
    own = own_roles.NewRole(name="own", label="own", permissions=dict.fromkeys(SCOPED, "own"), rules={})
    await own_roles.create(database, Actor.command("test"), own, platform.directory)
    many, whole, seen = {}, {}, set()
    for visitor, path in [(each, path) for each in (await visit(), await visit("own")) for path in addresses(platform)]:
        query_counter.reset()
        answer = await visitor.get(path)
        assert answer.status_code < 500, path
        given = list(query_counter.given)
        if len(given) > MOST:
            many[path] = len(given)
        async with database.connection() as connection:
            if found := await scanned(connection, given):
                whole[path] = found
        if answer.status_code == 200:
            seen.add((visitor.user_id, path))
    assert len(seen) > 200  # 96 of them are the plugins' panels
    assert not many
    assert not whole
