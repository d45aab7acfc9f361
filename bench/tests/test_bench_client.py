"""The client process against a real server of bare ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from zhike_bench.client import Client, Run
from zhike_bench.servers import BARE, Server, serving
from zhike_limits.events import Load

LOAD = Load(seed=1, batches=40, size=25, population=100, now=1_760_000_000)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(*BARE) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    running = Client()
    yield running
    await running.close()


async def test_every_batch_is_sent_once_over_all_connections(client: Client, server: Server) -> None:
    for connections in (1, 16, 64):
        result = await client.run(Run(port=server.port, connections=connections, load=LOAD))
        assert (result.requests, result.accepted) == (40, 1000)
        assert result.seconds > 0


async def test_pages_are_fetched_as_often_as_they_are_listed(client: Client, server: Server) -> None:
    result = await client.run(Run(port=server.port, connections=4, paths=["/"] * 30))
    assert (result.requests, result.size) == (30, 30 * len('{"accepted":0}'))


async def test_a_server_that_fails_stops_the_run_and_not_the_client(client: Client, server: Server) -> None:
    broken = Load(seed=1, batches=1, size=0, population=100, now=0)
    with pytest.raises(RuntimeError, match=r"refused|Connect"):
        await client.run(Run(port=1, connections=1, load=LOAD))
    result = await client.run(Run(port=server.port, connections=1, load=broken))
    assert result.accepted == 0


async def test_the_process_that_listens_is_found(server: Server) -> None:
    assert server.web().pid == server.pid
