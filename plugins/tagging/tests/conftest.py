"""What tests of tagging share: the plugin runs, and a client that speaks of groups, tags and customers."""

from __future__ import annotations

import pytest

API = "/api/v1"


class Tagging:
    """The public doors of tagging, for tests."""

    def __init__(self, client, record, run_until_idle):
        self.client = client
        self.record = record
        self.idle = run_until_idle

    async def ask(self, method, path, status=200, **json):
        answer = await self.client.request(method, f"{API}{path}", **({"json": json} if json else {}))
        assert answer.status_code == status, answer.text
        return answer.json()

    async def group(self, key, **more):
        return await self.ask("POST", "/tagging/groups", key=key, name=key, **more)

    async def tag(self, group, name, status=200, **more):
        return await self.ask("POST", "/tagging/tags", status, group=group, name=name, **more)

    async def change(self, tag, status=200, **more):
        return await self.ask("PATCH", f"/tagging/tags/{tag['id']}", status, version=tag["version"], **more)

    async def assign(self, customers, add=(), remove=(), status=200):
        given = {"customers": list(customers), "add": [t["name"] for t in add], "remove": [t["name"] for t in remove]}
        return await self.ask("POST", "/tagging/assign", status, **given)

    async def customer(self, external_id, **event):
        event = {"name": "page.viewed", "identities": {"external_id": external_id}, **event}
        [stored] = await self.record(event)
        return stored.customer_id

    async def tags(self, customer, history=False):
        path = f"/tagging/customers/{customer}/tags?limit=1000&history={str(history).lower()}"
        return (await self.ask("GET", path))["items"]

    async def names(self, customer):
        return {each["tag"] for each in await self.tags(customer)}

    async def told(self, customer):
        items = (await self.ask("GET", f"/customers/{customer}/events?limit=1000"))["items"]
        return [(e["name"], e["properties"]["tag"]) for e in reversed(items) if e["name"].startswith("tag.")]

    async def holders(self, name, **more):
        condition = {"type": "field", "field": "tags", "op": "contains", "value": name, **more}
        found = await self.ask("POST", "/customers/search", condition=condition, limit=1000)
        return {each["id"] for each in found["items"]}


@pytest.fixture
def plugins(request):
    marker = request.node.get_closest_marker("plugins")
    return marker.args if marker else ("tagging",)


@pytest.fixture
def tagging(frozen_now, client, record, run_until_idle):
    return Tagging(client, record, run_until_idle)
