"""Text as search sees it: one form for all spellings of a letter, and the pieces it is made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_HAN = "〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_PIECE = re.compile(f"[{_HAN}]+|(?:(?![{_HAN}])[^\\W_])+")
_IS_HAN = re.compile(f"[{_HAN}]")
# Names are padded in forms (李　明) and foreign ones are dotted (阿凡提·买买提): both are typed without.
_BETWEEN = re.compile(f"(?<=[{_HAN}])[\\s·・‧•]+(?=[{_HAN}])")


def fold(value: str) -> str:
    """Return text without the differences search does not see: width, case, accents."""
    if value.isascii():
        return value.lower()
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", value).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in plain if unicodedata.category(c) != "Mn"))


def joined(folded: str) -> str:
    """Return folded text with Han characters closed up across blanks and middle dots."""
    return folded if folded.isascii() else _BETWEEN.sub("", folded)


def pieces(folded: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of folded text, and whether each is a run of Han characters or letters and digits."""
    for found in _PIECE.finditer(folded):
        word = found[0]
        yield word, _IS_HAN.match(word) is not None
