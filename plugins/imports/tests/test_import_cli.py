"""`zhike import events` as people and scripts meet it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import asyncpg
import pytest

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
BATCH = 2_000
Held = Callable[[int], AbstractContextManager[None]]


class Zhike:
    """Runs the command on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def start(self, *arguments: str, locale: str = "en") -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "ZHIKE_DATABASE_URL": self.url,
            "ZHIKE_DATA": str(self.folder / "data"),
            "ZHIKE_LOCALE": locale,
        }
        command = [str(Path(sys.executable).with_name("zhike")), "import", "events", *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )

    def __call__(self, *arguments: str, locale: str = "en") -> tuple[int, list[str], str]:
        process = self.start(*arguments, locale=locale)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode, out.splitlines(), err

    def fetch(self, sql: str) -> list[tuple[object, ...]]:
        async def run() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def rows_done(self) -> int:
        rows = self.fetch("SELECT rows_done FROM imports_run")
        return int(str(rows[0][0])) if rows else 0


@pytest.fixture
def zhike(database_url: str, tmp_path: Path) -> Zhike:
    return Zhike(database_url, tmp_path)


GOOD = "user_id,date,amount,note\n8,2024-01-05,1.00,好\n9,2024-01-05,2.00,\n"


@pytest.mark.parametrize("locale", ["zh_CN", "en"])
def test_the_last_line_and_the_exit_status_are_for_scripts(zhike: Zhike, tmp_path: Path, locale: str) -> None:
    (tmp_path / "rows.csv").write_text(GOOD, encoding="utf-8")
    status, out, err = zhike("rows.csv", "--event", "order.paid", locale=locale)
    assert (status, out[-1], err) == (0, "accepted 2, duplicate 0, rejected 0", "")
    assert "  date = occurred_at" in out
    (tmp_path / "bad.csv").write_text(GOOD + "9,05/01/2024,2.00,\n", encoding="utf-8")
    status, out, err = zhike("bad.csv", "--event", "order.paid", locale=locale)
    assert (status, out[-1], err) == (3, "accepted 2, duplicate 0, rejected 1", "")
    assert "bad.csv.rejected.csv" in out[-2]
    assert (tmp_path / "bad.csv.rejected.csv").read_bytes().startswith(b"\xef\xbb\xbfzhike_row,")
    status, out, _ = zhike("bad.csv", "--event", "order.paid", "--rejected", "elsewhere.csv", locale=locale)
    assert (status, out[-1]) == (3, "accepted 0, duplicate 2, rejected 1")
    assert (tmp_path / "elsewhere.csv").exists()


def test_a_dry_run_shows_the_first_rows(zhike: Zhike, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("手机,日期,金额\n15412345678,2024年1月5日,￥12.00\n15412345678,?,1\n", "utf-8")
    status, out, err = zhike("rows.csv", "--event", "order.paid", "--dry-run")
    assert (status, out[-1], err) == (3, "dry run: accepted 1, duplicate 0, rejected 1", "")
    assert "  手机 = identity:phone" in out
    [shown] = [line for line in out if line.startswith("1 ")]
    assert "order.paid" in shown
    assert "2024-01-05 00:00:00+08:00" in shown
    assert "12.00 CNY" in shown
    assert "15412345678" not in "".join(out)
    assert any(line.startswith("line 3 would be rejected (occurred_at)") for line in out)
    assert zhike.fetch("SELECT count(*) FROM event") == [(0,)]
    assert not list(tmp_path.glob("*.rejected.csv"))


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("zip.csv", (), "is a ZIP file"),
        ("none.csv", (), "'none.csv' does not exist"),
        ("rows.csv", ("--encoding", "klingon"), "klingon"),
        ("rows.csv", ("--map", "user_id=owner"), "names no target"),
        ("rows.csv", ("--rejected", "nowhere/rows.csv"), "no file can be written"),
    ],
)
def test_refusals_are_one_line(zhike: Zhike, tmp_path: Path, name: str, arguments: tuple[str, ...], what: str) -> None:
    (tmp_path / "rows.csv").write_text(GOOD, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "zip.csv", "w") as archive:
        archive.writestr("rows.csv", GOOD)
    status, out, err = zhike(name, "--event", "order.paid", *arguments)
    assert status == (2 if name == "none.csv" else 1)
    assert what in err
    assert not any(line.startswith("accepted") for line in out)


def test_a_file_that_is_being_imported_is_refused(zhike: Zhike, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(GOOD, encoding="utf-8")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status, _, err = zhike("rows.csv", "--event", "order.paid")
    assert (status, "another process" in err) == (1, True)


def large(path: Path, rows: int) -> None:
    """Write rows of which every 500th is bad."""
    with path.open("w") as file:
        file.write("user_id,date,amount\n")
        for row in range(1, rows + 1):
            date = "?" if row % 500 == 0 else "2024-01-05"
            file.write(f"{row % 997},{date},{row % 100}.25\n")


@pytest.mark.faults
def test_an_import_killed_again_and_again_is_complete_and_exact(zhike: Zhike, held: Held, tmp_path: Path) -> None:
    rows = int(200_000 * SCALE) // 500 * 500
    large(tmp_path / "rows.csv", rows)
    kills = 0
    for target in (rows // 5, rows // 2):
        with held(rows - BATCH):
            process = zhike.start("rows.csv", "--event", "order.paid")
            while process.poll() is None and zhike.rows_done() < target:
                time.sleep(0.02)
            kills += process.poll() is None
            process.kill()
            process.communicate()
    status, out, _ = zhike("rows.csv", "--event", "order.paid")
    assert kills == 2
    assert (status, out[-1]) == (3, f"accepted {rows - rows // 500}, duplicate 0, rejected {rows // 500}")
    good = [row for row in range(1, rows + 1) if row % 500]
    assert zhike.fetch("SELECT count(*), sum(amount) FROM event WHERE behaviour") == [
        (len(good), sum(row % 100 * 100 + 25 for row in good))
    ]
    assert zhike.fetch("SELECT sum(count), sum(sum) FROM customer_event_stat WHERE name = 'order.paid'") == zhike.fetch(
        "SELECT count(*), sum(amount) FROM event WHERE behaviour"
    )
    assert len((tmp_path / "rows.csv.rejected.csv").read_text("utf-8-sig").splitlines()) == 1 + rows // 500


def test_ctrl_c_ends_after_the_running_batch_and_says_how_to_go_on(zhike: Zhike, held: Held, tmp_path: Path) -> None:
    large(tmp_path / "rows.csv", 20_000)
    with held(BATCH):
        process = zhike.start("rows.csv", "--event", "order.paid")
        while process.poll() is None and zhike.rows_done() == 0:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    done = zhike.rows_done()
    assert 0 < done < 20_000
    assert f"stopped after row {done}; the same command goes on from there" in out
    status, lines, _ = zhike("rows.csv", "--event", "order.paid")
    assert (status, lines[-1]) == (3, "accepted 19960, duplicate 0, rejected 40")
