"""Readings of Han characters without tones, and how a word of letters may be cut into them."""

from __future__ import annotations

import importlib.util
import itertools
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

import msgspec

VARIANTS = 8
"""How many ways to read a run of characters are indexed, and how many ways to cut a word are looked for."""
LONGEST = 40
"""Letters up to which a word is taken for pinyin."""
_LONGEST_SYLLABLE = 6
UNKNOWN = "?"
"""Stands for the reading of a character that has none."""

# Beside the reading that the table gives first, those that occur in names of people, places and firms.
_MORE = dict(
    re.findall(
        r"(\S)([a-z/]+)",
        """
    单shan/chan 曾zeng 仇qiu 解xie 区ou 查zha 盖ge 翟zhai 乐yue 缪miao 宓fu 冼xian 覃qin 车ju 牟mu 朴piao/po 尉yu 万mo
    俟qi 朝zhao 藏zang 会kuai 调tiao 传zhuan 茜xi 莎suo 晟sheng 盛cheng 秘bi 那na 员yun 召shao 折she 种chong 都du 柏bo
    卜bu 重chong 長zhang 长chang 行hang 繁po 洗xian 六lu 阿e 便pian 度duo 大dai 参shen/can 系ji 校jiao 强jiang 降xiang
    角jue 觉jiao 给ji 还huan/hai 没mo/mei 率lv/shuai 弹tan/dan 模mu 省xing 宿su/xiu 似shi/si 提di 粘zhan/nian 殷yan/yin
    贾gu 俞shu 隗wei/kui 谌shen/chen 佴er/nai 郗chi/xi 郇huan/xun 令ling 娜nuo/na 蚌bang/beng 堡pu/bao 埔bu/pu 番pan
    勒lei 薄bo/bao 差chai 地de/di 着zhe/zhuo 兴xing 得dei 樂yue 單shan/chan 區ou 萬mo 車ju 會kuai 調tiao 傳zhuan 員yun
    種chong 蓋ge 繆miao 覺jiao 澹tan/dan 洞tong 圩xu/wei 厦sha/xia 广guang 厂chang 夏xia 石shi 合he 和he 宁ning 相xiang
    """,
    )
)


@lru_cache(8192)
def readings(character: str) -> tuple[str, ...]:
    """Return the readings of a Han character that are indexed, the usual one first; ü is v and u, as people type it."""
    first = _toneless(_table().get(ord(character), UNKNOWN).partition(",")[0])
    both = [
        reading for one in (first, *_MORE.get(character, "").split("/")) for reading in (one, one.replace("v", "u"))
    ]
    return tuple(dict.fromkeys(filter(None, both)))


def spellings(run: str) -> list[list[str]]:
    """Return the ways to read a run of Han characters, at most `VARIANTS`, the usual one first.

    Where the readings of several characters would make more, the later ones have only their first.
    """
    ways: list[list[str]] = [[]]
    for character in run:
        choice = readings(character)
        if len(ways) * len(choice) > VARIANTS:
            choice = choice[:1]
        ways = [[*way, reading] for way in ways for reading in choice]
    return ways


def cuts(word: str) -> list[tuple[str, ...]]:
    """Return the ways to cut a word into syllables, at most `VARIANTS`, those with the longest first.

    Only if there is none, the last syllable may be unfinished: `zhangs`, but not `zhan` and `g`.
    """
    if len(word) > LONGEST:
        return []
    return _cut(word, {len(word)}) or _cut(word, {place for place in range(len(word)) if completions(word[place:])})


def _cut(word: str, ends: set[int]) -> list[tuple[str, ...]]:
    """Cut a word into whole syllables up to one of some places, and a rest."""
    whole = syllables()
    # From where an end can be reached: without this, dead ends would cost exponential time.
    good = set(ends)
    for place in reversed(range(len(word))):
        if any(word[place:end] in whole and end in good for end in range(place + 1, place + _LONGEST_SYLLABLE + 1)):
            good.add(place)

    def walk(place: int) -> Iterator[tuple[str, ...]]:
        if place in ends:
            yield (word[place:],) if word[place:] else ()
        for end in range(min(place + _LONGEST_SYLLABLE, len(word)), place, -1):
            if end in good and word[place:end] in whole:
                for rest in walk(end):
                    yield (word[place:end], *rest)

    return list(itertools.islice(walk(0), VARIANTS)) if 0 in good else []


@lru_cache(1024)
def completions(start: str) -> tuple[str, ...]:
    """Return the syllables that begin so."""
    return tuple(sorted(syllable for syllable in syllables() if syllable.startswith(start)))


@cache
def syllables() -> frozenset[str]:
    """Return every syllable that characters are read as, about 400."""
    spoken = {reading for readings in _table().values() for reading in readings.split(",")}
    plain = {_toneless(reading) for reading in spoken}
    return frozenset(
        form
        for reading in plain | {reading for more in _MORE.values() for reading in more.split("/")}
        for form in (reading, reading.replace("v", "u"))
        if set(form) & set("aeiouv")
    )


@cache
def _table() -> dict[int, str]:
    """Return code point to readings with tones, joined by commas.

    The package would load its phrases too and take nine times the memory, so that its table is read without it.
    """
    package = importlib.util.find_spec("pypinyin")
    if package is None or not package.origin:
        raise RuntimeError("pypinyin is not installed")
    return msgspec.json.decode(Path(package.origin).with_name("pinyin_dict.json").read_bytes(), type=dict[int, str])


def _toneless(reading: str) -> str:
    letters = unicodedata.normalize("NFD", reading).replace("u\u0308", "v")
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
