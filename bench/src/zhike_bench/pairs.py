"""The method: both sides by turns in one run, and the median of the pairs' ratios."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

from zhike_bench.bars import Row, judge, middle

Leg = Callable[[int], Awaitable[float]]  # the pair's number (0 is the warm-up) -> the figure in the bar's unit


async def interleave(identifier: str, scale: float, pairs: int, product: Leg, limit: Leg, *, warm: bool = True) -> Row:
    """Run `pairs` pairs, the order within a pair alternating, and return the row.

    Args:
        identifier: A key of `bars.BARS`.
        scale: The run's scale.
        pairs: How many pairs count.
        product: Runs the product's side once.
        limit: Runs the limit's side once.
        warm: Run one more pair first that does not count.
    """
    ratios: list[float] = []
    products: list[float] = []
    limits: list[float] = []
    for number in range(0 if warm else 1, pairs + 1):
        figures: dict[str, float] = {}
        for side in ("product", "limit") if number % 2 else ("limit", "product"):
            gc.collect()
            figures[side] = await (product if side == "product" else limit)(number)
        if number:
            ratios.append(figures["product"] / figures["limit"])
            products.append(figures["product"])
            limits.append(figures["limit"])
    return judge(identifier, scale, ratios, middle(products), middle(limits))


async def together(
    identifier: str, scale: float, pairs: int, both: Callable[[], Awaitable[tuple[float, float]]]
) -> Row:
    """Return the row of two sides that take turns within each pair, after one pair that does not count.

    Args:
        identifier: A key of `bars.BARS`.
        scale: The run's scale.
        pairs: How many pairs count.
        both: Runs a pair and returns the product's figure and the limit's.
    """
    measured = []
    for _ in range(pairs + 1):
        gc.collect()
        measured.append(await both())
    products, limits = zip(*measured[1:], strict=True)
    ratios = [product / limit for product, limit in measured[1:]]
    return judge(identifier, scale, ratios, middle(list(products)), middle(list(limits)))
