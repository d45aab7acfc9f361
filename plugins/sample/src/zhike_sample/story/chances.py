"""Draws from tables of weights, which are added up once."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Table(Generic[T]):
    """Things, some more likely than others.

    Args:
        weighted: Each with its weight.
    """

    def __init__(self, weighted: Iterable[tuple[T, float]]) -> None:
        pairs = list(weighted)
        self.things: Sequence[T] = [thing for thing, _ in pairs]
        self._sums = list(itertools.accumulate(weight for _, weight in pairs))

    def draw(self, chance: Random) -> T:
        """Return one of them."""
        return self.things[bisect_right(self._sums, chance.random() * self._sums[-1])]
