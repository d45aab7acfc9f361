"""A customer of whom much is known, what erases them, and a look into every table for what is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.orm import Database
from zhike.platform import Platform

API = "/api/v1"
PHONE, MAIL, NAME, CITY = "+8613912345678", "geng.chuwei@example.com", "耿初未", "黎明岛"
PERSON = {"phone": PHONE, "email": MAIL, "external_id": "crm-geng-77"}
DEVICE = {"device_id": "dev-geng-1"}
SECRETS = ("13912345678", "geng.chuwei", NAME, CITY, "crm-geng-77", "dev-geng-1", "geng note", "geng-1", "阶段七")

_COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'
  AND c.data_type IN ('text', 'jsonb', 'json', 'ARRAY', 'character varying', 'bytea')
"""
PLUGIN = """
from zhike.contracts import Consumer, CustomerRows
from zhike.hooks import hookimpl

SEEN = []
ERASED = []
BEFORE = []  # what is done before a batch is taken


@hookimpl
def register_consumers():
    return [Consumer(events=("*",), start="beginning", batch=2)]


@hookimpl
async def on_events_recorded(events, work):
    SEEN.extend(event.message_id for event in events)
    for step in BEFORE:
        await step(events, work)


@hookimpl
async def erase_customer_data(customer_ids, work):
    ERASED.append(list(customer_ids))


@hookimpl
async def export_customer_data(customer_id, work):
    return {"nickname": "Geng of 13912345678"}
"""


@pytest.fixture(scope="session")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin `watcher`, which notes what it is given; one folder, so that it is tried once."""
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "watcher.py").write_text(PLUGIN, encoding="utf-8")
    return folder


@pytest.fixture
def watcher(platform: Platform) -> Any:
    """The module of the plugin."""
    return platform.plugins["watcher"].module


Traces = Callable[..., Awaitable[set[tuple[str, str, str]]]]


@pytest.fixture
def traces(database: Database) -> Traces:
    """Tells where texts stand, in whatever column of whatever table."""

    async def find(*secrets: str) -> set[tuple[str, str, str]]:
        found = set()
        async with database.connection() as connection:
            for table, column in await connection.fetch(_COLUMNS):
                for (value,) in await connection.fetch(f'SELECT "{column}"::text FROM "{table}"'):
                    found |= {(table, column, secret) for secret in secrets or SECRETS if secret in (value or "")}
        return found

    return find


class Api:
    """What tests do by HTTP.

    Args:
        client: With an admin's token.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __call__(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Send a request and return the answer."""
        answer = await self.client.request(method, API + path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, *events: dict[str, Any]) -> Any:
        """Send events."""
        named = [{"name": "order.paid", "identities": PERSON, **event} for event in events]
        return await self("POST", "/events", json={"events": named})

    async def find(self, q: str = PHONE) -> list[int]:
        """Return the customers that a search finds."""
        return [each["id"] for each in (await self("GET", "/customers", params={"q": q}))["items"]]

    async def erase(self, customer_id: int, **body: str) -> int:
        """Erase a customer; return the id of the request."""
        more = {"json": body} if body else {}
        number: int = (await self("DELETE", f"/customers/{customer_id}", 202, **more))["request_id"]
        return number

    async def state(self, number: int) -> str:
        """Return how far an erasure is."""
        state: str = (await self("GET", f"/customers/erasures/{number}"))["state"]
        return state


@pytest.fixture
def api(client: httpx.AsyncClient) -> Api:
    """The API."""
    return Api(client)


@pytest.fixture
async def geng(api: Api, platform: Platform) -> int:
    """A customer of whom much is known: from events, a visit before, a task, a relation, a merge and audit rows."""
    await api.post(
        {"name": "page.viewed", "message_id": "geng-0", "identities": DEVICE, "properties": {"note": "geng note"}},
        {
            "message_id": "geng-1",
            "traits": {"name": NAME, "city": CITY, "stage": "阶段七"},
            "amount": "12.50",
            "properties": {"receiver": NAME},
        },
        {"message_id": "geng-2", "identities": {**PERSON, **DEVICE}},
        {"message_id": "other-1", "identities": {"phone": "13800138000"}},
    )
    [customer_id] = await api.find()
    task = {"title": f"Call {NAME}", "customer_id": customer_id, "due_in": "P1D"}
    task_id = (await api("POST", "/tasks", json=task))["id"]
    async with platform.db.transaction() as connection:
        for subject in (f"customer:{customer_id}", f"task:{task_id}"):
            await audit.record(connection, Actor.system(), "test.note", subject, {"name": NAME})
    return customer_id


@pytest.fixture
def known() -> SimpleNamespace:
    """What is known of the customer."""
    return SimpleNamespace(phone=PHONE, mail=MAIL, name=NAME, city=CITY, person=PERSON, device=DEVICE)
