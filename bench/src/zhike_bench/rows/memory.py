"""Rows I10, M1 and M2: the memory of the web process and of an import."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil

from zhike_bench.bars import Row, judge, middle
from zhike_bench.client import Run
from zhike_bench.servers import BARE, clean_environment, first_success, serving, zhike
from zhike_bench.stage import Stage

MEGABYTE = 1_000_000
PARTS = 20
EVENTS = "/api/v1/events"


async def i10(stage: Stage) -> list[tuple[str, Row]]:
    """The web process's highest memory while events pass, against that after the first twentieth of them."""
    ratios, ends, begins = [], [], []
    size = 250
    batches = max(16, round(1_000_000 * stage.scale / PARTS / size))
    for _ in range(stage.pairs):
        async with stage.serve() as server:
            web = server.web()
            seen = []
            for _ in range(PARTS):
                run = Run(
                    port=server.port,
                    connections=16,
                    token=await stage.token(),
                    path=EVENTS,
                    load=stage.load(batches, size),
                )
                await stage.client.run(run)
                seen.append(web.memory_info().rss / MEGABYTE)
        begins.append(seen[0])
        ends.append(max(seen))
        ratios.append(max(seen) / seen[0])
    return [("", judge("I10", stage.scale, ratios, middle(ends), middle(begins)))]


async def m1(stage: Stage) -> list[tuple[str, Row]]:
    """The web process after its start and first answer; beside it bare ASGI on the same server."""
    product, bare = [], []
    for _ in range(stage.pairs):
        async with stage.serve() as server:
            await first_success(f"http://127.0.0.1:{server.port}/health/ready")
            product.append(server.web().memory_info().rss / MEGABYTE)
        async with serving(*BARE) as server:
            bare.append(server.web().memory_info().rss / MEGABYTE)
    return [("", judge("M1", stage.scale, product, middle(product), middle(bare)))]


async def m2(stage: Stage) -> list[tuple[str, Row]]:
    """The highest memory of `zhike import` over 1 M rows x scale; beside it the bare interpreter."""
    rows = round(1_000_000 * stage.scale)
    await stage.url()
    file = stage.folder() / "orders.csv"
    await asyncio.to_thread(_write_orders, file, rows, stage.customers)
    highest, accepted = await _peak(*zhike(stage.data, "import", "events", str(file), "--event", "order.paid"))
    if str(rows) not in accepted.replace(",", ""):
        raise RuntimeError(f"the import of {rows} rows ended with: {accepted[-500:]}")
    interpreter, _ = await _peak(sys.executable, "-c", "import time; time.sleep(0.5)")
    return [("", judge("M2", stage.scale, [highest], highest, interpreter))]


def _write_orders(file: Path, rows: int, customers: int) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("customer_id,date,quantity,amount\n")
        for row in range(rows):
            day = f"2025-{row % 12 + 1:02d}-{row % 28 + 1:02d}"
            out.write(f"c{row * 7919 % customers + 1},{day},{row % 5 + 1},{row % 900}.{row % 100:02d}\n")


async def _peak(*command: str) -> tuple[float, str]:
    """Run a command and return the most memory it had, in MB, and what it printed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=clean_environment())
    watching = asyncio.create_task(_watch(process.pid))
    printed, errors = await process.communicate()
    watching.cancel()
    highest = await watching
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[3:])} ended with status {process.returncode}: {errors.decode()[-2000:]}")
    return highest, printed.decode()


async def _watch(pid: int) -> float:
    """Return the highest memory of a process in MB, watched until cancelled or the process ends."""
    highest = 0
    try:
        while True:
            highest = max(highest, _memory(pid))
            await asyncio.sleep(0.02)
    except (asyncio.CancelledError, psutil.NoSuchProcess, OSError):
        return highest / MEGABYTE


def _memory(pid: int) -> int:
    """Return the process's highest memory so far in bytes, where the kernel counts it."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)
