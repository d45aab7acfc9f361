"""Processes that die in the middle of it, by SIGKILL or by a plugin: effects happen exactly once all the same."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zhike.consumers import service

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
SCRIPT = Path(__file__).with_name("process_runner.py")


@contextmanager
def runners(url: str, *, workers: int, kills: int, **plugins: dict[str, object]) -> Iterator[dict[str, int]]:
    """Run processes until the block ends; the result then says how many were killed and how many ended."""
    command = [sys.executable, str(SCRIPT), url, str(workers), str(kills), "7", json.dumps(plugins)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result: dict[str, int] = {}
    try:
        yield result
    finally:
        out, _ = process.communicate(b"", timeout=30)
        result |= json.loads(out or b"{}")


async def _finished(stand, names: list[str], count: int, seconds: float) -> None:
    """Wait until each of the consumers has this many effects and letters together."""
    query = """
        SELECT name, (SELECT count(*) FROM effect WHERE consumer = name)
          + (SELECT count(*) FROM dead_letter WHERE consumer = name)
        FROM unnest($1::text[]) AS n (name)
    """
    deadline = time.monotonic() + seconds
    while True:
        async with stand.db.connection() as connection:
            counts = {row[0]: row[1] for row in await connection.fetch(query, names)}
        if all(each >= count for each in counts.values()):
            return
        assert time.monotonic() < deadline, (counts, await service.consumers(stand.db))
        await asyncio.sleep(0.1)


@pytest.mark.faults
async def test_each_effect_happens_once_though_processes_are_killed_all_the_time(stand) -> None:
    count, kills = int(60_000 * SCALE), int(150 * SCALE)
    names = ["one", "two", "three"]
    sent = await stand.add(count, batch=300)
    plugins = {name: {"batch": 25} for name in names}
    with runners(stand.url, workers=3, kills=kills, **plugins) as result:
        await _finished(stand, names, count, 120)
    for name in names:
        got = await stand.column("SELECT message_id FROM effect WHERE consumer = $1 ORDER BY event_id", name)
        assert got == sent
    assert await stand.column("SELECT consumer FROM dead_letter") == []
    assert result["killed"] >= min(3, kills)
    assert result["ended"] == 0


@pytest.mark.faults
async def test_poison_of_every_kind_harms_its_own_consumer_only(stand) -> None:
    """An exception, a call that hangs, the end of the process and an endless loop, each at one event of many."""
    count = int(6_000 * SCALE)
    sent = await stand.add(count, batch=200)
    poison = {how: sent[count * (place + 1) // 6] for place, how in enumerate(("raise", "hang", "exit", "loop"))}
    plugins: dict[str, dict[str, object]] = {
        how: {"batch": 64, "how": how, "poison": message} for how, message in poison.items()
    }
    names = [*plugins, "fine"]
    with runners(stand.url, workers=2, kills=10_000, fine={"batch": 64}, **plugins) as result:
        await _finished(stand, names, count, 150)
    for name in names:
        got = await stand.column("SELECT message_id FROM effect WHERE consumer = $1 ORDER BY event_id", name)
        assert got == [message for message in sent if message != poison.get(name)]
    letters = {letter.consumer: letter for letter in (await service.dead_letters(stand.db)).items}
    assert {name: letter.message_id for name, letter in letters.items()} == poison
    assert letters["exit"].error == letters["loop"].error == "the process ended while this event was handled"
    assert letters["raise"].error.startswith("ValueError at process_runner.py")
    # Where the process was killed three times meanwhile, nobody could tell that it hung.
    assert letters["hang"].error.startswith("HookTimeout") or letters["hang"].error == letters["loop"].error
    assert result["ended"] >= 3


async def test_innocent_consumers_are_not_blamed_for_a_death(stand, recorder) -> None:
    """Whatever was being tried when processes died is tried again in smaller parts, and then all of it is done."""
    probe = recorder("probe", events=("order.paid",), batch=64)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(64)
    first = await stand.fetchval("SELECT id FROM event WHERE message_id = $1", sent[0])
    await stand.execute("INSERT INTO consumer_attempt VALUES ('probe', 0, $1, 64, 2, 'a process that died')", first)
    await stand.until(consumers)
    assert [size for size, _ in probe.calls] == [32, 16, 8, 4, 2, 1, 1]
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent


async def test_an_event_that_ended_three_processes_is_set_aside(stand, recorder) -> None:
    probe = recorder("probe", events=("order.paid",))
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(3)
    first = await stand.fetchval("SELECT id FROM event WHERE message_id = $1", sent[0])
    await stand.execute("INSERT INTO consumer_attempt VALUES ('probe', 0, $1, 1, 2, 'a process that died')", first)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent[1:]
    [letter] = (await service.dead_letters(stand.db)).items
    assert letter.message_id == sent[0]
    assert letter.error == "the process ended while this event was handled"
