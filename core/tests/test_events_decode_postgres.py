"""What the decoder takes, PostgreSQL takes: checked with properties made to be on the edge."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from zhike.events.decode import decode_events
from zhike.settings import Settings

NOW = datetime(2025, 7, 1, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))
MANY = 4_000

NUMBERS = [
    *("0", "-0", "1e308", "1e309", "-1.8e308", "1E400", "1e-307", "1e-400", "1e-999", "1e-16383", "1e-16384"),
    *("0e-20000", "0e20000", "1e100000", "1.5e-16383", "9" * 308, "9" * 309, "9" * 400, "0." + "0" * 14_000 + "1"),
    *("0." + "0" * 16_382 + "1", "0." + "0" * 16_383 + "1", "0." + "0" * 15_500 + "1e-999", "12345678901234567890"),
    *("1e+0001", "1e-0001", "1e-000000000001", "123456789e-5", "18446744073709551616", "1E-12345678901234567890"),
]  # fmt: skip
TEXTS = [
    *(r"\u0000", r"\\u0000", r"\\\u0000", r"\u0001", r"\ud800", r"\ud83d\ude00", r"\ude00\ud83d", r"\udfff", r"\uFFFF"),
    *(
        "e-12345",
        "8e-1234-5678",
        "e-1234}",
        "1e-99999,",
        "你好",
        "😀",
        "\x7f",
        "\u0085",
        "\ufffe",
        "\u2028",
        r"\/\b\f",
        "]}",
    ),
    "00000000-0000-400e-8000-00000000000e-12345",
]


def properties(chance: random.Random) -> bytes:
    """Return a JSON object that is likely to be odd in one or two ways."""

    def value(depth: int) -> str:
        kind = chance.random()
        if depth and kind < 0.3:
            return "[" + ",".join(value(depth - 1) for _ in range(chance.randrange(4))) + "]"
        if depth and kind < 0.6:
            return (
                "{" + ",".join(f'"{chance.choice(TEXTS)}":{value(depth - 1)}' for _ in range(chance.randrange(3))) + "}"
            )
        if kind < 0.8:
            return chance.choice(["1", "2.5", "true", "null", *NUMBERS])
        return f'"{chance.choice(["", "plain", *TEXTS])}"'

    nested = chance.choice([0, 0, 0, 2, 29, 30, 31, 32, 33, 100])
    inner = value(chance.randrange(4))
    if chance.random() < 0.02:
        inner = '"' + "x" * chance.choice([15_000, 60_000, 65_520, 65_540]) + '"'
    brackets = [chance.choice(["[]", "{}"]) for _ in range(nested)]
    opening = "".join("[" if pair == "[]" else '{"k":' for pair in brackets)
    closing = "".join(pair[1] for pair in reversed(brackets))
    body = f'{{"a":{opening}{inner}{closing}}}'.encode()
    if chance.random() < 0.05:
        cut = chance.randrange(len(body))
        body = body[:cut] + chance.choice([b"\xff", b"\xc2", b"\xed\xa0\x80", b" "]) + body[cut:]
    return body


def item(body: bytes) -> bytes:
    return b'{"name":"a","identities":{"x":"1"},"properties":' + body + b"}"


async def test_whatever_is_taken_becomes_jsonb(empty_database_url: str) -> None:
    chance = random.Random(20250701)
    bodies = [properties(chance) for _ in range(MANY)]
    one_by_one: list[str] = []
    for body in bodies:
        accepted, rejected = decode_events(b'{"events":[' + item(body) + b"]}", "json", now=NOW, settings=SETTINGS)
        assert len(accepted) + len(rejected) == 1
        one_by_one += [event.properties for event in accepted]
    together: list[str] = []
    for start in range(0, MANY, 1_000):
        items = b",".join(map(item, bodies[start : start + 1_000]))
        accepted, _ = decode_events(b'{"events":[' + items + b"]}", "json", now=NOW, settings=SETTINGS)
        together += [event.properties for event in accepted]
    assert together == one_by_one
    assert MANY / 4 < len(together) < MANY * 3 / 4

    connection = await asyncpg.connect(empty_database_url)
    try:
        kept = await connection.fetch("SELECT x::jsonb::text AS x FROM unnest($1::text[]) AS t(x)", together)
    finally:
        await connection.close()
    assert len(kept) == len(together)
    assert max(len(row["x"]) for row in kept) < 100_000
