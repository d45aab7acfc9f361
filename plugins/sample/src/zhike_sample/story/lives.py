"""All that happened, in the order it happened, as many customers at a time as fit well into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zhike_sample.story.business import Business
from zhike_sample.story.days import Days
from zhike_sample.story.diary import Diary, Entry, Note
from zhike_sample.story.others import twin, visitor
from zhike_sample.story.shopper import Shopper

GROUP = 6_000
"""Consumers whose lives are told together: about 270,000 events, 200 MB."""
SEED = "青禾生活"
_VISITORS, _BUSINESSES = 0.14, 0.044
"""Beside one consumer."""


class Chapter(NamedTuple):
    """What happened to a group of customers.

    Args:
        entries: Events, by time.
        notes: What else was noted of them, by time.
    """

    entries: list[Entry]
    notes: list[Note]


def businesses(days: Days, size: int, seed: str = SEED) -> Iterator[Business]:
    """Yield the companies of a story with `size` customers, in their order."""
    for number in range(1, int(size * _BUSINESSES) + 1):
        yield Business(number, days, seed)


def chapters(days: Days, size: int, seed: str = SEED) -> Iterator[Chapter]:
    """Yield the story of `size` customers, of the same people for the same arguments.

    Args:
        days: The days of the story.
        size: How many customers there are; visitors whom nobody knows come on top.
        seed: Another one gives other people.
    """
    consumers = size - sum(1 + len(each.contacts) for each in businesses(days, size, seed))
    for first in range(1, consumers + 1, GROUP):
        last = min(first + GROUP, consumers + 1)
        yield _chapter(_lives(days, first, last, size if first == 1 else 0, seed))


def _lives(days: Days, first: int, last: int, size: int, seed: str) -> Iterator[Diary]:
    for number in range(first, last):
        shopper = Shopper(number, days, seed)
        lived = [shopper.live(), twin(shopper, days, seed)]  # which tells of the first one too
        yield from filter(None, lived)
    for number in range(int(first * _VISITORS), int(last * _VISITORS)):
        yield visitor(number, days, seed)
    for business in businesses(days, size, seed):
        yield from business.live()


def _chapter(lives: Iterable[Diary]) -> Chapter:
    entries: list[Entry] = []
    notes: list[Note] = []
    for diary in lives:
        entries += diary.entries
        notes += diary.notes
    entries.sort(key=lambda entry: entry[:2])
    notes.sort(key=lambda note: note.at)
    return Chapter(entries, notes)
