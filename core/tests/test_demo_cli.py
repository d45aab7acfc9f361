"""`zhike demo`: from nothing to a server whose printed examples work."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

PATIENT = 60.0
"""Seconds for an answer of a server that has only just begun, on a machine with other work."""
ZHIKE = str(Path(sys.executable).with_name("zhike"))


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZHIKE_", "XDG_"))}
    return {**kept, "HOME": str(home), "ZHIKE_LOCALE": "en"}


@contextmanager
def demo(home: Path) -> Iterator[list[str]]:
    """Run the demo on a free port and yield what it printed up to its ready line."""
    process = subprocess.Popen(
        [ZHIKE, "demo", "--port", "0", "--size", "100"],
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("ready "):
                break
        yield lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def curl(command: str) -> dict[str, object]:
    """Do what a printed curl command says."""
    words = shlex.split(command)
    options = dict(pairwise(words))
    headers = dict(words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H")
    url = next(word for word in words if word.startswith("http://"))
    data = options.get("-d")
    reply = httpx.request(
        "POST" if data else "GET", url, headers=headers, content=data, timeout=PATIENT, trust_env=False
    )
    assert reply.status_code == 200, reply.text
    answer: dict[str, object] = json.loads(reply.text)
    return answer


def log_in(lines: list[str], login: str) -> int:
    """Log in with the printed password, and return the status of the answer."""
    address, password = (next(line.split()[-1] for line in lines if word in line) for word in ("address", "password"))
    said = {"login": login, "password": password}
    reply = httpx.post(f"{address}/api/v1/session", json=said, timeout=PATIENT, trust_env=False)
    return reply.status_code


@pytest.mark.timeout(600)
def test_from_an_empty_home_to_a_server_with_logins_and_an_example_that_work(tmp_path: Path) -> None:
    with demo(tmp_path) as lines:
        assert any("the sample company is ready" in line for line in lines)
        assert lines[-1].startswith("ready http://127.0.0.1:")
        [count] = [curl(line) for line in lines if "curl" in line]
        assert isinstance(count["count"], int)
        assert 0 < count["count"] < 100
        assert [log_in(lines, login) // 100 for login in ("admin", "lin.wan", "nobody")] == [2, 2, 4]
        second = subprocess.run(
            [ZHIKE, "demo", "--port", "0"], env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert (second.returncode, second.stdout) == (1, "")
        assert "already runs" in second.stderr
    with demo(tmp_path) as lines:
        assert not any("sample company" in line for line in lines)
        assert not any("zk_" in line for line in lines)
        assert log_in(lines, "admin") // 100 == 2
    assert (tmp_path / ".local" / "share" / "zhike").is_dir()


@pytest.mark.parametrize("size", ["0", "5m", "2000k", "-3"])
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: str) -> None:
    refused = subprocess.run(
        [ZHIKE, "demo", f"--size={size}"], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "such as 5000 or 100k" in refused.stderr
    assert not (tmp_path / ".local").exists()
