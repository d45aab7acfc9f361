"""`GET /audit`, and the daily export of the head."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import httpx
import msgspec
import pytest

from zhike.access import audit, heads
from zhike.access.actor import Actor
from zhike.access.chain import Head
from zhike.access.sealer import Sealer
from zhike.jobs.worker import JobWorker

if TYPE_CHECKING:
    from conftest import As, MakeToken
    from zhike.platform import Platform
    from zhike.testing.plugin import FrozenNow, RunUntilIdle

URL = "/api/v1/audit"
ANNA, BEN = Actor.command("anna"), Actor.command("ben")


async def listed(client: httpx.AsyncClient, **query: str | int) -> list[dict[str, object]]:
    answer = await client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.fixture
async def filled(platform: Platform) -> None:
    async with platform.db.transaction() as connection:
        for n in range(1, 7):
            actor = ANNA if n % 2 else BEN
            await audit.record(connection, actor, f"thing.{'make' if n < 4 else 'drop'}", f"thing:{n % 3}", {"n": n})


async def test_the_newest_comes_first_whole_and_sealed_or_not(
    client: httpx.AsyncClient, platform: Platform, filled: None
) -> None:
    newest, _ = await listed(client, limit=2)
    assert newest.pop("at")
    assert newest.pop("id")
    expected = {"actor": "command:ben", "action": "thing.drop", "object": "thing:0", "details": {"n": 6}}
    assert newest | expected == newest
    assert newest["sequence"] is None
    await Sealer(platform.db, platform.vault).step()
    async with platform.db.transaction() as connection:
        await audit.clear(connection, ["thing:0"])
    assert [(row["sequence"], row["details"]) for row in await listed(client, object="thing:0")] == [
        (7, None),
        (4, None),
    ]


async def test_filters(client: httpx.AsyncClient, filled: None) -> None:
    async def numbers(**query: str) -> list[int]:
        return [row["details"]["n"] for row in await listed(client, **query) if "n" in row["details"]]

    assert await numbers(actor="command:anna") == [5, 3, 1]
    assert await numbers(action="thing.make") == [3, 2, 1]
    assert await numbers(object="thing:1", actor="command:ben") == [4]
    third = next(row["at"] for row in await listed(client) if row["details"].get("n") == 3)
    assert await numbers(**{"from": third}) == [6, 5, 4, 3]
    assert await numbers(to=third, action="thing.make") == [2, 1]
    assert await numbers(actor="command:ann' OR true --") == []
    for wrong in (
        {"from": "yesterday"},
        {"to": "1900-01-01T00:00:00Z"},
        {"from": "2026-01-01T00:00:00"},
        {"actor": ""},
    ):
        assert (await client.get(URL, params=wrong)).status_code == 400, wrong


async def test_pages_hold_each_row_once_while_others_write(
    client: httpx.AsyncClient, platform: Platform, filled: None
) -> None:
    seen, cursor = [], None
    while True:
        page = (
            await client.get(URL, params={"limit": 2, "action": "thing.make", **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [row["details"]["n"] for row in page["items"]]
        async with platform.db.transaction() as connection:
            await audit.record(connection, ANNA, "thing.make", "thing:9", {"n": 9})
        if (cursor := page["next"]) is None:
            break
        other = await client.get(URL, params={"cursor": cursor, "action": "thing.drop"})
        assert (other.status_code, other.json()["code"]) == (400, "cursor")
    assert seen == [3, 2, 1]


@pytest.mark.parametrize("role", ["viewer", "agent", "manager"])
async def test_only_administrators_read_it(anonymous: httpx.AsyncClient, make_token: MakeToken, role: str) -> None:
    answer = await anonymous.get(URL, headers={"authorization": f"Bearer {await make_token(role)}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Another system that is sent heads; it takes none at first."""

    taken: ClassVar[list[bytes]] = []
    status = 503

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if type(self).status == 200:
            type(self).taken.append(body)
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/heads"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_head_is_exported_daily_to_a_file_and_another_system(
    platform: Platform, filled: None, frozen_now: FrozenNow, run_until_idle: RunUntilIdle, receiver: str
) -> None:
    file = platform.settings.data / "elsewhere" / "heads"
    changed = {"audit_head_file": file, "audit_head_url": receiver}
    platform.settings = msgspec.structs.replace(platform.settings, **changed)
    await run_until_idle()
    assert not file.exists()
    await Sealer(platform.db, platform.vault).step()
    frozen_now.advance(days=1)
    with pytest.raises(AssertionError, match=r"audit\.export"):  # the other system is not there yet
        await run_until_idle()
    Receiver.status = 200
    frozen_now.advance(hours=1)
    await JobWorker(platform).step()
    await run_until_idle()
    (head,) = (msgspec.json.decode(body, type=Head) for body in Receiver.taken)
    assert (head.sequence, head.genuine(await platform.vault.keys())) == (6, True)
    assert set(heads.read(file)) == {head}


async def test_what_somebody_has_looked_for_is_for_those_who_see_all_of_customers(
    client: httpx.AsyncClient, platform: Platform, acting: As
) -> None:
    asked = {"kind": "customers", "q": "13800138000", "condition": {"type": "all", "of": []}}
    async with platform.db.transaction() as connection:
        await audit.record(connection, ANNA, "export.start", "export", asked)
    assert [row["details"] for row in await listed(client, action="export.start")] == [asked]
    permissions = {"admin.audit": "all", "customers.read": "all"}
    masked = await acting(permissions, {"phone": "mask"})
    assert [row["details"] for row in await listed(masked, action="export.start")] == [{"kind": "customers"}]
    assert await listed(masked, action="export.start", text="13800138000") == []
