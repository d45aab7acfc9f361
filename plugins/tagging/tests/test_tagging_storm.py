"""Whatever happens in whatever order: what was kept up to date step by step is what a full evaluation finds."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from zhike.access.actor import Actor
from zhike.consumers import service as consumers


def measured(event, measure, op, value, within=None):
    more = {} if within is None else {"within": within}
    of = {"of": "amount"} if measure == "sum" else {}
    return {"type": "event", "event": event, "measure": measure, "op": op, "value": value, **more, **of}


def city(value):
    return {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": value}


CONDITIONS = [
    measured("order.paid", "count", "gte", 2, "P3D"),
    measured("order.paid", "sum", "gt", 30),
    measured("*", "count", "eq", 0, "P1D"),
    measured("*", "days_since_last", "gte", 2),
    {"type": "not", "of": measured("app.login", "count", "gte", 1, "PT6H")},
    {"type": "all", "of": [city("上海"), measured("*", "active_days", "gte", 2, "P7D")]},
    {"type": "trend", "event": "*", "measure": "count", "within": "P2D", "op": "gt", "value": 0},
    {"type": "field", "field": "customer.created_at", "op": "within_last", "value": "P2D"},
    {"type": "field", "field": "tags", "op": "contains", "value": "手工"},
]
NAMES = ("page.viewed", "app.login", "order.paid")


class Storm:
    """Random things that happen to a few people."""

    def __init__(self, tagging, clock, seed):
        self.tagging, self.clock, self.random = tagging, clock, random.Random(seed)
        self.tags, self.merges, self.people = [], [], set()
        self.latest = clock.instant

    async def begin(self):
        await self.tagging.group("free")
        await self.tagging.group("one", exclusive=True)
        self.by_hand = await self.tagging.tag("free", "手工")
        for number, condition in enumerate(CONDITIONS):
            group = "one" if number in {0, 3, 5} else "free"
            tag = await self.tagging.tag(group, f"t{number}", position=number % 4, condition=condition)
            self.tags.append(tag)
        self.tags.append(await self.tagging.tag("one", "钉住"))

    async def events(self):
        days = self.random.choice([0, 0, 0, 1, 2.5, -0.5])
        at = self.clock.instant - timedelta(days=days, seconds=self.random.random() * 600)
        for _ in range(self.random.randint(1, 4)):
            who = {"external_id": f"p{self.random.randint(1, 8)}"}
            if self.random.random() < 0.1:
                who["device_id"] = f"d{self.random.randint(1, 3)}"
            event = {"name": self.random.choice(NAMES), "identities": who, "occurred_at": at.isoformat()}
            if self.random.random() < 0.3:
                event["traits"] = {"city": self.random.choice(["上海", "北京", None])}
            if event["name"] == "order.paid":
                event["amount"] = str(self.random.randint(1, 20))
            [stored] = await self.tagging.record(event)
            self.people.add(stored.customer_id)

    async def by_hands(self):
        tag = self.random.choice([self.by_hand, self.tags[-1]])
        side = self.random.choice(["add", "remove"])
        await self.tagging.assign(self.random.sample(sorted(self.people), k=min(3, len(self.people))), **{side: [tag]})

    async def merge(self):
        pair = self.random.sample(sorted(self.people), k=2)
        given = {"winner": pair[0], "losers": pair[1:], "mixed": True}
        answer = await self.tagging.client.post("/api/v1/customers/merge", json=given)
        if answer.status_code == 200:
            self.merges.append(answer.json()["merge_id"])

    async def unmerge(self):
        if self.merges:
            given = {"merge_id": self.merges.pop()}
            await self.tagging.client.post("/api/v1/customers/unmerge", json=given)

    async def rule(self):
        place = self.random.randrange(len(self.tags) - 1)
        condition = self.random.choice(CONDITIONS[:-1]) if place < len(CONDITIONS) - 1 else CONDITIONS[-1]
        more = {"condition": condition, "position": self.random.randrange(4)}
        self.tags[place] = await self.tagging.change(self.tags[place], **more)

    async def jump(self):
        self.clock.advance(minutes=self.random.choice([1, 30, 600, 3000, -20]))
        self.latest = max(self.latest, self.clock.instant)

    async def step(self):
        what = [self.events] * 5 + [self.by_hands, self.merge, self.unmerge, self.rule, self.jump, self.jump]
        await self.random.choice(what)()
        if self.random.random() < 0.4:
            await self.tagging.idle()

    async def settled(self):
        """Return what is, and what a full evaluation finds."""
        is_, expected, taken = {}, {}, {p for p in self.people if "钉住" in await self.tagging.names(p)}
        for tag in sorted(self.tags[:-1], key=lambda tag: (tag["position"], tag["id"])):
            found = await self.tagging.ask("POST", "/customers/search", condition=tag["condition"], limit=1000)
            right = {each["id"] for each in found["items"]}
            if tag["group"] == "one":
                right -= taken
                taken |= right
            is_[tag["name"]], expected[tag["name"]] = await self.tagging.holders(tag["name"]), right
        return is_, expected


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(2, 6))])
async def test_a_storm(tagging, frozen_now, seed):
    storm = Storm(tagging, frozen_now, seed)
    await storm.begin()
    await storm.events()
    await storm.events()
    for number in range(48):
        await storm.step()
        if number % 12 == 11:
            # Schedules wait for a clock that was set back.
            storm.latest += timedelta(minutes=2)
            frozen_now.set(storm.latest)
            await tagging.idle()
            is_, expected = await storm.settled()
            assert is_ == expected, (seed, number)


async def test_starting_over_adds_nothing_and_mends_what_is_wrong(tagging, frozen_now, database, platform):
    storm = Storm(tagging, frozen_now, 3)
    await storm.begin()
    for _ in range(6):
        await storm.events()
    await tagging.idle()
    told = {person: await tagging.told(person) for person in storm.people}
    rows = "SELECT count(*) FROM tagging_assignment"
    async with database.connection() as connection:
        before = await connection.fetchval(rows)
    assert before > 5
    await consumers.rebuild(platform.db, Actor.command("test"), "tagging")
    await tagging.idle()
    assert {person: await tagging.told(person) for person in storm.people} == told
    async with database.connection() as connection:
        assert await connection.fetchval(rows) == before
        await connection.execute("DELETE FROM tagging_assignment WHERE source = 'rule' AND id % 2 = 0")
    await consumers.rebuild(platform.db, Actor.command("test"), "tagging")
    await tagging.idle()
    is_, expected = await storm.settled()
    assert is_ == expected
