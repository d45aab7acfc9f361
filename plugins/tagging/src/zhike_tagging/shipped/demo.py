"""What tagging adds to the sample company: the shipped groups, tags given by hand, and how both grew."""

import math
from datetime import timedelta
from functools import partial

from zhike.access.actor import Actor
from zhike.conditions.standing import always
from zhike.contracts import DemoContext
from zhike.work import Work, begin
from zhike_tagging import actions, service
from zhike_tagging.conditions import RULES
from zhike_tagging.schemas import Adopt, Assign, NewGroup, NewTag

_GROUP = NewGroup(key="by_hand", name="人工标记", colour="blue", position=40)
# Names of its tags, each with the share of customers who get it at each instant of the history.
_BY_HAND = {"会员俱乐部": 0.006, "喜欢新品": 0.005, "投诉过": 0.002, "企业采购": 0.003}
# Customers of one transaction.
_AT_ONCE = 10_000
_THERE = "SELECT FROM tagging_group WHERE key = 'by_hand'"
# How far one that was cut off has come: who got a tag last, and when.
_LAST = """
SELECT valid_from, customer_id FROM tagging_assignment
WHERE valid_from = (SELECT max(valid_from) FROM tagging_assignment)
"""
_WHO = "SELECT max(id) FROM app_user WHERE role = 'admin'"
_PEOPLE = "SELECT id FROM customer WHERE merged_into IS NULL AND created_at < $1 ORDER BY id"


async def make(context: DemoContext) -> None:
    """Add groups and tags, and give them as of every sixth day of the two months before; what was cut off goes on."""
    platform = context.platform
    [(who,)] = await platform.db.fetch(_WHO)
    actor = await platform.directory.user(who) or Actor.system()
    instants = [context.now - timedelta(days=days) for days in range(60, 0, -6)]
    working = partial(begin, platform, origin=actor.origin, plugin="tagging", mode="backfill")
    if not await platform.db.fetch(_THERE):
        async with working(now=instants[0]) as work:
            await service.adopt(work, actor, Adopt())
            await service.create_group(work, actor, _GROUP)
            for name in _BY_HAND:
                await service.create_tag(work, actor, NewTag(group="by_hand", name=name))
    given = await platform.db.fetch(_LAST)
    done, last = {row["customer_id"] for row in given}, given[0]["valid_from"] if given else instants[0]
    for now in instants:
        context.say(f"打标签 · tags  {now:%Y-%m-%d}")
        people = [row[0] for row in await platform.db.fetch(_PEOPLE, now)]
        for start in range(0, len(people), _AT_ONCE):
            some = people[start : start + _AT_ONCE]
            chosen = {name: context.random.sample(some, math.ceil(len(some) * part)) for name, part in _BY_HAND.items()}
            if now > last or (now == last and done.isdisjoint(some)):
                async with working(now=now) as work:
                    await _give(work, actor, some, chosen)


async def _give(work: Work, actor: Actor, people: list[int], chosen: dict[str, list[int]]) -> None:
    rules = await RULES.lock(work)
    await RULES.settle(work, {rule.id: people for rule in rules}, always(None), rules)
    for name, some in chosen.items():
        await actions.assign(work, actor, Assign(customers=some, add=[name]))
