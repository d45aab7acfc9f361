"""The table on the terminal and the list of rows as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zhike_bench.bars import BARS, Row
from zhike_bench.rows import Measured

HEAD = (
    f"{'id':4} {'what':62} {'value':>8} {'bar':>8}  {'':6} {'low .. high':>17} {'pairs':>5} {'product':>10} "
    f"{'limit':>10}  unit"
)


def lines(measured: Measured, scale: float) -> list[str]:
    """Return the table's lines for one row, one a variant."""
    return [_line(variant, row, scale) for variant, row in measured]


def skipped(identifier: str, why: str) -> str:
    """Return the table's line for a row that was not measured."""
    return f"{identifier:4} {BARS[identifier].what:62} SKIPPED: {why}"


def worst(measured: Measured) -> Row:
    """Return the row of the variant that is furthest below the bar, which is the one that counts."""
    return min((row for _, row in measured), key=lambda row: row.share)


def write(file: Path, rows: list[Row]) -> None:
    """Write the rows as a JSON list."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def _line(variant: str, row: Row, scale: float) -> str:
    bar = BARS[row.id]
    verdict = "ok" if row.share >= 1 else "FAILS" if row.failed and bar.gates(scale) else "below"
    if not bar.gates(scale):
        verdict += "*"
    what = f"{bar.what}: {variant}" if variant else bar.what
    sign = "≥" if row.direction == "higher" else "≤"
    spread = f"{_short(row.low)} .. {_short(row.high)}"
    return (
        f"{row.id:4} {what:62} {_short(row.value):>8} {sign}{_short(row.bar):>7}  {verdict:6} {spread:>17} "
        f"{row.pairs:>5} {_short(row.product):>10} {_short(row.limit):>10}  {row.unit}"
    )


def _short(value: float) -> str:
    """Return three significant digits, or whole numbers from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
