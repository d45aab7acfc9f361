"""How pairs are run, judged and written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zhike.errors import Refused
from zhike_bench import main, report
from zhike_bench.bars import BARS, judge
from zhike_bench.pairs import interleave
from zhike_bench.rows import ROWS, Measured
from zhike_bench.rows.queue import quantile
from zhike_bench.stage import Stage
from zhike_limits.tickets import RedisServer


async def test_sides_take_turns_and_the_warm_up_does_not_count() -> None:
    seen: list[str] = []
    products = iter([1000.0, 8.0, 2.0, 6.0])

    async def product(number: int) -> float:
        seen.append(f"product {number}")
        return next(products)

    async def limit(number: int) -> float:
        seen.append(f"limit {number}")
        return 10.0

    row = await interleave("I1", 0.1, 3, product, limit)
    assert seen == [
        f"{side} {n}" for n in range(4) for side in (("product", "limit") if n % 2 else ("limit", "product"))
    ]
    assert (row.value, row.low, row.high, row.pairs) == (0.6, 0.2, 0.8, 3)
    assert (row.product, row.limit) == (6.0, 10.0)


def test_the_value_is_the_median_of_the_ratios_and_not_the_ratio_of_the_medians() -> None:
    row = judge("I1", 1, [0.5, 0.9, 0.7, 0.8], 1, 1)
    assert row.value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("identifier", "value", "failed"),
    [
        ("I1", 0.70, False),
        ("I1", 0.491, False),
        ("I1", 0.489, True),
        ("E1", 4, False),
        ("E1", 5.7, False),
        ("E1", 5.8, True),
    ],
)
def test_a_row_fails_below_seven_tenths_of_its_bar_in_either_direction(
    identifier: str, value: float, failed: bool
) -> None:
    assert judge(identifier, 1, [value], 1, 1).failed is failed


def test_a_bar_may_differ_with_the_scale() -> None:
    assert judge("D3", 0.1, [0.01], 1, 1).bar == pytest.approx(1 / 60)
    assert judge("D3", 1, [0.01], 1, 1).bar == pytest.approx(1 / 1000)


@pytest.mark.parametrize(("identifier", "scale", "gates"), [("Q3", 1, True), ("Q3", 0.1, False), ("I6", 1, False)])
def test_some_rows_fail_a_run_only_at_full_size_or_never(identifier: str, scale: float, gates: bool) -> None:
    row = judge(identifier, scale, [0.1], 1, 10)
    assert row.failed
    assert BARS[identifier].gates(scale) is gates
    (line,) = report.lines([("", row)], scale)
    assert (" FAILS " in line, " below* " in line) == (gates, not gates)


def test_of_two_variants_the_worse_one_counts() -> None:
    good, bad = judge("I1", 1, [0.9], 1, 1), judge("I1", 1, [0.6], 1, 1)
    assert report.worst([("batches of 100", good), ("batches of 1000", bad)]) is bad


def test_rows_are_written_as_the_contract_says(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    report.write(file, [judge("D3", 1, [0.0004, 0.0005, 0.0006], 0.5, 1000)])
    assert json.loads(file.read_text()) == [
        {
            "id": "D3", "value": 0.0005, "bar": 0.001, "direction": "lower", "low": 0.0004, "high": 0.0006,
            "pairs": 3, "product": 0.5, "limit": 1000.0, "unit": "ms",
        }
    ]  # fmt: skip


def test_every_bar_has_its_row_and_every_line_says_how_it_went() -> None:
    assert set(ROWS) == set(BARS)
    (good,) = report.lines([("", judge("I5", 1, [3.5], 7, 2))], 1)
    assert " ok " in good
    (low,) = report.lines([("", judge("I5", 1, [2.5], 5, 2))], 1)
    assert " below " in low
    (bad,) = report.lines([("", judge("I5", 1, [1.0], 2, 2))], 1)
    assert " FAILS " in bad


def test_a_row_that_cannot_be_measured_here_says_so_and_is_not_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RedisServer, "program", staticmethod(lambda: None))
    shown: list[str] = []
    assert main.run(scale=0.001, only="Q2", file=tmp_path / "rows.json", pairs=1, show=shown.append)
    assert [line for line in shown if line.startswith("Q2 ") and "SKIPPED: redis-server is not installed" in line]
    assert json.loads((tmp_path / "rows.json").read_text()) == []


@pytest.mark.parametrize(("second", "passes"), [(0.9, True), (0.2, False)])
def test_a_row_that_would_fail_is_measured_again_with_more_pairs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: float, passes: bool
) -> None:
    measured: list[int] = []

    async def row(stage: Stage) -> Measured:
        measured.append(stage.pairs)
        return [("", judge("I1", stage.scale, [0.1 if stage.pairs == 2 else second] * stage.pairs, 1, 1))]

    monkeypatch.setitem(ROWS, "I1", row)
    file = tmp_path / "rows.json"
    assert main.run(scale=0.001, only="I1", file=file, pairs=2, show=lambda _line: None) is passes
    assert measured == [2, 6]
    assert [(one["value"], one["pairs"]) for one in json.loads(file.read_text())] == [(second, 6)]


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile(list(range(100, 0, -1)), share) == value


def test_an_unknown_row_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"X9.*expected some of I1"):
        main.run(scale=0.001, only="I1,X9", file=None, pairs=1, show=print)
