"""Sealing beside writers: every committed row gets its place, once, without gaps, whoever is killed on the way."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest

from zhike._host.opening import open_platform
from zhike._host.runner.main import run
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.sealer import Sealer
from zhike.orm import Database
from zhike.vault import Vault

if TYPE_CHECKING:
    from conftest import Command
    from zhike.platform import Platform
    from zhike.settings import Settings

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
WRITERS = 8
ACTOR = Actor.command("test")
SEALER = """
import asyncio, pathlib, sys
from zhike.access.sealer import Sealer
from zhike.orm import Database
from zhike.settings import Settings
from zhike.vault import Vault

async def main():
    db = await Database.open(sys.argv[1])
    print("ready", flush=True)
    await Sealer(db, Vault(db, Settings(data=pathlib.Path(sys.argv[2])))).run()

asyncio.run(main())
"""


async def write(db: Database, count: int) -> None:
    async with db.transaction() as connection:
        await audit.record_many(connection, ACTOR, "thing.change", [(f"thing:{n}", {"n": n}) for n in range(count)])


async def whole(db: Database, command: Command, rows: int) -> None:
    """Check that all rows have their places, and the chain is whole."""
    async with db.connection() as connection:
        places = await connection.fetch("SELECT sequence FROM audit ORDER BY sequence")
    assert [row[0] for row in places] == list(range(1, rows + 1))
    status, told = await command("audit", "verify")
    assert (status, told.startswith(f"{rows} rows sealed, 0 ")) == (0, True), told


async def test_writers_that_commit_late_and_two_sealers(
    platform: Platform, settings: Settings, command: Command
) -> None:
    dice, each, writing = random.Random(5), int(250 * SCALE), True
    other = await Database.open(settings.database_url or "", max_size=2)

    async def writer() -> None:
        for _ in range(each):
            async with platform.db.transaction() as connection:
                await audit.record(connection, ACTOR, "thing.change", "thing:1", {})
                await asyncio.sleep(dice.choice((0, 0.001, 0.02)))
                await audit.record(connection, ACTOR, "thing.change", "thing:2", {})

    async def seal(db: Database) -> None:
        sealer = Sealer(db, Vault(db, settings))
        while writing or await sealer.step():
            await sealer.step()
            await asyncio.sleep(dice.random() / 100)

    sealers = [asyncio.create_task(seal(db)) for db in (platform.db, other)]
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    writing = False
    await asyncio.gather(*sealers)
    await Sealer(other, Vault(other, settings)).step()
    await other.close()
    await whole(platform.db, command, WRITERS * each * 2)


async def test_a_sealer_is_killed_between_its_rows_and_the_head(
    platform: Platform, settings: Settings, command: Command, database_url: str
) -> None:
    sealer = Sealer(platform.db, platform.vault)
    await write(platform.db, 5)
    await sealer.step()
    for round_ in range(3):
        holder = await asyncpg.connect(database_url)
        await holder.execute("BEGIN; SELECT FROM audit_head FOR UPDATE")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SEALER, database_url, str(settings.data), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        await write(platform.db, 7)
        await until(partial(waits, holder))  # it has given the rows their places and waits for the head
        assert not await sealer.step(), "a second one worked at the same time"
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        await holder.execute("ROLLBACK")
        await holder.close()
        await until(sealer.step)  # the server has noticed
        await whole(platform.db, command, 5 + 7 * (round_ + 1))


async def waits(holder: asyncpg.Connection[asyncpg.Record]) -> bool:
    waiting: bool = await holder.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    return waiting


async def until(there: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await there():  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.02)


async def test_a_runner_seals_what_is_written_beside_it(
    platform: Platform, settings: Settings, command: Command, database_url: str
) -> None:
    stop, working = asyncio.Event(), asyncio.Event()
    async with open_platform(settings, database_url, kind="runner", outdated=stop.set) as opened:
        runner = asyncio.create_task(run(opened, stop, working.set))
        await working.wait()
        for rows in (2, 4):
            await write(platform.db, 2)
            await until(lambda rows=rows: platform.db.pool.fetchval("SELECT max(sequence) = $1 FROM audit", rows))
        stop.set()
        await runner
    await whole(platform.db, command, 4)


async def test_a_row_whose_change_is_undone_is_never_there(platform: Platform, command: Command) -> None:
    await write(platform.db, 2)
    with pytest.raises(ZeroDivisionError):
        async with platform.db.transaction() as connection:
            await audit.record(connection, ACTOR, "thing.change", "thing:1", {})
            raise ZeroDivisionError
    await write(platform.db, 2)
    await Sealer(platform.db, platform.vault).step()
    await whole(platform.db, command, 4)


async def test_many_rows_are_sealed_in_a_moment(
    platform: Platform, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = int(100_000 * SCALE)
    await write(platform.db, rows)
    sealer = Sealer(platform.db, platform.vault)
    began = time.monotonic()
    while await sealer.step():
        pass
    sealed = time.monotonic() - began
    await whole(platform.db, command, rows)
    with capsys.disabled():
        print(f"\n{rows} rows of audit sealed in {sealed:.2f} s, verified in {time.monotonic() - began - sealed:.2f} s")
