"""Merges, their undoing, late events, erasures and undone imports end as in a naive model, in whatever order."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from history_driver import Driver, Step, steps_of
from history_model import RANKED
from history_stand import open_stand

from zhike.customers import erasing, settling
from zhike.testing.databases import Server
from zhike.testing.plugin import FrozenNow

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1)
SEEDS = max(1, int(10 * SCALE))
SIZE = max(300, int(500 * SCALE))
FIRST = int(os.environ.get("ZHIKE_HISTORY_SEED") or 1)
"""The first seed; others than those of every run find more."""
EVERY = 30
"""Steps between comparisons."""
TRIALS = 40
"""Runs that may be spent on a shorter sequence that fails too."""


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of most merges are moved by jobs."""
    monkeypatch.setattr(settling, "CHUNK", 3)
    monkeypatch.setattr(erasing, "SECONDS", 0.05)  # it waits for these after each chunk


async def failure(server: Server, folder: Path, now: FrozenNow, steps: list[Step], every: int) -> str | None:
    """Do steps, compare now and then and at the end; return what was wrong."""
    async with open_stand(server, folder, ranked=RANKED) as stand:
        driver = Driver(stand, now)
        try:
            for place, step in enumerate(steps, 1):
                await driver.do(step)
                if place % every == 0:
                    await driver.check(6)
            await driver.check_settled()
        except AssertionError as error:
            return str(error) or repr(error)
    return None


async def shortest(server: Server, folder: Path, now: FrozenNow, steps: list[Step], wrong: str) -> list[Step]:
    """Leave out whatever steps can be left out of a sequence with the same thing wrong at the end."""
    size, trials = len(steps) // 2, 0
    while size:
        start = 0
        while start < len(steps) and trials < TRIALS:
            trials += 1
            fewer = steps[:start] + steps[start + size :]
            if _kind(await failure(server, folder, now, fewer, EVERY)) == _kind(wrong):
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


def _kind(wrong: str | None) -> str | None:
    """Return what was compared, without the numbers."""
    return wrong and re.sub(r"[\d+]+", "", wrong.partition(":")[0])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
async def test_a_history_equals_the_model(
    seed: int, database_server: Server, tmp_path: Path, frozen_now: FrozenNow
) -> None:
    steps = steps_of(seed, SIZE)
    wrong = await failure(database_server, tmp_path, frozen_now, steps, EVERY)
    if wrong is not None:
        fewer = await shortest(database_server, tmp_path, frozen_now, steps, wrong)
        pytest.fail(f"seed {seed}: {wrong}\nas do these {len(fewer)} of {len(steps)} steps: {fewer}")
