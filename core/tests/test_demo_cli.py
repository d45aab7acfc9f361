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

ZHIKE = str(Path(sys.executable).with_name("zhike"))


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZHIKE_", "XDG_"))}
    return {**kept, "HOME": str(home), "ZHIKE_LOCALE": "en"}


@contextmanager
def demo(home: Path) -> Iterator[list[str]]:
    """Run the demo on a free port and yield what it printed up to its ready line."""
    process = subprocess.Popen(
        [ZHIKE, "demo", "--port", "0"], env=environment(home), stdout=subprocess.PIPE, text=True, cwd=home
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
    reply = httpx.request("POST" if data else "GET", url, headers=headers, content=data, trust_env=False)
    assert reply.status_code == 200, reply.text
    answer: dict[str, object] = json.loads(reply.text)
    return answer


def test_from_an_empty_home_to_a_server_with_examples_that_work(tmp_path: Path) -> None:
    with demo(tmp_path) as lines:
        assert any("sample company imported" in line for line in lines)
        assert lines[-1].startswith("ready http://127.0.0.1:")
        count, customers, event = [curl(line) for line in lines if "curl" in line]
        assert isinstance(count["count"], int)
        assert 20 < count["count"] < 2_000
        assert isinstance(customers["items"], list)
        assert len(customers["items"]) == 3
        assert event == {"accepted": 1, "duplicate": 0, "rejected": []}
        second = subprocess.run(
            [ZHIKE, "demo", "--port", "0"], env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert (second.returncode, second.stdout) == (1, "")
        assert "already runs" in second.stderr
    with demo(tmp_path) as lines:
        assert not any("imported" in line for line in lines)
        assert not any("zk_" in line for line in lines)
        assert any("zhike token create" in line for line in lines)
    assert (tmp_path / ".local" / "share" / "zhike").is_dir()
