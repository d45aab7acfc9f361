"""A worker process for tests, `process.py URL LEASE_SECONDS WATCHDOG_SECONDS`; prints a line per call."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from zhike._host.runner.watchdog import Watchdog
from zhike.contracts import Job
from zhike.hooks import hookimpl
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings


async def effect(items: Sequence[Any], work: Any) -> None:
    """Write a number per job, slowly; some payloads end the process or keep it busy for ever."""
    print("working", flush=True)
    for item in items:
        if item.payload.get("poison") == "exit":
            os._exit(9)
        while item.payload.get("poison") == "spin":
            pass
    await work.connection.execute(
        "INSERT INTO effect SELECT unnest($1::bigint[])", [item.payload["n"] for item in items]
    )
    await asyncio.sleep(0.03)


class Probe:
    """The plugin with that job."""

    @hookimpl
    def register_jobs(self) -> Sequence[Job]:
        """Register it."""
        return [Job(name="probe.effect", run=effect, batch=10, attempts=2)]


async def main(url: str, lease: float, watchdog: float) -> None:
    """Work until killed."""
    db = await Database.open(url)
    assembled = assemble({**core_plugins(), "probe": Probe()}, threads=False)
    platform = Platform(
        settings=Settings(data=Path(), database_url=url), db=db, hooks=assembled.hooks, registry=assembled.registry
    )
    watching = asyncio.create_task(Watchdog(watchdog, {}).run())
    await JobWorker(platform, lease=timedelta(seconds=lease), tick=0.05).run()
    await watching


# Only the watchdog's thread, which counts, may end it; the interpreter's timer would also when others keep it waiting.
with patch("faulthandler.dump_traceback_later"):
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
