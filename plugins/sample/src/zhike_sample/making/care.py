"""Gives customers to teams and owners, and notes who works at which company."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from zhike.access.actor import Actor
from zhike.customers.field import STAFF as BY_STAFF
from zhike.customers.relating import relate
from zhike.customers.relation_schemas import NewRelation
from zhike.customers.said import Said
from zhike.customers.saving import save
from zhike.customers.target import locked
from zhike.work import begin
from zhike_sample.story.business import Contact
from zhike_sample.story.days import Days
from zhike_sample.story.lives import businesses
from zhike_sample.words.places import CITIES
from zhike_sample.words.staff import KEY_ACCOUNTS, STAFF

if TYPE_CHECKING:
    from zhike.contracts import DemoContext
    from zhike.platform import Platform

ACTOR = Actor.command("demo")
_SINCE = timedelta(days=21)
"""So long ago the customers were shared out; whoever came later waits for it."""
_AT_ONCE, _LANES = 500, 6
_REGION = {city.name: city.region for city in CITIES}
_LOOKED_AFTER = ("new", "active", "loyal", "dormant")

_CUSTOMERS = """
SELECT c.id, c.stage, c.attributes ->> 'city' AS city,
  (SELECT substr(i.value, 3, 5) FROM identity AS i
   WHERE i.customer_id = c.id AND i.namespace = 'external_id' AND i.value ~ '^Q[BC]' LIMIT 1) AS business
FROM customer AS c
WHERE c.merged_into IS NULL AND c.erased_at IS NULL AND c.name IS NOT NULL AND c.created_at < $1 ORDER BY c.id
"""
_KNOWN = """
SELECT i.value, c.id, c.created_at FROM identity AS i JOIN customer AS c ON c.id = i.customer_id
WHERE i.namespace = 'external_id' AND i.value ~ '^Q[BC]'
"""
_RELATED = "SELECT customer_id, other_customer_id FROM customer_relation"


async def people(platform: Platform) -> tuple[dict[str, int], dict[str, int]]:
    """Return the ids of users by login, and of teams by name."""
    async with platform.db.connection() as connection:
        users = await connection.fetch("SELECT login, id FROM app_user WHERE disabled_at IS NULL")
        teams = await connection.fetch("SELECT name, id FROM team")
    return {row[0]: row[1] for row in users}, {row[0]: row[1] for row in teams}


async def share_out(company: DemoContext) -> None:
    """Give customers to the teams of their regions, and those who buy to an owner there."""
    company.say("分配客户与负责人 · owners of customers")
    users, teams = await people(company.platform)
    advisors: dict[str, list[int]] = defaultdict(list)
    for person in STAFF:
        if person.role in {"advisor", "agent"}:
            advisors[person.team].append(users[person.login])
    async with company.platform.db.connection() as connection:
        rows = await connection.fetch(_CUSTOMERS, company.now - _SINCE)
    shares: dict[tuple[int | None, int], list[int]] = defaultdict(list)
    for row in rows:
        if row["business"]:
            team, owners = KEY_ACCOUNTS, advisors[KEY_ACCOUNTS]
            owner: int | None = owners[int(row["business"]) % len(owners)]
        elif (team := _REGION.get(row["city"] or "", "")) == "":
            continue
        else:
            owner = company.random.choice(advisors[team]) if row["stage"] in _LOOKED_AFTER else None
        shares[owner, teams[team]].append(row["id"])
    lots = [
        (Said({}, {"owner": owner, "team": team_id}, BY_STAFF), ids[start : start + _AT_ONCE])
        for (owner, team_id), ids in shares.items()
        for start in range(0, len(ids), _AT_ONCE)
    ]
    await _some_at_once([partial(_share, company, said, ids) for said, ids in lots])


async def _share(company: DemoContext, said: Said, ids: Sequence[int]) -> None:
    async with begin(company.platform, origin=ACTOR.origin, mode="backfill", now=company.now - _SINCE) as work:
        targets = await locked(work, ACTOR, ids, said)
        await save(work, ACTOR, [target for target in targets if target.draft.moved], BY_STAFF)


async def _some_at_once(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Call all, as many at a time as the database has connections to spare for: each mostly waits for answers."""
    waiting = iter(calls)

    async def lane() -> None:
        for call in waiting:
            await call()

    await asyncio.gather(*[lane() for _ in range(_LANES)])


async def relate_all(company: DemoContext) -> None:
    """Note who works at which company, as of the day both were known."""
    async with company.platform.db.connection() as connection:
        known = {row[0]: (row[1], row[2]) for row in await connection.fetch(_KNOWN)}
        related = {(row[0], row[1]) for row in await connection.fetch(_RELATED)}
    calls = []
    for business in businesses(Days(company.now), company.size):
        there = [(known[each.external_id], each) for each in business.contacts if each.external_id in known]
        if not there or business.external_id not in known:
            continue  # it comes after the end of the story
        whole, since = known[business.external_id]
        at = max(since, *(met for (_, met), _ in there))
        new = [(person, each) for (person, _), each in there if (person, whole) not in related]
        calls.append(partial(_relate, company, whole, new, at))
    await _some_at_once(calls)


async def _relate(company: DemoContext, whole: int, people: Sequence[tuple[int, Contact]], at: datetime) -> None:
    async with begin(company.platform, origin=ACTOR.origin, mode="backfill", now=at) as work:
        for person, contact in people:
            given = NewRelation(kind=contact.kind, other_customer_id=whole, title=contact.title, since=at.date())
            await relate(work, ACTOR, person, given)


async def make(company: DemoContext) -> None:
    """Share the customers out and relate those at companies to these."""
    await share_out(company)
    await relate_all(company)
