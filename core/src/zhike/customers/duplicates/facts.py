"""What is compared of a customer, in one form for all spellings, and the keys that bring those together who are alike.

Nobody is compared with everybody: only who shares a key, which is a hash of two facts, such as a name and the last
four digits of a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from asyncpg import Record

from zhike.customers.search.index import normal_phone
from zhike.customers.search.pinyin import UNKNOWN, spellings
from zhike.customers.search.words import fold, joined, pieces
from zhike.orm import Connection

TAIL = 4
"""Digits at the end of a phone number that people tell each other."""
MOST = 5
"""Phone numbers and e-mail addresses of a customer that are compared."""
_LONGEST = 200
_SHORTEST = 2  # characters of a name that says who somebody is
_SHORTEST_FIRM = 3  # characters of a company's name that tells it from others without its place

_READ = """
SELECT c.id, c.kind, c.name, c.company, c.phone, c.email,
  CASE WHEN jsonb_typeof(c.attributes->'city') = 'string' THEN c.attributes->>'city' END AS city,
  CASE WHEN jsonb_typeof(c.attributes->'birthday') = 'string' THEN c.attributes->>'birthday' END AS birthday,
  ARRAY(SELECT value FROM identity AS i WHERE i.customer_id = c.id AND i.namespace = 'phone' LIMIT 5) AS phones,
  ARRAY(SELECT value FROM identity AS i WHERE i.customer_id = c.id AND i.namespace = 'email' LIMIT 5) AS emails
FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND c.merged_into IS NULL AND c.erased_at IS NULL
"""

_TITLES = ("先生", "女士", "小姐")
_BRACKETS = re.compile(r"[(\[【〔][^)\]】〕]*[)\]】〕]")
_LEGAL = re.compile(
    r"(?:有限责任|股份|有限|集团|总|分|控股)*公司$|(?:集团|控股|股份|个体工商户)$"
    r"|[\s,.]+(?:co|corp|corporation|company|inc|incorporated|llc|ltd|limited|gmbh|plc)\.?$"
)
_PLACES = re.compile(
    "^(?:中国|(?:北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州"
    "|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)(?:省|市|自治区)?"
    "|(?:石家庄|太原|沈阳|大连|长春|哈尔滨|南京|苏州|无锡|常州|南通|徐州|杭州|宁波|温州|嘉兴|绍兴|金华|合肥|福州|厦门|泉州"
    "|南昌|济南|青岛|烟台|潍坊|郑州|洛阳|武汉|长沙|广州|深圳|珠海|佛山|东莞|中山|惠州|海口|三亚|成都|绵阳|贵阳|昆明|西安|兰州"
    "|西宁|呼和浩特|南宁|拉萨|银川|乌鲁木齐)市?)"
)


class Facts(NamedTuple):
    """What is compared of a customer.

    Args:
        id: Its id.
        kind: `person` or `company`.
        name: Its name without what spellings differ in; of a company, without legal form and place.
        reading: How that is read, without tones.
        company: Where a person works, likewise.
        city: Its city.
        birthday: As it is stored.
        phones: In E.164.
        emails: What stands before the `@`.
    """

    id: int
    kind: str
    name: str
    reading: str
    company: str
    city: str
    birthday: str
    phones: frozenset[str]
    emails: frozenset[str]


async def read(connection: Connection, customers: Collection[int]) -> dict[int, Facts]:
    """Return the facts of customers who are neither merged away nor erased."""
    return {row["id"]: facts_of(row) for row in await connection.fetch(_READ, list(customers))}


def facts_of(row: Record) -> Facts:
    """Return the facts in a row of the customers."""
    firm = row["kind"] == "company"
    name = company_name(row["name"] or "") if firm else person_name(row["name"] or "")
    phones = [number for value in (*row["phones"], row["phone"]) if (number := normal_phone(value))]
    emails = [local for value in (*row["emails"], row["email"]) if value and (local := _local(value))]
    return Facts(
        id=row["id"],
        kind=row["kind"],
        name=name,
        reading=reading_of(name),
        company=company_name(row["company"] or ""),
        city=_plain(row["city"] or "").removesuffix("市"),
        birthday=(row["birthday"] or "")[:_LONGEST],
        phones=frozenset([each for each in phones[:MOST] if len(each) > 2 * TAIL]),
        emails=frozenset(emails[:MOST]),
    )


def keys_of(facts: Facts) -> dict[int, str]:
    """Return the keys of a customer, each with the rule it serves."""
    return {_hash(facts.kind, rule, *parts): rule for rule, *parts in _keys(facts)} if facts.name else {}


def _keys(facts: Facts) -> Iterator[Sequence[str]]:
    if facts.kind == "company":
        yield "company_name", facts.name
    for phone in facts.phones:
        # Of two numbers that differ by a slip one half is the same. Who has the same name is read the same.
        yield "phone_tail", facts.reading, phone[-TAIL:]
        yield "phone_typo", facts.name, phone[:-TAIL]
    for local in facts.emails:
        yield "name_email", facts.name, local
    if facts.birthday:
        yield "name_birthday", facts.reading, facts.birthday
    if facts.company:
        yield "name_company", facts.name, facts.company
    if facts.city:
        yield "name_city", facts.name, facts.city


def person_name(value: str) -> str:
    """Return a person's name as it is compared, or nothing if it is too short to say who somebody is."""
    name = _plain(value)
    for title in _TITLES:
        if len(name) >= _SHORTEST + len(title):
            name = name.removesuffix(title)
    return name if len(name) >= _SHORTEST else ""


@lru_cache(4096)
def company_name(value: str) -> str:
    """Return a company's name without legal form, brackets and the place before it."""
    whole = joined(fold(value[:_LONGEST])).strip()
    name = _BRACKETS.sub("", whole)
    while (shorter := _LEGAL.sub("", name).strip()) != name:
        name = shorter
    while len(shorter := _PLACES.sub("", name)) >= _SHORTEST_FIRM and shorter != name:
        name = shorter
    plain = _words(name) or _words(whole)
    return plain if len(plain) >= _SHORTEST else ""


@lru_cache(4096)
def reading_of(name: str) -> str:
    """Return how a name is read; `张伟` and `zhangwei` are read the same."""
    read = []
    for piece, han in pieces(name):
        syllables = spellings(piece)[0] if han else [piece]
        read.append(piece if UNKNOWN in syllables else "".join(syllables))
    return "".join(read)


def _plain(value: str) -> str:
    return _words(joined(fold(value[:_LONGEST])))


def _words(folded: str) -> str:
    return "".join([word for word, _ in pieces(folded)])


def _local(address: str) -> str:
    return address.lower().partition("@")[0].partition("+")[0]


def _hash(*parts: str) -> int:
    return int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=8).digest(), "big", signed=True)
