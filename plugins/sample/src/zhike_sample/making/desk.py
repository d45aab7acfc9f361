"""Makes what staff have arranged for themselves, and what they have decided about customers who are there twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from zhike.customers.duplicates.deciding import better_known, decide
from zhike.customers.duplicates.schemas import Decision
from zhike.customers.merging import MergeRequest, merge
from zhike.desk import views
from zhike.desk.views import NewView, Shared
from zhike.work import begin
from zhike_sample.making.care import people

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

# Those whom ingest has noticed share something and who are called alike; others are for the reader to decide.
_PAIRS = """
SELECT d.id, d.low_id, d.high_id FROM duplicate_candidate AS d
JOIN customer AS one ON one.id = d.low_id JOIN customer AS other ON other.id = d.high_id
WHERE d.state = 'open' AND one.merged_into IS NULL AND other.merged_into IS NULL AND one.name = other.name
ORDER BY d.id LIMIT 100
"""
_DECIDED = "SELECT EXISTS (SELECT FROM duplicate_candidate WHERE decided_by LIKE 'user:%')"
_DECISIONS: tuple[tuple[str, Literal["merge", "later"]], ...] = (
    ("su.jing", "merge"),
    ("lu.yiming", "merge"),
    ("su.jing", "merge"),
    ("lu.yiming", "later"),
)
"""Who has decided what about a pair."""
_VIEWED = "SELECT page || ' ' || name FROM saved_view"


class Kept(NamedTuple):
    """A saved view.

    Args:
        login: Whose.
        page: Of which list.
        name: Its name.
        query: What the list shows then.
        shared: Who sees it.
    """

    login: str
    page: str
    name: str
    query: Mapping[str, Any]
    shared: Shared = "me"


def _asking(*of: Mapping[str, Any]) -> dict[str, str]:
    return {"condition": msgspec.json.encode({"type": "all", "of": of}).decode()}


_BOUGHT = {"type": "event", "event": "order.paid", "measure": "count", "within": "P90D", "op": "gte", "value": 3}
_GOLD = {"type": "field", "field": "customer.attributes.member_level", "op": "in", "value": ["gold", "black"]}


def _kept(users: Mapping[str, int], teams: Mapping[str, int]) -> tuple[Kept, ...]:
    return (
        Kept("lu.yiming", "customers", "近 90 天三单以上", _asking(_BOUGHT), "all"),
        Kept("lu.yiming", "customers", "金卡与黑金会员", _asking(_GOLD), "all"),
        Kept("su.jing", "customers", "沉睡客户", {"stage": "dormant"}, "all"),
        Kept("jiang.chengzhi", "customers", "企业客户", {"kind": "company", "team": teams["大客户部"]}, "all"),
        Kept("admin", "customers", "待分配的新客", {"stage": "new", "sort": "-created_at"}),
        Kept("lin.wan", "customers", "我的客户", {"owner": users["lin.wan"]}),
        Kept("lin.wan", "customers", "我的忠诚客户", {"owner": users["lin.wan"], "stage": "loyal"}),
        Kept("lu.yiming", "tasks", "紧急任务", {"whose": "all", "priority": "urgent"}, "all"),
        Kept("su.jing", "tasks", "客服中心待办", {"whose": "all", "team": teams["客服中心"]}, "all"),
        Kept("admin", "tasks", "全部逾期", {"whose": "all", "due": "overdue"}),
    )


async def make(company: DemoContext) -> None:
    """Save views and decide on pairs; what is there already stays as it is."""
    company.say("保存视图、合并客户 · views and merges")
    platform = company.platform
    users, teams = await people(platform)
    async with platform.db.connection() as connection:
        known = {row[0] for row in await connection.fetch(_VIEWED)}
        decided = await connection.fetchval(_DECIDED)
        pairs = await connection.fetch(_PAIRS)
    for login, page, name, query, shared in _kept(users, teams):
        actor = await platform.directory.user(users[login])
        if actor is not None and f"{page} {name}" not in known:
            await views.create(platform.db, actor, NewView(page=page, name=name, query=dict(query), shared=shared))
    if decided:
        return
    some = pairs[: len(pairs) // 3]  # in a small company most are left for the reader as well
    for place, ((pair_id, *both), (login, decision)) in enumerate(zip(some, _DECISIONS, strict=False), start=2):
        actor = await platform.directory.user(users[login])
        if actor is not None and decision == "later":
            await decide(platform, actor, pair_id, Decision(decision=decision))
        elif actor is not None:
            at = company.now - timedelta(hours=place)
            async with begin(platform, origin=actor.origin, mode="backfill", now=at) as work:
                winner = await better_known(work.connection, both)
                losers = [each for each in both if each != winner]
                await merge(work, actor, MergeRequest(winner=winner or both[0], losers=losers))
