"""Data folders for the tests of the embedded PostgreSQL, and a look at the processes that belong to one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from zhike.testing.plugin import quick_folder

IDLE = 0.2  # seconds after which keepers of these tests stop


class DataFolder:
    """A data folder and what runs for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster = path / "postgres"

    def processes(self) -> list[psutil.Process]:
        """Everything that was started for the folder: keepers, wardens, initdb, postmaster, backends."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def keepers(self) -> list[psutil.Process]:
        return [p for p in self.processes() if "zhike_embedded.keeper" in words(p)]

    def wardens(self) -> list[psutil.Process]:
        return [p for p in self.processes() if any(word.endswith("warden.py") for word in words(p))]

    def initdbs(self) -> list[psutil.Process]:
        return [p for p in self.processes() if any(word.endswith("/initdb") for word in words(p))]

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                return False
            command = words(process)
            named = str(self.path) in command and any("zhike_embedded" in word for word in command)
            inside = Path(process.cwd()).is_relative_to(self.path)
            return named or inside or any(word.startswith(f"{self.path}/postgres") for word in command)
        return False

    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.cluster / "postmaster.pid").read_text().split()[0]))

    def socket(self) -> Path:
        """The folder of the server's socket."""
        return Path((self.cluster / "postmaster.pid").read_text().splitlines()[4])

    def log(self) -> str:
        return (self.path / "postgres.log").read_text(errors="replace")


def words(process: psutil.Process) -> list[str]:
    """The command line of a process, which may have ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(autouse=True)
def _short_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIKE_KEEPER_IDLE", str(IDLE))


@pytest.fixture
def make_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], DataFolder]]:
    """Make data folders of a given name; at the end nothing may run for them."""
    with tempfile.TemporaryDirectory(prefix="zhike-pg-", dir=quick_folder()) as base:
        made: list[DataFolder] = []
        # Sockets that lie elsewhere come here.
        (Path(base) / "t").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setenv("TMPDIR", f"{base}/t")

        def make(name: str = "data") -> DataFolder:
            made.append(DataFolder(Path(base).resolve() / name))
            return made[-1]

        yield make
        for folder in made:
            for keeper in folder.keepers():  # sooner than by their own patience
                with contextlib.suppress(psutil.NoSuchProcess):
                    keeper.terminate()
            wait_until(lambda folder=folder: not folder.processes())


@pytest.fixture
def folder(make_folder: Callable[[], DataFolder]) -> DataFolder:
    return make_folder()


@pytest.fixture
def wait() -> Callable[..., float]:
    return wait_until


@pytest.fixture
def client() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that attaches to a folder, prints the URL and stays until its input ends."""
    started: list[subprocess.Popen[str]] = []
    script = (
        "import sys\nfrom pathlib import Path\nfrom zhike_embedded import attach\n"
        "with attach(Path(sys.argv[1])) as url:\n    print(url, flush=True)\n    sys.stdin.read()\n"
    )

    def start(path: Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def fetch() -> Callable[..., object]:
    """Run one statement on a URL and return its first value."""

    async def run(url: str, statement: str, *values: object) -> object:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    return run


def wait_until(condition: Callable[[], object], seconds: float = 60) -> float:
    """Wait for a condition and return how long it took; fail if it takes longer than `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began
