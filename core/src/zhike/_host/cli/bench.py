"""`zhike bench`: finds the benchmark, which is a distribution of its own, and runs it."""

from __future__ import annotations

from pathlib import Path

import click

from zhike.errors import Refused
from zhike.i18n import text


@click.command()
@click.option("--scale", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="1 is 1 M customers.")
@click.option("--only", help="Ids of rows joined by commas, such as I1,D3.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to this file.")
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Interleaved pairs of a row.")
def bench(scale: float, only: str | None, file: Path | None, pairs: int) -> None:
    """Measure the product against raw limits in the same run.

    It works on a temporary database of its own and touches nobody's data. The exit status is 1 if a row that
    gates is below 0.7 of its bar.
    """
    try:
        from zhike_bench import main
    except ModuleNotFoundError as missing:
        if missing.name != "zhike_bench":
            raise
        raise Refused(
            text("The benchmark is not installed; run `pip install zhike-bench`, or `make setup` in a clone")
        ) from None
    if not main.run(scale=scale, only=only, file=file, pairs=pairs, show=click.echo):
        raise click.exceptions.Exit(1)
