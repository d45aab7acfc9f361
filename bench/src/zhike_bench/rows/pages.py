"""Rows W1 to W3: pages of the web UI as staff ask for them, against the shortest question there is."""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from urllib.parse import urlencode

from zhike.access import new_users
from zhike.access.actor import Actor
from zhike.orm import Database
from zhike_bench.bars import Row
from zhike_bench.pairs import together
from zhike_bench.rows.queue import quantile
from zhike_bench.stage import Stage
from zhike_limits import sql

ASKED = 60
"""Requests of one leg."""
_LOGIN = "bench"
_PASSWORD = "correct horse battery"  # of a user of the run's own installation
_CITY = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "city1"}
_LISTS = {
    "plain": {},
    "by name": {"sort": "name"},
    "at a stage": {"stage": "lead"},
    "by a condition": {"condition": json.dumps(_CITY)},
}
_OTHERS = ("/", "/tasks", "/tasks/board", "/events", "/events?name=order.paid", "/duplicates")
_PART = "*"
"""Stands before the address of what htmx asks for as a part of a page."""

# What the pages show besides customers and events; a customer in ten has a stage, and one in ten a task of the user's.
# Triggers would write the history of the stages, which no page of these rows reads.
_SEED = (
    "SET session_replication_role = replica",
    "UPDATE customer SET stage = 'lead', updated_at = now() - id * interval '1 second' WHERE id % 10 = 0",
    """
    INSERT INTO task (title, customer_id, assignee, status, due_at, origin)
    SELECT 'Call back ' || c.id, c.id, u.id, (ARRAY['open', 'in_progress'])[c.id % 2 + 1],
           now() + (c.id % 400 - 30) * interval '1 hour', 'user:' || u.id
    FROM customer AS c, app_user AS u WHERE c.id % 10 = 5 AND u.login = 'bench'
    """,
    """
    INSERT INTO duplicate_candidate (low_id, high_id, reason, rules, score)
    SELECT id - 1, id, 'rule', '{name}', id % 100 FROM customer WHERE id % 100 = 0
    """,
    "RESET session_replication_role",
    "VACUUM (ANALYZE) customer, task, duplicate_candidate",
)
# Who have ten times as many events as the others; N2 has merged some.
_FIRST = "SELECT id FROM customer WHERE id <= $1 AND merged_into IS NULL ORDER BY id"


async def w1(stage: Stage) -> list[tuple[str, Row]]:
    """The 95th percentile of the list of customers."""
    paths = {name: [f"/customers?{urlencode(query)}"] for name, query in _LISTS.items()}
    async with _browser(stage) as browser:
        return await _measured("W1", stage, browser, paths)


async def w2(stage: Stage) -> list[tuple[str, Row]]:
    """The same of customers' pages, and of each part that they ask for."""
    rng = random.Random(6)
    async with _browser(stage) as browser:
        async with (await stage.db()).connection() as connection:
            first = [row[0] for row in await connection.fetch(_FIRST, stage.customers // 100)]
        wanted = [rng.choice(first) for _ in range(ASKED)]
        page = gzip.decompress(browser.get(f"/customers/{wanted[0]}")).decode()
        parts = dict.fromkeys(re.findall(rf'hx-get="/customers/{wanted[0]}/((?:panels|timeline)[^"?]*)"', page))
        paths = {"the page": [f"/customers/{one}" for one in wanted]}
        paths |= {part: [f"{_PART}/customers/{one}/{part}" for one in wanted] for part in parts}
        return await _measured("W2", stage, browser, paths)


async def w3(stage: Stage) -> list[tuple[str, Row]]:
    """The same of the pages that staff look at most besides."""
    async with _browser(stage) as browser:
        return await _measured("W3", stage, browser, {path: [path] for path in _OTHERS})


class Browser:
    """A connection that somebody has logged in on.

    Args:
        port: The server's port on the loopback.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)
        self._headers = {"accept": "text/html", "accept-encoding": "gzip", "accept-language": "zh-CN"}

    def log_in(self) -> None:
        """Log in, and send the session along from now on."""
        form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        self._connection.request(
            "POST", "/login", urlencode({"login": _LOGIN, "password": _PASSWORD}), self._headers | form
        )
        with self._connection.getresponse() as answer:
            answer.read()
            cookie = answer.headers.get("set-cookie", "")
        self._headers["cookie"] = cookie.partition(";")[0]

    def get(self, path: str) -> bytes:
        """Ask for a page or, with a star before its path, for a part of one, and return its bytes.

        Raises:
            RuntimeError: If the answer was not a 200.
        """
        part = {"hx-request-type": "partial"} if path.startswith(_PART) else {}
        self._connection.request("GET", path.removeprefix(_PART), headers=self._headers | part)
        with self._connection.getresponse() as answer:
            body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered with {answer.status}")
        return body

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@asynccontextmanager
async def _browser(stage: Stage) -> AsyncIterator[Browser]:
    """Serve pages with something on them to somebody who has logged in."""
    await stage.history()
    async with stage.owner() as owner:
        if not await owner.fetchval("SELECT EXISTS (SELECT FROM app_user WHERE login = $1)", _LOGIN):
            db, operator = await stage.db(), Actor.command("bench")
            await new_users.create(db, operator, login=_LOGIN, name=_LOGIN, role="admin", password=_PASSWORD)
            await _seed(owner)
    async with stage.serve() as server:
        with closing(Browser(server.port)) as browser:
            browser.log_in()
            yield browser


async def _seed(owner: sql.Connection) -> None:
    for statement in _SEED:
        await owner.execute(statement)


async def _measured(
    identifier: str, stage: Stage, browser: Browser, paths: Mapping[str, Sequence[str]]
) -> list[tuple[str, Row]]:
    db, measured = await stage.db(), []
    for variant, some in paths.items():
        asked = [some[number % len(some)] for number in range(stage.leg(ASKED))]

        async def both(asked: Sequence[str] = asked) -> tuple[float, float]:
            pages, ones = zip(*[await _by_turns(db, browser, path) for path in asked], strict=True)
            return quantile(pages, 0.95), quantile(ones, 0.95)

        measured.append((variant, await together(identifier, stage.scale, stage.pairs, both)))
    return measured


async def _by_turns(db: Database, browser: Browser, path: str) -> tuple[float, float]:
    """Ask for a page and for 1, and return how long each took in ms; nothing else waits for this process meanwhile."""
    begun = time.perf_counter()
    browser.get(path)
    between = time.perf_counter()
    async with db.connection() as connection:
        await connection.fetchval("SELECT 1")
    return (between - begun) * 1000, (time.perf_counter() - between) * 1000
