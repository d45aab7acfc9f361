"""What `zhike bench` runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zhike.errors import Refused
from zhike.i18n import add_catalog, text
from zhike_bench import report
from zhike_bench.bars import BARS, Row, Skipped
from zhike_bench.rows import ROWS
from zhike_bench.stage import Stage

AGAIN = 3
"""How many times as many pairs a row gets that would fail, so that a disturbed moment is not taken for the figure."""

add_catalog(Path(__file__).parent / "locale")


def run(*, scale: float, only: str | None, file: Path | None, pairs: int, show: Callable[[str], None]) -> bool:
    """Measure rows, print the table as it grows, and write it.

    Args:
        scale: 1 is 1 M customers and 10 M events.
        only: Ids of rows joined by commas, or None for all.
        file: Where the rows are written as JSON, or None.
        pairs: Interleaved pairs of a row.
        show: Prints one line.

    Returns:
        Whether no row that gates failed.

    Raises:
        Refused: If `only` names a row that is not here.
    """
    import uvloop

    wanted = _wanted(only)
    rows = uvloop.run(_measure(wanted, scale, pairs, show))
    if file is not None:
        report.write(file, rows)
    return not any(row.failed and BARS[row.id].gates(scale) for row in rows)


async def _measure(wanted: list[str], scale: float, pairs: int, show: Callable[[str], None]) -> list[Row]:
    rows = []
    show(report.HEAD)
    async with Stage(scale, pairs) as stage:
        for identifier in wanted:
            stage.pairs = pairs
            try:
                row = await _row(identifier, stage, show)
                if row.failed and BARS[identifier].gates(scale):
                    show(f"{identifier} would fail; {AGAIN} times as many pairs decide.")
                    stage.pairs = pairs * AGAIN
                    row = await _row(identifier, stage, show)
            except Skipped as reason:
                show(report.skipped(identifier, str(reason)))
                continue
            rows.append(row)
    show("Values are medians of pairs; a row fails below 0.7 of its bar. * is printed and does not gate.")
    return rows


async def _row(identifier: str, stage: Stage, show: Callable[[str], None]) -> Row:
    measured = await ROWS[identifier](stage)
    for line in report.lines(measured, stage.scale):
        show(line)
    return report.worst(measured)


def _wanted(only: str | None) -> list[str]:
    if only is None:
        return list(ROWS)
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise Refused(
            text(
                "No row of the benchmark is called {names}; expected some of {rows}",
                names=", ".join(unknown),
                rows=", ".join(ROWS),
            )
        )
    return [name for name in ROWS if name in names]
