"""What search finds: chosen cases, and many generated ones against the rules written out plainly."""

from __future__ import annotations

import itertools
import os
import random
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator

import pytest

from zhike.access.actor import Actor
from zhike.customers import service
from zhike.customers.search import index
from zhike.customers.search.pinyin import VARIANTS, cuts, readings, spellings, syllables
from zhike.orm import Database

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
ACTOR = Actor.command("test")
PHONES = ["+8613800138000", "+8613912340000", "+16502530000"]
NAMES = [
    "张三丰", "章三", "李 力", "曾庆红", "单雄信", "重庆火锅", "仇英", "解晓东", "区志明", "查良镛", "欧阳 娜娜",
    "阿卜杜拉·买买提", "張學友", "吕布", "李明 Leon Li", "Ｔｅｎｃｅｎｔ", "腾讯科技（深圳）有限公司", "José Álvarez",
    "Zhang San", "王😀五", "ABC-123", "3M中国", "𠮷野家", "张a三", "西安软件", "香港ⅣGPU", "straße 7", "한국 회사",
    "さくら",
]  # fmt: skip


async def names_found(database: Database, q: str, **page: int) -> list[str | None]:
    return [customer.name for customer in (await service.list_(database, ACTOR, q=q, **page)).items]


async def make(database: Database, rows: list[tuple[str | None, str | None, str | None, str | None]]) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO customer (name, company, email, phone) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])",
            *map(list, zip(*rows, strict=True)),
        )
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM customer")]
        await index.renew(connection, ids)


CASES = {
    "张": "张三丰|张a三",
    "张三": "张三丰",
    "张三丰": "张三丰",
    "三丰张": "",
    "张 丰": "张三丰",
    "zsf": "张三丰",
    "ZSF": "张三丰",
    "sf": "张三丰",
    "zhangsanfeng": "张三丰",
    "zhangsa": "张三丰|章三",
    "zhang san": "张三丰|章三|Zhang San|张a三",
    "zhang": "张三丰|章三|張學友|Zhang San|张a三",
    "张s": "张三丰|张a三",
    "wudang": "张三丰",
    "wds": "张三丰",
    "武当 zsf": "张三丰",
    "feng": "张三丰",
    "mail": "张三丰",
    "8000": "张三丰",
    "８０００": "张三丰",
    "13800138000": "张三丰",
    "+86 138 0013 8000": "张三丰",
    "0138": "",
    "李力": "李 力",
    "李": "李 力|李明 Leon Li",
    "li": "李 力|李明 Leon Li|查良镛",
    "zengqing": "曾庆红",
    "cengqing": "曾庆红",
    "shanxiong": "单雄信",
    "danx": "单雄信",
    "sxx": "单雄信",
    "chongqing": "重庆火锅",
    "zhongqing": "重庆火锅",
    "cqhg": "重庆火锅",
    "qiuying": "仇英",
    "xiexiao": "解晓东",
    "ouzhiming": "区志明",
    "zha": "张三丰|章三|張學友|Zhang San|张a三|查良镛",
    "zhal": "查良镛",
    "欧阳娜娜": "欧阳 娜娜",
    "oynn": "欧阳 娜娜",
    "拉买": "阿卜杜拉·买买提",
    "阿卜杜拉·买买提": "阿卜杜拉·买买提",
    "张学友": "",
    "zhangxueyou": "張學友",
    "lvbu": "吕布",
    "lubu": "吕布",
    "lübu": "吕布",
    "leo": "李明 Leon Li",
    "tencent": "Ｔｅｎｃｅｎｔ",
    "encent": "",
    "腾讯 深圳": "腾讯科技（深圳）有限公司",
    "txkj": "腾讯科技（深圳）有限公司",
    "jose ALVAREZ": "José Álvarez",
    "josé": "José Álvarez",
    "五": "王😀五",
    "😀": "",
    "abc": "ABC-123",
    "abc-123": "ABC-123",
    "3m": "3M中国",
    "𠮷": "𠮷野家",
    "yejia": "𠮷野家",
    "xian": "张三丰|腾讯科技（深圳）有限公司|西安软件|香港ⅣGPU",
    "xi'an": "西安软件",
    "STRASSE": "straße 7",
    "한국": "한국 회사",
    "さく": "さくら",
    "iv": "香港ⅣGPU",
    "%": "",
    "_": "",
    "张%": "张三丰|张a三",
    "\\": "",
    "'; DROP TABLE customer": "",
    "z": "",
    "\0": "",
    "…！？": "",
}
"""What is typed to whom it finds."""


async def fill(url: str) -> None:
    """Make customers called as `NAMES` say, the first of which also has a firm, an address and a phone."""
    database = await Database.open(url)
    known = (NAMES[0], "武当山有限公司", "feng.zhang@Mail.example", PHONES[0])
    await make(database, [known, *[(name, None, None, None) for name in NAMES[1:]]])
    await database.close()


@pytest.fixture
async def people(filled_url: str) -> AsyncIterator[Database]:
    database = await Database.open(filled_url)
    yield database
    await database.close()


