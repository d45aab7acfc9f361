"""How a query is read: every word of it must be found, in one of the ways a word can be meant."""

from __future__ import annotations

import string
from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

from zhike.customers.search.entry import FREQUENT, LETTERS, PREFIXES, RARE, grams
from zhike.customers.search.pinyin import LONGEST, completions, cuts
from zhike.customers.search.words import fold, pieces

WORDS = 16
"""Words of a query that count."""
GROUPS = 6
"""Sets of tokens that narrow a search down; the texts decide in any case."""
_INITIALS = frozenset(string.ascii_lowercase) - set("iuv")
_SETS = 3  # of one word
_TAIL = 4  # digits by which a phone is found

Groups = list[list[str]]
"""Sets of tokens; an entry must have one of each."""


class Term(NamedTuple):
    """One word of a query.

    Args:
        groups: What an entry that has the word has among its tokens; none when that says nothing.
        patterns: Of these pieces of text an entry has one exactly if it has the word.
        decided: Whether tokens say so too, so that texts need not be read.
    """

    groups: Groups
    patterns: list[str]
    decided: bool = False


class Query(NamedTuple):
    """A query as the index is asked."""

    groups: Groups
    patterns: list[list[str]]


def parse(q: str, fields: Collection[str], phone: str | None = None) -> Query | None:
    """Return how a query is looked for.

    Args:
        q: As it was typed.
        fields: The fields that may be searched, of `LETTERS`.
        phone: The query as a phone number in E.164, if it is one; then nothing else is meant.

    Returns:
        None if nobody can be found: there are no words, or only single letters.
    """
    if phone is not None:
        return Query([[f"{RARE}p{phone[-_TAIL:]}"]], [[f" {phone}#"]])
    words = list(dict.fromkeys(pieces(fold(q))))[:WORDS]
    terms = [_han(word, fields) if han else _letters(word, fields) for word, han in words]
    query = Query([], [])
    for term in sorted(terms, key=lambda term: -len(term.groups)):  # longer words are rarer
        if not term.decided or len(query.groups) == GROUPS:
            query.patterns.append(term.patterns)
        query.groups.extend(term.groups[: GROUPS - len(query.groups)])
    return query if query.groups else None


def _marked(
    fields: Collection[str], token: str, *, rare: bool, among: Collection[str] = ("name", "company")
) -> list[str]:
    return [(RARE if rare else FREQUENT) + LETTERS[field] + token for field in among if field in fields]


def _han(run: str, fields: Collection[str]) -> Term:
    """Han characters are found side by side."""
    groups = [_marked(fields, gram, rare=len(gram) > 1) for gram in grams(run, 2) or [run]]
    return Term(groups[:_SETS], [run], decided=len(run) <= 2)


def _letters(word: str, fields: Collection[str]) -> Term:
    """Letters begin a word, or are syllables or initials of characters side by side; 4 digits also end a phone."""
    if len(word) == 1:
        return Term([], [f" {word}", f"'{word}"])
    start = next(word[:length] for length in PREFIXES if length <= len(word))
    ways: list[Groups] = [[_marked(fields, start, rare=len(start) >= 4, among=("name", "company", "email"))]]
    patterns = [f" {word}"]
    if word.isascii() and word.isalpha():
        if _INITIALS.issuperset(word) and len(word) <= LONGEST:
            size = min(len(word), 3)
            ways.append([_marked(fields, gram, rare=size > 2) for gram in grams(word.upper(), size)])
            patterns.append(word.upper())
        for cut in cuts(word):
            ways.append(_spelled(["'" + syllable for syllable in cut], fields))
            patterns.append("'" + "'".join(cut))
    if word.isdecimal() and word.isascii() and len(word) == _TAIL and "phone" in fields:
        ways.append([[f"{RARE}p{word}"]])
        patterns.append(word + "#")
    decided = len(word) == len(start) and all(len(way) == 1 for way in ways)
    return Term(_together([way for way in ways if all(way)]), patterns, decided)


def _spelled(cut: list[str], fields: Collection[str]) -> Groups:
    """Syllables are found two by two; the last may go on."""
    rare = len(cut) > 1
    *pairs, last = map("".join, pairwise(cut)) if rare else cut
    before = last.rpartition("'")[0]
    ends = [before + "'" + syllable for syllable in completions(cut[-1][1:])]
    groups = [_marked(fields, pair, rare=True) for pair in pairs]
    return [*groups, [token for end in ends for token in _marked(fields, end, rare=rare)]]


def _together(ways: list[Groups]) -> Groups:
    """Return sets of which an entry has one each that has all sets of any way."""
    longest = min(max(map(len, ways), default=0), _SETS)
    return [list(dict.fromkeys(token for way in ways for token in way[min(n, len(way) - 1)])) for n in range(longest)]
