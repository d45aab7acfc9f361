"""Rows E1 and E2: from an empty folder to a database, and from a stopped installation to its first answer."""

from __future__ import annotations

import shutil
import sys
import time

from zhike_bench.bars import Row
from zhike_bench.pairs import interleave
from zhike_bench.servers import first_success, run, serving, zhike
from zhike_bench.stage import Stage
from zhike_embedded import binaries
from zhike_limits.cluster import BareCluster

FOLDERS = 3  # used by turns, since a database stops only some seconds after its last client left
IMPORT = (sys.executable, "-c", "import zhike._host.web.app")


async def e1(stage: Stage) -> list[tuple[str, Row]]:
    """`zhike migrate` on an empty folder, against initdb and the start of the same binaries."""

    async def product(_: int) -> float:
        folder = stage.folder()
        begun = time.perf_counter()
        await run(*zhike(folder, "migrate"))
        return time.perf_counter() - begun

    async def limit(_: int) -> float:
        folder = stage.folder()
        cluster = BareCluster(binaries(), folder)
        seconds = cluster.initdb()
        seconds += await cluster.start()
        cluster.stop()
        shutil.rmtree(folder)
        return seconds

    return [("", await interleave("E1", stage.scale, stage.pairs, product, limit))]


async def e2(stage: Stage) -> list[tuple[str, Row]]:
    """`zhike serve` to its first 2xx, against a bare database's start and the application's import."""
    folders = [stage.folder() for _ in range(FOLDERS)]
    for folder in folders:
        await run(*zhike(folder, "migrate"))
    cluster = BareCluster(binaries(), stage.folder())
    cluster.initdb()

    async def product(number: int) -> float:
        data = folders[number % FOLDERS]
        await stage.stopped(data)
        begun = time.perf_counter()
        async with serving(*zhike(data, "serve")) as server:
            await first_success(f"http://127.0.0.1:{server.port}/health/ready")
            return time.perf_counter() - begun

    async def limit(_: int) -> float:
        seconds = await cluster.start()
        cluster.stop()
        begun = time.perf_counter()
        await run(*IMPORT)
        return seconds + time.perf_counter() - begun

    return [("", await interleave("E2", stage.scale, stage.pairs, product, limit))]