async def test_cases(people: Database) -> None:
    for q, names in CASES.items():
        expected = sorted(names.split("|")) if names else []
        assert sorted(map(str, await names_found(people, q))) == expected, q


STRANGE = [
    "a" * 200, "an" * 100, "zhangxian" * 20, " ".join(f"w{n}" for n in range(40)), "张" * 200, "1" * 200,
    "张三" + " q" * 90, "a b c d e f g h", "xi" * 20 + "张", "\u202e\ufeff", "٣٤٥٦",
]  # fmt: skip


async def test_whatever_is_typed_is_answered(people: Database) -> None:
    for q in STRANGE:
        assert await names_found(people, q) == [], q
    assert len(cuts("xian" * 10)) == VARIANTS


async def test_blank_asks_for_everybody(people: Database) -> None:
    assert await names_found(people, " \t") == list(reversed(NAMES))


def test_readings_are_bounded() -> None:
    assert readings("单") == ("dan", "shan", "chan")
    assert readings("𪚥")  # one that the table has, outside the usual planes
    assert len(syllables()) > 400
    ways = spellings("单" * 30)
    assert len(ways) <= VARIANTS
    assert ways[0] == ["dan"] * 30


# The rules, written out without tokens: readings of characters are taken from the product, which the cases above check.


def is_han(character: str) -> bool:
    return character == "〇" or unicodedata.name(character, "").startswith("CJK UNIFIED")


def split(value: str) -> list[str]:
    """Return runs of Han characters and runs of other letters and digits, in lower case."""
    marks = {c: " " if c.isspace() or c in "·・" else "\1" for c in value if not c.isalnum()}
    marked = "".join(f"\0{c}" if is_han(c) else marks.get(c, c) for c in unicodedata.normalize("NFKC", value))
    closed = re.sub(r"(\0.)([^\0]*?)(?=\0)", lambda found: found[0] if found[2].strip() else found[1], marked)
    return [word.replace("\0", "") for word in re.findall(r"(?:\0.)+|[^\0\1\s]+", closed.casefold())]


def spoken(run: str) -> Iterator[list[str]]:
    """Yield the readings of every piece of a run."""
    for way in spellings(run):
        for start, end in itertools.combinations(range(len(run) + 1), 2):
            yield way[start:end]


def is_whole(word: str) -> bool:
    return not word or any(word.startswith(s) and is_whole(word[len(s) :]) for s in syllables())


def says(word: str, syllables_: list[str]) -> bool:
    """Say whether a word is syllables, of which the last goes on, or their initials."""
    if len(word) > 1 and word == "".join(s[0] for s in syllables_):
        return True
    *before, last = syllables_
    start = "".join(before)
    rest = word[len(start) :]
    finished = rest in syllables() or len(word) == 1
    return word.startswith(start) and rest != "" and last.startswith(rest) and (finished or not is_whole(word))


def naive(word: str, texts: list[str], address: str, phone: str) -> bool:
    """Say whether a customer has one word of a query."""
    words = [piece for text in texts for piece in split(text)]
    if is_han(word[0]):
        return any(word in run for run in words if is_han(run[0]))
    if any(piece.startswith(word) for piece in [*words, *split(address)] if not is_han(piece[0])):
        return True
    if len(word) == 4 and word.isdigit() and phone.endswith(word):
        return True
    return any(says(word, way) for run in words if is_han(run[0]) for way in spoken(run))


async def test_search_follows_the_rules(database: Database) -> None:
    rng = random.Random(20)
    letters = [
        "张",
        "章",
        "单",
        "曾",
        "三",
        "丰",
        "安",
        "力",
        "李",
        "重",
        "庆",
        "先",
        "an",
        "li",
        "Zh",
        "3",
        " ",
        "-",
        "Ａ",
    ]

    def some(most: int) -> str:
        return "".join(rng.choices(letters, k=rng.randint(1, most)))

    rows = [(some(4), some(6) if rng.random() < 0.3 else None, "li.an@x.cn", rng.choice(PHONES)) for _ in range(80)]
    await make(database, rows)
    sounds = [sound for c in letters if len(c) == 1 and is_han(c) for sound in readings(c)]
    found = 0
    for _ in range(round(2500 * SCALE)):
        kind = rng.random()
        if kind < 0.4:
            q = "".join(rng.choices(sounds, k=rng.randint(1, 3)))[: rng.randint(2, 12)]
        elif kind < 0.6:
            q = "".join(rng.choices("zsfaldcqx", k=rng.randint(2, 4)))
        else:
            q = some(3)
        q += rng.choice(["", "", f" {some(2)}", " 0000", " l"])
        words = [word for word in re.findall(r"\S+", q) for word in split(word)]
        if all(len(word) == 1 and not is_han(word) for word in words):
            continue  # single letters find nobody
        expected = [
            name
            for name, company, address, phone in reversed(rows)
            if words and all(naive(word, [name, company or ""], address, phone) for word in words)
        ]
        assert await names_found(database, q, limit=1000) == expected, q
        found += bool(expected)
    assert found > 50 * SCALE
