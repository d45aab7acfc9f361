"""What staff see of consumers and do with them, by API and by command."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from zhike._host.cli.main import cli
from zhike.contracts import Consumer
from zhike.errors import Refused
from zhike.hooks import hookimpl

API = "/api/v1"


class Picky:
    """Takes nothing while it is in a bad mood."""

    bad = True

    @hookimpl
    def register_consumers(self):
        return [Consumer(events=("order.paid",), reset=self.reset)]

    async def reset(self, connection):
        await connection.execute("DELETE FROM effect")

    @hookimpl
    async def on_events_recorded(self, events, work):
        if self.bad:
            raise ValueError
        rows = [(event.id,) for event in events]
        await work.connection.executemany("INSERT INTO effect (event_id) VALUES ($1)", rows)


@pytest_asyncio.fixture
async def picky(stand):
    """Consumers of one plugin that has set three events aside."""
    plugin = Picky()
    consumers = await stand.registered(picky=plugin)
    await stand.add(3)
    await stand.until(consumers)
    return plugin, consumers


async def test_the_list_says_how_far_they_are(picky, stand, client: httpx.AsyncClient) -> None:
    [item] = (await client.get(f"{API}/consumers")).json()["items"]
    # No process of this test's web application has the plugin.
    assert (item["name"], item["state"], item["mode"], item["dead_letters"]) == ("picky", "off", "live", 3)
    assert (item["lag_batches"], item["lag_events"], item["lag_seconds"]) == (0, 0, 0)
    await stand.add(7)
    [item] = (await client.get(f"{API}/consumers")).json()["items"]
    assert (item["lag_batches"], item["lag_events"]) == (1, 7 + 7)  # each customer is new
    assert item["lag_seconds"] > 0
    assert [(each["shard_from"], each["shard_to"]) for each in item["ranges"]] == [(0, 63)]


async def test_pause_and_resume(picky, stand, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{API}/consumers/picky/pause")
    assert (answer.status_code, answer.json()) == (200, {"changed": True})
    assert (await client.post(f"{API}/consumers/picky/pause")).json() == {"changed": False}
    [item] = (await client.get(f"{API}/consumers", headers={"accept-language": "en"})).json()["items"]
    assert item["reason"] == "paused by staff"
    assert item["paused_at"]
    assert (await client.post(f"{API}/consumers/picky/resume")).json() == {"changed": True}
    actions = await stand.column("SELECT action || ' ' || object FROM audit WHERE action LIKE 'consumer%' ORDER BY id")
    assert actions == ["consumer.pause consumer:picky", "consumer.resume consumer:picky"]


async def test_starting_over_is_done_by_a_runner(picky, stand, client: httpx.AsyncClient) -> None:
    plugin, consumers = picky
    plugin.bad = False
    assert (await client.post(f"{API}/consumers/picky/rebuild")).json() == {"changed": True}
    [item] = (await client.get(f"{API}/consumers")).json()["items"]
    assert item["starting_over"] is True
    await stand.until(consumers)
    assert await stand.fetchval("SELECT count(*) FROM effect") == 3
    body = {"since": "2020-01-01T00:00:00+08:00"}
    assert (await client.post(f"{API}/consumers/picky/backfill", json=body)).json() == {"changed": True}
    await stand.until(consumers)
    assert await stand.fetchval("SELECT count(*) FROM effect") == 3


async def test_letters_are_listed_in_pages_and_replayed_by_a_runner(picky, stand, client: httpx.AsyncClient) -> None:
    plugin, consumers = picky
    first = (await client.get(f"{API}/deadletters?limit=2&consumer=picky")).json()
    second = (await client.get(f"{API}/deadletters?limit=2&consumer=picky&cursor={first['next']}")).json()
    letters = first["items"] + second["items"]
    assert [letter["event_name"] for letter in letters] == ["order.paid"] * 3
    assert len({letter["id"] for letter in letters}) == 3
    assert second["next"] is None
    assert (await client.get(f"{API}/deadletters?consumer=nobody")).json()["items"] == []
    plugin.bad = False
    answer = await client.post(f"{API}/deadletters/replay", json={"ids": [letters[0]["id"], letters[1]["id"]]})
    assert answer.json() == {"count": 2}
    queued = (await client.get(f"{API}/deadletters")).json()["items"]
    assert [letter["queued"] for letter in queued] == [True, True, False]
    await stand.until(consumers)
    assert await stand.fetchval("SELECT count(*) FROM effect") == 2
    answer = await client.post(f"{API}/deadletters/discard", json={"consumer": "picky"})
    assert answer.json() == {"count": 1}
    assert (await client.get(f"{API}/deadletters")).json()["items"] == []
    actions = await stand.column("SELECT action FROM audit WHERE action LIKE 'deadletters%' ORDER BY id")
    assert actions == ["deadletters.replay", "deadletters.discard"]


async def test_bad_requests_are_refused(picky, client: httpx.AsyncClient) -> None:
    for path, body, status in (
        ("/consumers/nobody/pause", None, 404),
        ("/consumers/nobody/rebuild", None, 404),
        ("/consumers/nobody/shards", {"ranges": 2}, 404),
        ("/consumers/picky/shards", {"ranges": 0}, 400),
        ("/consumers/picky/shards", {"ranges": 65}, 400),
        ("/consumers/picky/backfill", {"since": "2020-01-01"}, 400),
        ("/consumers/picky/backfill", {"since": "2020-01-01T00:00:00"}, 400),
        ("/deadletters/replay", {}, 400),
        ("/deadletters/replay", {"ids": [1], "consumer": "picky"}, 400),
        ("/deadletters/replay", {"ids": [0]}, 400),
        ("/deadletters/discard", {"consumer": "a\u0000b"}, 400),
        ("/deadletters/discard", {"consumer": "nobody"}, 404),
        ("/deadletters/replay", {"consumer": "nobody"}, 404),
    ):
        answer = await (client.post(API + path) if body is None else client.post(API + path, json=body))
        assert answer.status_code == status, path


async def test_an_instant_that_no_database_can_hold_is_refused(picky, stand, client: httpx.AsyncClient) -> None:
    for since in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00Z"):
        answer = await client.post(f"{API}/consumers/picky/backfill", json={"since": since})
        assert (answer.status_code, answer.json()["code"]) == (400, "since"), answer.text
        assert (await client.post(f"{API}/consumers/nobody/backfill", json={"since": since})).status_code == 404
    assert await stand.column("SELECT restart FROM consumer") == [None]


async def test_an_agent_sees_nothing_of_it(picky, anonymous: httpx.AsyncClient, make_token) -> None:
    for role, reads, writes in (("agent", 403, 403), ("manager", 200, 403), ("admin", 200, 200)):
        anonymous.headers["authorization"] = f"Bearer {await make_token(role)}"
        assert (await anonymous.get(f"{API}/consumers")).status_code == reads
        assert (await anonymous.get(f"{API}/deadletters")).status_code == reads
        assert (await anonymous.post(f"{API}/consumers/picky/resume")).status_code == writes
        assert (await anonymous.post(f"{API}/deadletters/replay", json={"ids": []})).status_code == writes


async def test_the_same_by_command(picky, stand, database_url: str) -> None:
    plugin, consumers = picky
    environment = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_LOCALE": "en"}

    async def run(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=environment)
        assert result.exit_code == 0, result.output
        return result.output

    assert "picky\trunning\tlive\t0 / 0 s\t3" in await run("consumers", "list")
    assert "done" in await run("consumers", "pause", "picky")
    assert "so already" in await run("consumers", "pause", "picky")
    assert "paused by staff" in await run("consumers", "list")
    listed = (await run("deadletters", "list", "--consumer", "picky")).splitlines()
    assert len(listed) == 6
    assert "ValueError at" in listed[1]
    plugin.bad = False
    letter = listed[0].split("\t")[0]
    assert "1" in await run("deadletters", "replay", letter)
    await stand.until(consumers)
    assert await stand.fetchval("SELECT count(*) FROM effect") == 1
    assert "2" in await run("deadletters", "discard", "--consumer", "picky", "--yes")
    await run("consumers", "resume", "picky")
    await run("consumers", "shards", "picky", "4")
    await run("consumers", "rebuild", "picky")
    await stand.until(consumers)
    assert await stand.fetchval("SELECT count(*) FROM consumer_cursor") == 4
    assert await stand.fetchval("SELECT count(*) FROM effect") == 3
    assert set(await stand.column("SELECT actor FROM audit")) == {"command:consumers", "command:deadletters"}


async def test_all_letters_of_a_plugin_are_not_deleted_unasked(
    picky, stand, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_LOCALE": "en"}
    arguments = ("deadletters", "discard", "--consumer", "picky")

    async def run(answer: str = "") -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, arguments, input=answer, env=environment)

    refused = await run()
    assert isinstance(refused.exception, Refused)
    assert "--yes" in str(refused.exception)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    declined = await run("n\n")
    assert (declined.exit_code, "all dead letters of picky" in declined.output) == (1, True)
    assert await stand.fetchval("SELECT count(*) FROM dead_letter") == 3
    assert "dead letters: 3" in (await run("y\n")).output
    assert await stand.fetchval("SELECT count(*) FROM dead_letter") == 0


async def test_letters_of_nobody_are_an_error(picky, database_url: str) -> None:
    environment = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_LOCALE": "en"}
    arguments = ("deadletters", "replay", "--consumer", "nix")
    result = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=environment)
    assert str(result.exception) == "There is no consumer nix"


async def test_a_dead_letter_keeps_the_cores_own_words(stand) -> None:
    class Rude(Picky):
        @hookimpl
        async def on_events_recorded(self, events, work):
            work.emit("order.paid", events[0].customer_id, key="13812345678")

    consumers = await stand.registered(rude=Rude())
    await stand.add(1)
    await stand.until(consumers)
    assert await stand.column("SELECT error FROM dead_letter") == [
        "ZhikeError: order.paid is no event type that rude has registered"
    ]
