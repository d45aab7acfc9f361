"""Row N1: searching customers with Chinese names, against the shortest question there is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from zhike.access.actor import Actor
from zhike.customers import service
from zhike.customers.search import index
from zhike.customers.search.pinyin import readings
from zhike.orm import Database
from zhike_bench.bars import Row, middle
from zhike_bench.pairs import together
from zhike_bench.rows.queue import quantile
from zhike_bench.stage import Stage

QUERIES = 200
CHUNK = 5000

# The hundred most frequent surnames in their order; about as many people in a thousand have the first ones.
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范"
    "汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常"
)
_SHARES = [72, 72, 68, 54, 45, 31, 22, 21, 20, 20, 19, 15, 13, 13, 12, 12, 11, 11, 10, 9]
# Characters that given names are made of, the more frequent first.
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀英霞平刚桂兰玉华梅建国志文海波子涵浩宇轩梓欣怡雨晨佳琪思雅婷雪琳鑫鹏飞辉斌红燕春"
    "龙生林晓东俊峰云宏亮凯丹莉萍荣福德永新庆成立元利清天乐博睿泽瑞嘉诗语妍可心悦彤然奕辰一诺沐阳昊启铭楷书瑶若曦紫萱梦洁慧"
    "颖珊倩茜蕾薇菲柔婉秋月竹松柏山川河江湖星光耀祖宗贤良忠孝仁义礼智信"
)
_THREE = 0.82  # of all names have three characters


def _initials(name: str) -> str:
    return "".join([readings(character)[0][0] for character in name])


VARIANTS: dict[str, Callable[[str, random.Random], str]] = {
    "one character": lambda name, rng: rng.choice(name),
    "two": lambda name, _: name[:2],
    "three": lambda name, _: name[:3],
    "initials": lambda name, _: _initials(name),
    "last 4 digits": lambda _, rng: f"{rng.randrange(10_000):04d}",
}
"""What is typed to find somebody of that name."""


async def n1(stage: Stage) -> list[tuple[str, Row]]:
    """The 95th percentile of `GET /customers?q=` at the service, access included, page by page of 50.

    The limit is the same percentile of as many questions, asked by turns with the others: both meet the same load.
    """
    db, new = await stage.another("zhike_named")
    if new:
        await _fill(db, stage.customers)
    actor = Actor.of_token(1, "bench", "agent")
    rng = random.Random(5)
    named = _names(stage.customers)
    measured = []
    for variant, typed in VARIANTS.items():
        longest = [name for name in rng.choices(named, k=3 * QUERIES) if variant != "three" or len(name) == 3]
        queries = [typed(name, rng) for name in longest][: stage.leg(QUERIES)]

        async def both(queries: list[str] = queries) -> tuple[float, float]:
            searched, asked = zip(*[await _by_turns(db, actor, q) for q in queries], strict=True)
            return quantile(searched, 0.95), quantile(asked, 0.95)

        measured.append((variant, await together("N1", stage.scale, stage.pairs, both)))
    return measured


async def _by_turns(db: Database, actor: Actor, q: str) -> tuple[float, float]:
    """Search and ask for 1, three times, and return the middles in ms: a time slice lost is no property of a query."""
    searched, asked = [], []
    for _ in range(3):
        begun = time.perf_counter()
        await service.list_(db, actor, q=q)
        between = time.perf_counter()
        async with db.connection() as connection:
            await connection.fetchval("SELECT 1")
        searched.append((between - begun) * 1000)
        asked.append((time.perf_counter() - between) * 1000)
    return middle(searched), middle(asked)


def _names(count: int) -> list[str]:
    """Return names as frequent as they are in life; the same ones each time."""
    rng = random.Random(4)
    shares = _SHARES + [800 / (70 + rank) for rank in range(len(_SHARES), len(_SURNAMES))]
    weights = [1 / (5 + rank) ** 0.6 for rank in range(len(_GIVEN))]
    surnames, first, second = (
        rng.choices(among, given, k=count)
        for among, given in ((_SURNAMES, shares), (_GIVEN, weights), (_GIVEN, weights))
    )
    whole = zip(surnames, first, second, strict=True)
    return [a + b + c if rng.random() < _THREE else a + b for a, b, c in whole]


async def _fill(db: Database, count: int) -> None:
    names = _names(count)
    for start in range(0, count, CHUNK):
        ids = range(start + 1, min(start + CHUNK, count) + 1)
        phones = [f"+86138{number:08d}" for number in ids]
        async with db.transaction() as connection:
            await connection.execute(
                "INSERT INTO customer (id, name, phone) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])",
                list(ids),
                [names[number - 1] for number in ids],
                phones,
            )
            await connection.execute(
                "INSERT INTO identity (namespace, value, customer_id, home_customer_id) "
                "SELECT 'phone', value, id, id FROM unnest($1::text[], $2::bigint[]) AS n (value, id)",
                phones,
                list(ids),
            )
            await index.renew(connection, ids)
    async with db.connection() as connection:
        await connection.execute("VACUUM (ANALYZE) customer, identity, customer_search")
