"""Row I11: files of customers that are brought in."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from zhike_bench.bars import Row
from zhike_bench.pairs import interleave
from zhike_bench.rows.ingest import BATCHES
from zhike_bench.servers import run, zhike
from zhike_bench.stage import Stage
from zhike_limits import sql
from zhike_limits.events import columns

ROWS = 30_000
"""So many that the start of the command, which counts, is a small part."""
KNOWN = 20
"""Every so many rows one is about a customer who is new, as one of so many events of a load is."""


async def i11(stage: Stage) -> list[tuple[str, Row]]:
    """`zhike import customers`, from its start to its end, against the SQL of I1 in process on four connections.

    One file is of new customers, the other changes a field of known ones and has the share of new ones that I1 has.
    """
    pool = await stage.pool()
    rows = stage.leg(ROWS)

    async def limit(_: int) -> float:
        return await sql.ingest(pool, columns(stage.load(BATCHES[1000], 1000)))

    measured = []
    for variant, new in (("changed customers", 1 / KNOWN), ("new customers", 1.0)):

        async def product(number: int, new: float = new) -> float:
            file = stage.folder() / "customers.csv"
            seed = f"{file.parent.name}-{number}"
            await asyncio.to_thread(_write, file, rows, stage.customers, new, seed)
            begun = time.perf_counter()
            printed = await run(*zhike(stage.data, "import", "customers", str(file)))
            seconds = time.perf_counter() - begun
            if f"accepted {rows}," not in printed:
                raise RuntimeError(f"the import of {rows} rows ended with: {printed[-500:]}")
            return rows / seconds

        measured.append((variant, await interleave("I11", stage.scale, stage.pairs, product, limit)))
    return measured


def _write(file: Path, rows: int, customers: int, new: float, seed: str) -> None:
    every = round(1 / new)
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("customer_id,name,city,level\n")
        for row in range(rows):
            known = f"c{row * 7919 % customers + 1}"
            out.write(f"{known if row % every else f'{seed}-{row}'},Customer {seed} {row},city{row % 50},{row % 5}\n")
