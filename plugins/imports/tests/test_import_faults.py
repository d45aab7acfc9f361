"""Imports of customers and their undo, killed again and again: the end is exact."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.02"))
KILLS = 10
BATCH = 2_000
ROWS = int(1_000_000 * SCALE) // BATCH * BATCH
MEGABYTE = 1_000_000
Held = Callable[[int], AbstractContextManager[None]]


class Zhike:
    """Runs the command on one database.

    Attributes:
        peak: The most memory in bytes that a command was seen with before it was killed.
    """

    def __init__(self, url: str, folder: Path, held: Held) -> None:
        self._environment = {
            **os.environ,
            "ZHIKE_DATABASE_URL": url,
            "ZHIKE_DATA": str(folder / "data"),
            "ZHIKE_LOCALE": "en",
        }
        self._url, self._folder, self._held = url, folder, held
        self.peak = 0

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("zhike")), "import", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=self._environment, stdout=pipe, stderr=pipe, text=True, cwd=self._folder, **options
        )

    def __call__(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        process = self.start(*arguments, **options)
        out, err = process.communicate()
        assert "Traceback" not in err
        return process.returncode, (out.splitlines() or [""])[-1], err

    def value(self, sql: str) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(self._url)
            try:
                return await connection.fetchval(sql)
            finally:
                await connection.close()

        return asyncio.run(run())

    def killed(self, times: int, done: str, total: int, *arguments: str) -> int:
        """Start a command and kill it as soon as it is further by a share of the whole; return how often it was."""
        kills = 0
        for number in range(1, times + 1):
            with self._held(total - BATCH):
                process = self.start(*arguments)
                while process.poll() is None and (self.value(done) or 0) < (total - 2 * BATCH) * number // times:
                    self.peak = max(self.peak, psutil.Process(process.pid).memory_info().rss)
                    time.sleep(0.01)
                kills += process.poll() is None
                process.kill()
                process.communicate()
        return kills


@pytest.fixture
def zhike(database_url: str, tmp_path: Path, held: Held) -> Zhike:
    return Zhike(database_url, tmp_path, held)


def people(path: Path, rows: int) -> None:
    """Write customers of whom every 500th has a bad phone number, and every tenth comes a second time."""
    with path.open("w", encoding="utf-8") as file:
        file.write("客户编号,姓名,手机号,城市\n")
        for row in range(1, rows + 1):
            number = row - 5 if row % 10 == 0 else row
            phone = "12" if row % 500 == 0 else 13_000_000_000 + number
            file.write(f"C{number},客户{row},{phone},城市{row % 50}\n")


@pytest.mark.faults
@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_an_import_of_customers_killed_ten_times_is_exact_and_so_is_its_undo(zhike: Zhike, tmp_path: Path) -> None:
    people(tmp_path / "people.csv", ROWS)
    begun = time.monotonic()
    rows_done = "SELECT rows_done FROM imports_run"
    assert zhike.killed(KILLS, rows_done, ROWS, "customers", "people.csv") == KILLS
    bad = ROWS // 500
    assert zhike("customers", "people.csv")[:2] == (3, f"accepted {ROWS - bad}, duplicate 0, rejected {bad}")
    print(f"{ROWS} rows in {time.monotonic() - begun:.0f} s")
    customers = ROWS - ROWS // 10
    assert zhike.value("SELECT count(*) FROM customer") == customers
    assert zhike.value("SELECT count(*) FROM identity") == 2 * customers
    assert zhike.value("SELECT count(*) FROM event WHERE name = 'customer.created'") == customers
    # Of a pair the second names the customer.
    again = ROWS // 10 - bad
    assert zhike.value("SELECT count(*) FROM customer WHERE substr(name, 3)::bigint % 10 = 0") == again
    assert zhike.value("SELECT count(*) FROM imports_row") == ROWS - bad
    assert len((tmp_path / "people.csv.rejected.csv").read_text("utf-8-sig").splitlines()) == 1 + bad
    print(f"{zhike.peak / MEGABYTE:.0f} MB")
    assert 0 < zhike.peak < 250 * MEGABYTE

    begun = time.monotonic()
    gone = f"SELECT {customers} - count(*) FROM customer"
    assert zhike.killed(3, gone, customers, "undo", "1") == 3
    status, counted, _ = zhike("undo", "1")
    print(f"undone in {time.monotonic() - begun:.0f} s: {counted}")
    assert (status, counted.partition(", ")[2]) == (0, f"customers deleted {customers}, changed 0, merges 0")
    for table in ("customer", "identity", "event", "import_change", "imports_row", "customer_search"):
        assert zhike.value(f"SELECT count(*) FROM {table}") == 0
    assert zhike.value("SELECT undone_at IS NOT NULL FROM imports_run") is True


def test_a_full_disk_stops_the_import_and_loses_nothing(zhike: Zhike, tmp_path: Path) -> None:
    people(tmp_path / "people.csv", 4_000)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    status, _, err = zhike("customers", "people.csv", preexec_fn=small)
    assert (status, "rejected.csv cannot be written" in err) == (1, True)
    assert zhike.value("SELECT coalesce(max(rows_done), 0) FROM imports_run") < 4_000
    assert zhike("customers", "people.csv")[:2] == (3, "accepted 3992, duplicate 0, rejected 8")
    assert zhike.value("SELECT count(*) FROM imports_row") == 3_992
    assert len((tmp_path / "people.csv.rejected.csv").read_text("utf-8-sig").splitlines()) == 9
