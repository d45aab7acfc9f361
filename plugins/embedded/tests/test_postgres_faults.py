"""Kills at every place: nothing acknowledged is lost, nothing is left behind, and the server comes back."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from zhike.errors import Refused
from zhike_embedded import attach

pytestmark = pytest.mark.faults

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))


def test_a_killed_client_lets_go(folder, client, wait):
    process = client(folder.path)
    process.stdout.readline()
    process.kill()
    wait(lambda: not folder.processes())


async def test_a_killed_keeper_takes_the_server_along_and_both_come_back(folder, wait, fetch):
    with attach(folder.path) as url:
        await fetch(url, "CREATE TABLE t AS SELECT 1 AS n")
        for _ in range(3):
            keeper, postmaster = folder.keepers()[0], folder.postmaster()
            killed = time.monotonic()
            keeper.kill()
            wait(lambda postmaster=postmaster: not alive(postmaster))
            while True:
                try:
                    assert await fetch(url, "SELECT n FROM t") == 1
                    break
                except (OSError, asyncpg.PostgresError):
                    assert time.monotonic() - killed < 60
                    await asyncio.sleep(0.05)
            print(f"back {time.monotonic() - killed:.2f} s after the keeper was killed")
            assert folder.postmaster() != postmaster
            assert len(folder.keepers()) == 1
            assert "received fast shutdown request" in folder.log()


def test_a_keeper_killed_without_clients_leaves_nothing(folder, wait, monkeypatch):
    monkeypatch.setenv("ZHIKE_KEEPER_IDLE", "60")
    with attach(folder.path):
        pass
    folder.keepers()[0].kill()
    wait(lambda: not folder.processes())


async def test_a_killed_warden_is_replaced(folder, wait, monkeypatch):
    monkeypatch.setenv("ZHIKE_KEEPER_IDLE", "60")
    with attach(folder.path):
        warden = folder.wardens()[0]
        warden.kill()
        wait(lambda: folder.wardens() and folder.wardens() != [warden])
    folder.keepers()[0].kill()
    wait(lambda: not folder.processes())


async def test_a_live_postmaster_is_adopted_when_keeper_and_warden_are_killed(folder, wait, fetch):
    with attach(folder.path) as url:
        postmaster, keeper, warden = folder.postmaster(), folder.keepers()[0], folder.wardens()[0]
        warden.suspend()  # so that it cannot act between the two
        keeper.kill()
        warden.kill()
        wait(lambda: folder.keepers() and folder.keepers() != [keeper])
        assert folder.postmaster() == postmaster
        assert await fetch(url, "SELECT 1") == 1
        postmaster.kill()  # not its parent, yet the keeper sees this too
        wait(lambda: another_is_ready(folder, postmaster))
        assert await fetch(url, "SELECT 1") == 1


async def test_a_dead_postmaster_that_nobody_reaps_does_not_block(folder, wait, fetch, reaps_nobody):
    """As in a container whose first process is not an init."""
    with attach(folder.path) as url:
        await fetch(url, "CREATE TABLE t AS SELECT 1 AS n")
        postmaster, keeper, warden = folder.postmaster(), folder.keepers()[0], folder.wardens()[0]
        warden.suspend()
        keeper.kill()
        warden.kill()
        wait(lambda: folder.keepers() and folder.keepers() != [keeper])
        postmaster.kill()
        wait(lambda: another_is_ready(folder, postmaster))
        assert postmaster.status() == psutil.STATUS_ZOMBIE
        assert await fetch(url, "SELECT n FROM t") == 1


async def test_an_adopted_server_is_stopped_after_the_last_client(folder, wait):
    with attach(folder.path):
        folder.wardens()[0].suspend()
        keepers = folder.keepers()
        for process in keepers + folder.wardens():
            process.kill()
        wait(lambda: set(folder.keepers()) - set(keepers))  # one that was killed may be there for a moment
    wait(lambda: not folder.processes())
    assert folder.log().rstrip().endswith("database system is shut down")


async def test_ten_kills_of_the_postmaster_lose_nothing_acknowledged(folder):
    """Four writers, each row its own commit; after each kill they go on as soon as they can."""
    acknowledged: list[int] = []
    ending = asyncio.Event()
    slowest = 0.0

    async def write(number: int) -> None:
        key = number
        while not ending.is_set():
            try:
                connection = await asyncpg.connect(url, timeout=10)
                try:
                    while not ending.is_set():
                        key += 4
                        await connection.execute("INSERT INTO t VALUES ($1)", key)
                        acknowledged.append(key)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await asyncio.sleep(0.02)

    with attach(folder.path) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE t (n bigint PRIMARY KEY)")
        await connection.close()
        writers = [asyncio.create_task(write(number)) for number in range(4)]
        for _ in range(10):
            await until_more(acknowledged, int(1000 * SCALE))
            postmaster, killed = folder.postmaster(), time.monotonic()
            postmaster.kill()
            # Sessions of the dead server may still commit for a moment.
            while not another_is_ready(folder, postmaster):
                assert time.monotonic() - killed < 60
                await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - killed)
        ending.set()
        await asyncio.gather(*writers)
        connection = await asyncpg.connect(url)
        stored = {row["n"] for row in await connection.fetch("SELECT n FROM t")}
        await connection.close()
    print(
        f"10 kills, {len(acknowledged)} acknowledged, {len(set(acknowledged) - stored)} lost, back in {slowest:.2f} s"
    )
    assert set(acknowledged) <= stored
    assert slowest < 10


async def until_more(acknowledged: list[int], more: int) -> None:
    wanted = len(acknowledged) + more
    async with asyncio.timeout(30):
        while len(acknowledged) < wanted:  # noqa: ASYNC110 - the writers know nothing of this
            await asyncio.sleep(0.01)


async def test_keeper_and_postmaster_killed_together(folder, fetch, wait):
    """The next keeper meets the remains of a dead server that init may not have reaped yet."""
    with attach(folder.path) as url:
        await fetch(url, "CREATE TABLE t AS SELECT 1 AS n")
        postmaster, keeper = folder.postmaster(), folder.keepers()[0]
        postmaster.suspend()
        keeper.kill()
        postmaster.kill()
        wait(lambda: another_is_ready(folder, postmaster))
        assert await fetch(url, "SELECT n FROM t") == 1


@pytest.mark.parametrize("victim", ["initdb", "keeper", "everything"])
def test_an_initdb_killed_half_way_leaves_the_folder_usable(make_folder, client, wait, victim):
    folder, process, initdb = half_way(make_folder, client, wait)
    if victim == "everything":
        process.kill()
        for other in [*folder.wardens(), *folder.keepers(), *folder.processes()]:
            with contextlib.suppress(psutil.NoSuchProcess):  # the first ones take others along
                other.kill()
    elif victim == "keeper":
        folder.keepers()[0].kill()
        assert process.stdout.readline().startswith("postgresql://")  # the same client starts another
    else:
        initdb.kill()
        assert process.stdout.readline() == ""  # refused
        assert process.wait(60) == 1
        wait(lambda: not folder.processes())  # what initdb had started ends a moment after it, and writes until then
    with attach(folder.path):
        assert folder.cluster.is_dir()
        assert not list(folder.path.glob("postgres.initdb-*"))


def half_way(make_folder, client, wait):
    """Return a folder in which initdb has been stopped half way, whoever asked for it, and initdb itself."""
    for number in range(10):
        folder = make_folder(f"data{number}")
        process = client(folder.path)
        wait(lambda folder=folder: folder.cluster.exists() or list(folder.path.glob("postgres.initdb-*/base/1")))
        for initdb in folder.initdbs():
            with contextlib.suppress(psutil.NoSuchProcess):
                initdb.suspend()
                return folder, process, initdb
    raise AssertionError("initdb was always faster than this test could look")


def test_a_process_that_got_the_number_of_a_dead_postmaster_does_not_block(folder, wait):
    """After a restart of the machine the number in postmaster.pid may belong to anybody, here to us."""
    with attach(folder.path):
        pid = folder.cluster / "postmaster.pid"
        left = pid.read_text()
        socket = next(folder.cluster.glob(".s.PGSQL.*.lock"))
    wait(lambda: not folder.processes())
    foreign = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        rest = left.split("\n", 1)[1]
        pid.write_text(f"{foreign.pid}\n{rest}")
        socket.write_text(f"{foreign.pid}\n{rest}")
        with attach(folder.path):
            assert folder.postmaster().pid != foreign.pid
        assert foreign.poll() is None
    finally:
        foreign.communicate(b"\n")


def test_a_removed_folder_ends_everything(folder, wait):
    with attach(folder.path):
        while folder.path.exists():  # what still runs may write or remove a file of its own meanwhile
            shutil.rmtree(folder.path, ignore_errors=True)
        wait(lambda: not folder.processes())
    assert not folder.path.exists()


def test_a_keeper_told_to_stop_stops_the_server_and_a_client_starts_both_again(folder, wait):
    with attach(folder.path):
        postmaster = folder.postmaster()
        folder.keepers()[0].send_signal(signal.SIGTERM)
        wait(lambda: not alive(postmaster))
        wait(lambda: another_is_ready(folder, postmaster))


def test_a_server_that_cannot_start_says_why(folder, wait):
    with attach(folder.path):
        pass
    wait(lambda: not folder.processes())
    control = folder.cluster / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with (
        pytest.raises(Refused, match=r"does not start: .*could not find the database.*postgres\.log"),
        attach(folder.path),
    ):
        pass
    control.with_suffix(".away").rename(control)
    with attach(folder.path):
        pass


def test_a_server_that_dies_for_good_is_tried_again_until_it_works(folder, wait, client):
    control = folder.cluster / "global" / "pg_control"
    with attach(folder.path):
        postmaster = folder.postmaster()
        control.rename(control.with_suffix(".away"))
        postmaster.kill()
        wait(lambda: "failed" in (folder.path / "keeper.log").read_text())
        other = client(folder.path)
        assert other.wait(60) == 1  # a newcomer is told, instead of waiting for ever
        control.with_suffix(".away").rename(control)
        wait(lambda: another_is_ready(folder, postmaster))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_ends_neither_the_keeper_nor_the_data(folder, wait, fetch):
    folder.path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "none", folder.path], check=False).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        with attach(folder.path) as url:
            asyncio.run(fetch(url, "CREATE TABLE t AS SELECT 1 AS n"))
            keeper = folder.keepers()[0]
            ballast = folder.path / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 65536)
            with pytest.raises((OSError, asyncpg.PostgresError)):
                asyncio.run(fetch(url, "CREATE TABLE u AS SELECT i, repeat('x', 99) FROM generate_series(1, 999999) i"))
            postmaster = folder.postmaster()
            postmaster.kill()
            time.sleep(2)
            ballast.unlink()
            wait(lambda: another_is_ready(folder, postmaster))
            assert asyncio.run(fetch(url, "SELECT n FROM t")) == 1
            assert folder.keepers() == [keeper]
        wait(lambda: not folder.processes())
    finally:
        subprocess.run(["umount", "--lazy", folder.path], check=True)


@pytest.fixture
def reaps_nobody() -> Iterator[None]:
    """Let orphans of this process become its children, and reap none until the end of the test."""
    become_subreaper = ctypes.CDLL(None).prctl
    assert become_subreaper(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER of Linux
    yield
    become_subreaper(36, 0, 0, 0, 0)
    for orphan in psutil.Process().children():
        if orphan.status() == psutil.STATUS_ZOMBIE:
            orphan.wait()


def alive(process) -> bool:
    return process.is_running() and process.status() != "zombie"


def another_is_ready(folder, postmaster) -> bool:
    try:
        lines = Path(folder.cluster / "postmaster.pid").read_text().split()
    except FileNotFoundError:
        return False
    # A number that no process has was put there by the keeper, on its way to the next start.
    return "ready" in lines and int(lines[0]) != postmaster.pid and psutil.pid_exists(int(lines[0]))
