"""The watchdog ends a process whose event loop is blocked, and says by whom."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BLOCKED = 70
PROGRAM = """
import asyncio, faulthandler, sys
from zhike._host import logs
from zhike._host.runner.watchdog import Watchdog
import zhike_probe.work

async def main():
    watching = asyncio.create_task(Watchdog(float(sys.argv[1]), {"zhike_probe": "probe"}).run())
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await zhike_probe.work.run()
    watching.cancel()
    await asyncio.wait([watching])

if sys.argv[2:] == ["thread"]:
    faulthandler.dump_traceback_later = lambda *arguments, **options: None
logs.configure()
asyncio.run(main())
"""


def start(folder: Path, work: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a watched process in which the plugin `probe` does some work.

    Only the thread watches it, which counts: the interpreter's timer would also end a process that others keep waiting.
    """
    package = folder / "zhike_probe"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(work)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *(arguments or ("0.6", "thread"))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def test_an_endless_loop_ends_the_process_and_the_log_names_the_plugin(tmp_path: Path) -> None:
    process = start(tmp_path, "def spin(secret):\n  while True: pass\nasync def run():\n  spin('geheim')\n")
    _, log = process.communicate(timeout=60)
    assert process.returncode == BLOCKED
    line = json.loads(log)
    assert line["level"] == "critical"
    assert "by probe in work.py:2 spin < work.py:4 run" in line["message"]
    assert "geheim" not in log


def test_code_that_lets_no_other_thread_run_ends_the_process_too(tmp_path: Path) -> None:
    pattern = "import re\nasync def run():\n  re.match(r'(a+)+$', 'a' * 60 + 'b')\n"
    process = start(tmp_path, pattern, "2.5")  # a stall of less than the 3.75 s that it takes is nobody's fault
    _, log = process.communicate(timeout=60)
    assert process.returncode != 0
    assert 'work.py", line 3 in run' in log


def test_a_thread_or_a_library_that_blocks_is_found_below_the_plugin(tmp_path: Path) -> None:
    process = start(tmp_path, "import time\nasync def run():\n  time.sleep(60)\n")
    _, log = process.communicate(timeout=60)
    assert process.returncode == BLOCKED
    assert "by probe in work.py:3 run" in log


@pytest.mark.parametrize("work", ["import asyncio\nasync def run():\n  await asyncio.sleep(2)\n"])
def test_a_loop_that_turns_is_left_alone_also_after_the_process_stood_still(tmp_path: Path, work: str) -> None:
    process = start(tmp_path, work)
    process.send_signal(signal.SIGSTOP)
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    time.sleep(1)  # longer than the loop may be blocked
    process.send_signal(signal.SIGCONT)
    _, log = process.communicate(timeout=60)
    assert (process.returncode, log) == (0, "")
