"""The rows: each measures both sides and returns one `Row`, or one a variant of which the worst counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zhike_bench.bars import Row
from zhike_bench.rows import ingest, memory, reads, start
from zhike_bench.stage import Stage

Measured = list[tuple[str, Row]]  # (variant, row); the variant is empty when there is but one

# In the order they run: those that want empty event tables first.
ROWS: dict[str, Callable[[Stage], Awaitable[Measured]]] = {
    "I1": ingest.i1,
    "I2": ingest.i2,
    "I3": ingest.i3,
    "I4": ingest.i4,
    "I5": ingest.i5,
    "I6": ingest.i6,
    "I7": ingest.i7,
    "I10": memory.i10,
    "O1": reads.o1,
    "O2": reads.o2,
    "M1": memory.m1,
    "M2": memory.m2,
    "D3": reads.d3,
    "E1": start.e1,
    "E2": start.e2,
}
