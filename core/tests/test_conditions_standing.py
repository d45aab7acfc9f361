"""Rules whose members are kept right, with tables as a plugin has them."""

from __future__ import annotations

import pytest

from zhike.access.actor import Actor
from zhike.conditions.standing import StandingRules, always
from zhike.work import begin

TABLES = """
CREATE TABLE level_rule (id bigint, name text, family bigint, place bigint, condition jsonb, problem text);
CREATE TABLE level_member (
  customer_id bigint, rule_id bigint, family bigint, ruled boolean DEFAULT true,
  valid_from timestamptz DEFAULT now(), valid_to timestamptz
);
CREATE TABLE level_state (generation bigint NOT NULL, earliest timestamptz, latest timestamptz);
INSERT INTO level_state VALUES (0);
"""
ENTER = """
INSERT INTO level_member (customer_id, rule_id, family)
SELECT c, r.id, r.family FROM unnest($1::bigint[], $2::bigint[]) AS n (c, rule) JOIN level_rule AS r ON r.id = n.rule
"""
LEAVE = """
UPDATE level_member AS m SET valid_to = now() FROM unnest($1::bigint[], $2::bigint[]) AS n (c, rule)
WHERE (m.customer_id, m.rule_id) = (n.c, n.rule) AND m.valid_to IS NULL
"""


def viewed(value):
    return {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": value}


class Levels:
    """A plugin's rules, and who belongs to them."""

    def __init__(self, platform, record):
        self.platform, self.record, self.causes = platform, record, []
        relations = {"rules": "level_rule", "members": "level_member", "state": "level_state", "problems": "level_rule"}
        self.rules = StandingRules("levels", field="tags", **relations, enter=self.enter, leave=self.leave)

    async def enter(self, work, pairs, cause):
        self.causes += [cause(customer) for customer, _ in pairs]
        await work.connection.execute(ENTER, *zip(*pairs, strict=True))

    async def leave(self, work, pairs, cause):
        await work.connection.execute(LEAVE, *zip(*pairs, strict=True))

    def work(self):
        return begin(self.platform, origin="plugin:levels")

    async def rule(self, number, condition, family=None, name=None):
        async with self.work() as work:
            insert = "INSERT INTO level_rule VALUES ($1, $2, $3, $1, $4::jsonb)"
            stored = self.rules.check(work, Actor.system(), condition)
            await work.connection.execute(insert, number, name or str(number), family, stored)
            await self.rules.changed(work, [], family)

    async def view(self, who="lin"):
        [event] = await self.record({"name": "page.viewed", "identities": {"external_id": who}})
        async with self.work() as work:
            await self.rules.follow(work, [event])
        return event

    async def members(self, customer):
        async with self.platform.db.connection() as connection:
            open_ = "SELECT rule_id FROM level_member WHERE customer_id = $1 AND valid_to IS NULL ORDER BY 1"
            return [row[0] for row in await connection.fetch(open_, customer)]

    async def execute(self, sql, *values):
        async with self.platform.db.connection() as connection:
            return await connection.execute(sql, *values)


@pytest.fixture
async def levels(platform, record, frozen_now):
    made = Levels(platform, record)
    await made.execute(TABLES)
    return made


async def test_events_let_customers_enter_and_leave(levels):
    await levels.rule(1, viewed(2))
    await levels.rule(2, {"type": "not", "of": viewed(2)})
    lin = (await levels.view()).customer_id
    assert await levels.members(lin) == [2]
    second = await levels.view()
    assert await levels.members(lin) == [1]
    assert levels.causes[-1] == second
    await levels.view()
    assert len(levels.causes) == 2


async def test_in_a_family_the_first_rule_wins_and_whoever_belongs_otherwise_stays(levels):
    await levels.rule(1, viewed(2), family=7)
    await levels.rule(2, viewed(1), family=7)
    lin = (await levels.view()).customer_id
    assert await levels.members(lin) == [2]
    await levels.view()
    assert await levels.members(lin) == [1]
    await levels.execute("INSERT INTO level_member VALUES ($1, 9, 7, false)", lin)
    await levels.view()
    assert await levels.members(lin) == [9]
    await levels.execute("UPDATE level_member SET valid_to = now() WHERE rule_id = 9")
    async with levels.work() as work:
        await levels.rules.settle(work, {2: [lin]}, always(None))
    assert await levels.members(lin) == [1]


async def test_a_rule_that_cannot_be_used_is_paused_and_its_members_stay(levels):
    await levels.rule(1, viewed(1))
    lin = (await levels.view()).customer_id
    gone = '{"type": "field", "field": "gone.field", "op": "is_set"}'
    await levels.execute("UPDATE level_rule SET condition = $1::jsonb", gone)
    await levels.execute("UPDATE level_state SET generation = generation + 1")
    await levels.view()
    async with levels.platform.db.connection() as connection:
        assert "gone.field" in await connection.fetchval("SELECT problem FROM level_rule")
    assert await levels.members(lin) == [1]
