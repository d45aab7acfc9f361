"""`zhike bench` as it is called."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from zhike_bench.servers import ZHIKE

KEYS = {"id", "value", "bar", "direction", "low", "high", "pairs", "product", "limit", "unit"}


def test_it_measures_on_a_database_of_its_own_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", Path("/tmp") / f"zhike-bench-test-{os.getpid()}"
    home.mkdir()
    temporary.mkdir()
    theirs = {"ZHIKE_DATA": str(home / "data"), "ZHIKE_DATABASE_URL": "postgresql://127.0.0.1:1/theirs"}
    environment = {**os.environ, **theirs, "HOME": str(home), "TMPDIR": str(temporary)}
    file = tmp_path / "rows.json"
    command = [*ZHIKE, "bench", "--scale", "0.001", "--only", "O1,I2", "--pairs", "2", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    rows = json.loads(file.read_text())
    assert [row["id"] for row in rows] == ["I2", "O1"]
    # A busy machine may have a row measured again, with three times as many pairs; what comes last counts.
    again = set(re.findall(r"^(\w+) would fail; ", result.stdout, re.MULTILINE))
    assert all(row.keys() == KEYS and row["pairs"] == (6 if row["id"] in again else 2) for row in rows)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    lines = [line for line in result.stdout.splitlines() if " would fail; " not in line]
    measured = ["I2"] * (1 + ("I2" in again)) + ["O1"] * (1 + ("O1" in again))
    assert [line.split()[0] for line in lines[: 1 + len(measured)]] == ["id", *measured]
    last = {line.split()[0]: line for line in lines[1 : 1 + len(measured)]}
    assert result.returncode == int(any(" FAILS " in line for line in last.values())), result.stderr
    assert not list(home.rglob("*"))
    assert not list(temporary.iterdir())
    temporary.rmdir()


def test_without_the_benchmark_the_command_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['zhike_bench'] = None; from zhike._host.cli.main import main; main()"
    environment = {**os.environ, "ZHIKE_LOCALE": "en"}
    result = subprocess.run(
        [sys.executable, "-c", code, "bench"], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 1
    assert "zhike-bench" in result.stderr
    assert "Traceback" not in result.stderr
