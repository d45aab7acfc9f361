"""The rows: each measures both sides and returns one `Row`, or one a variant of which the worst counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zhike_bench.bars import Row
from zhike_bench.rows import (
    bringing,
    changed,
    everybody,
    ingest,
    log,
    memory,
    merges,
    pages,
    pipeline,
    queue,
    reads,
    search,
    start,
    tagging,
)
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
    "I8": pipeline.i8,
    "S6": pipeline.s6,
    "I10": memory.i10,
    "L1": log.l1,
    "L2": log.l2,
    "L3": log.l3,
    "Q2": queue.q2,
    "Q3": queue.q3,
    "Q5": queue.q5,
    "Q6": queue.q6,
    "O1": reads.o1,
    "O2": reads.o2,
    "N1": search.n1,
    "N2": merges.n2,
    "M1": memory.m1,
    "M2": memory.m2,
    "D3": reads.d3,
    "S1": everybody.s1,
    "S2": everybody.s2,
    "S3a": changed.s3a,
    "S3b": changed.s3b,
    "G1": tagging.g1,
    "G2": tagging.g2,
    "W1": pages.w1,
    "W2": pages.w2,
    "W3": pages.w3,
    "I11": bringing.i11,  # after all that asks about customers, of whom it makes as many again
    "E1": start.e1,
    "E2": start.e2,
}
