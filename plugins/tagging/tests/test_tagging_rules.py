"""Tags by rule: events and time give and take them, exclusive groups, rules that change, fail or ask for each other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context

import pytest

from zhike.access.actor import Actor
from zhike.conditions.standing import StandingRules, always
from zhike.consumers import service as consumers
from zhike.work import begin
from zhike_tagging.conditions import MEMBERS, RULES, end, give


def orders(op, value, within="P30D", measure="count"):
    return {"type": "event", "event": "order.paid", "measure": measure, "within": within, "op": op, "value": value}


def city(value):
    return {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": value}


async def pay(tagging, name, **more):
    return await tagging.customer(name, **{"name": "order.paid", "amount": "10.00", **more})


async def test_an_event_gives_a_tag_and_time_takes_it(tagging, frozen_now):
    await tagging.group("frequency", kind="behaviour")
    tag = await tagging.tag("frequency", "常客", condition=orders("gte", 2))
    lin = await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == set()
    frozen_now.advance(days=1)
    await pay(tagging, "lin")
    await tagging.idle()
    [given] = await tagging.tags(lin)
    assert (given["tag"], given["source"], given["actor"]) == ("常客", "rule", "plugin:tagging")
    assert await tagging.holders("常客") == {lin}
    frozen_now.advance(days=20)
    assert await tagging.holders("常客", **{"for": "P20D"}) == {lin}
    why = await tagging.ask("GET", f"/tagging/assignments/{given['id']}")
    assert (why["rule_version"], why["condition"], why["explained"]["held"]) == (1, tag["condition"], True)
    assert why["explained"]["nodes"][0]["value"] == 2
    frozen_now.advance(days=9, minutes=1)
    await tagging.idle()
    assert await tagging.names(lin) == set()
    assert await tagging.told(lin) == [("tag.added", "常客"), ("tag.removed", "常客")]
    [ended] = await tagging.tags(lin, history=True)
    assert ended["valid_to"] is not None


async def test_a_rule_that_is_changed_holds_for_everybody(tagging):
    await tagging.group("place")
    people = [await tagging.customer(f"c{n}", traits={"city": "上海" if n % 2 else "北京"}) for n in range(6)]
    tag = await tagging.tag("place", "本地", condition=city("上海"))
    await tagging.idle()
    assert await tagging.holders("本地") == set(people[1::2])
    tag = await tagging.change(tag, condition=city("北京"))
    await tagging.idle()
    assert await tagging.holders("本地") == set(people[::2])
    assert tag["rule_version"] == 2
    await tagging.assign(people[:1], add=[tag])
    tag = await tagging.change(tag, condition=None)  # by hand alone from now on
    await tagging.idle()
    assert await tagging.holders("本地") == {people[0]}
    await tagging.change(tag, archived=True)
    await tagging.idle()
    assert await tagging.holders("本地") == set()
    assert await tagging.told(people[0]) == [("tag.added", "本地"), ("tag.removed", "本地")]


async def test_in_an_exclusive_group_the_first_rule_wins_and_a_hand_over_both(tagging):
    await tagging.group("value", exclusive=True)
    gold = await tagging.tag("value", "金", position=1, condition=orders("gte", 3))
    silver = await tagging.tag("value", "银", position=2, condition=orders("gte", 1))
    guest = await tagging.tag("value", "贵宾", position=3)
    lin = await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"银"}
    await pay(tagging, "lin")
    await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"金"}
    await tagging.assign([lin], add=[guest])
    assert await tagging.names(lin) == {"贵宾"}
    await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"贵宾"}
    await tagging.assign([lin], remove=[guest])
    assert await tagging.names(lin) == {"金"}
    await tagging.change(gold, position=9)
    await tagging.idle()
    assert await tagging.names(lin) == {"银"}
    await tagging.change(silver, archived=True)
    await tagging.idle()
    assert await tagging.names(lin) == {"金"}
    assert [tag for name, tag in await tagging.told(lin) if name == "tag.added"] == [
        "银",
        "金",
        "贵宾",
        "金",
        "银",
        "金",
    ]


async def test_a_rule_may_ask_for_tags_but_not_in_a_circle(tagging):
    await tagging.group("a")
    await tagging.group("b", exclusive=True)

    def named(name, op="contains"):
        return {"type": "field", "field": "tags", "op": op, "value": name}

    first = await tagging.tag("a", "一", condition=orders("gte", 1))
    await tagging.tag("b", "二", condition={"type": "not", "of": named("一")})
    await tagging.tag("a", "三", condition=named("二"))
    lin, wang = await tagging.customer("lin"), await pay(tagging, "wang")
    await tagging.idle()
    assert (await tagging.names(lin), await tagging.names(wang)) == ({"二", "三"}, {"一"})
    await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"一"}
    for condition in (named("一"), named("三")):
        assert (await tagging.change(first, 400, condition=condition))["code"] == "circle"
    assert (await tagging.tag("b", "四", 400, condition=named("二")))["code"] == "circle"
    assert (await tagging.tag("a", "五", 400, condition={**named("一"), "op": "is_set", "value": None}))[
        "code"
    ] == "circle"
    pinned = await tagging.tag("b", "六")
    await tagging.tag("b", "七", condition=named("六"))  # which is given by hand: whoever has it keeps it
    assert (await tagging.change(pinned, 400, condition=orders("gte", 9)))["code"] == "circle"


async def test_what_failed_in_the_middle_leaves_nothing_and_is_made_up_for(tagging, platform, database, monkeypatch):
    await tagging.group("a")
    call = {"title": "Say hello"}
    await tagging.tag("a", "来过", condition={"type": "all", "of": [orders("gte", 1)]}, task=call)
    await tagging.idle()

    async def fail(*_):
        raise RuntimeError("in the middle")

    with monkeypatch.context() as broken:
        broken.setattr("zhike_tagging.actions.follow_up", fail)
        lin = await pay(tagging, "lin")
        with pytest.raises(AssertionError, match="dead letter of tagging"):
            await tagging.idle()
        assert (await tagging.names(lin), await tagging.told(lin)) == (set(), [])
    for _ in range(2):  # replaying a second time adds nothing
        await consumers.replay(platform.db, Actor.command("test"), consumer="tagging")
        await tagging.idle()
        assert await tagging.told(lin) == [("tag.added", "来过")]
        assert [task["title"] for task in (await tagging.ask("GET", "/tasks"))["items"]] == ["Say hello"]


async def test_a_batch_costs_a_handful_of_statements(tagging, query_counter, monkeypatch):
    for name in ("VIEW_SECONDS", "PERSIST_SECONDS"):  # what is looked at from time to time would be counted too
        monkeypatch.setattr(f"zhike.consumers.engine.{name}", 3600)
    await tagging.group("a")
    for number in range(20):
        await tagging.tag("a", f"t{number}", condition=orders("gte", number % 3 + 1))
    await tagging.idle()

    async def cost(people):
        paid = {"name": "order.paid", "amount": "10.00"}
        await tagging.record(*({**paid, "identities": {"external_id": f"{people}-{n}"}} for n in range(people)))
        query_counter.reset()
        await tagging.idle()
        return query_counter.count

    few, many = await cost(2), await cost(60)
    assert many <= few + 4


async def test_of_two_rules_that_hold_it_is_always_the_same_one_and_said_why(tagging, visit):
    await tagging.group("value", exclusive=True)
    for name in ("甲", "乙"):  # of the same place: the older one wins
        await tagging.tag("value", name, position=5, condition=orders("gte", 1))
    people = [await pay(tagging, name) for name in ("lin", "wang")]
    await tagging.idle()
    assert [await tagging.names(each) for each in people] == [{"甲"}, {"甲"}]
    await pay(tagging, "wang")
    await tagging.idle()
    assert await tagging.told(people[1]) == [("tag.added", "甲")]
    [given] = await tagging.tags(people[0])
    why = (await (await visit("viewer")).get(f"/tagging/assignments/{given['id']}")).text
    assert "found: 1" in why
    assert "the tag with the smallest place wins" in why


async def test_a_rule_is_changed_while_it_is_being_evaluated(tagging, platform):
    await tagging.group("place")
    people = [await tagging.customer(f"c{n}", traits={"city": "上海" if n % 2 else "北京"}) for n in range(4)]
    tag = await tagging.tag("place", "本地", condition=city("上海"))
    async with begin(platform, origin="system", plugin="tagging") as work:
        rules = await RULES.lock(work)
        change = asyncio.create_task(tagging.change(tag, condition=city("北京")), context=Context())
        await RULES.settle(work, {tag["id"]: people}, always(None), rules)
        await asyncio.sleep(0.05)
        assert not change.done()  # who changes a rule waits for those who evaluate it
    assert (await change)["rule_version"] == 2
    assert await tagging.names(people[1]) == {"本地"}  # as it was evaluated, until the other rule is
    await tagging.idle()
    assert await tagging.holders("本地") == set(people[::2])


async def test_killed_in_the_middle_of_a_change_it_goes_on_where_it_was(tagging, frozen_now, monkeypatch):
    await tagging.group("place")
    people = [await tagging.customer(f"c{n}", traits={"city": "上海"}) for n in range(6)]
    await tagging.idle()
    monkeypatch.setattr("zhike.conditions.standing.rules.CHUNK", 2)
    enter, calls = RULES._enter, []

    async def killed(work, pairs, cause):
        calls.append(len(pairs))
        await enter(work, pairs, cause)
        if len(calls) == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(RULES, "_enter", killed)
    await tagging.tag("place", "本地", condition=city("上海"))
    with pytest.raises(AssertionError, match=r"tagging\.settle"):
        await tagging.idle()
    assert len(await tagging.holders("本地")) < 6
    frozen_now.advance(minutes=30)
    await tagging.idle()
    assert await tagging.holders("本地") == set(people)
    assert [await tagging.told(each) for each in people] == [[("tag.added", "本地")]] * 6


async def test_no_way_round_leads_into_a_circle(tagging):
    def named(name):
        return {"type": "field", "field": "tags", "op": "contains", "value": name}

    group = await tagging.group("a")
    first = await tagging.tag("a", "一", position=2, condition=orders("gte", 1))
    second = await tagging.tag("a", "二", position=1, condition=named("一"))
    exclusive = {"version": group["version"], "exclusive": True}  # 二 would take the place of what it asks for
    assert (await tagging.ask("PATCH", "/tagging/groups/a", 400, **exclusive))["code"] == "circle"
    away = await tagging.change(second, archived=True)
    await tagging.change(first, condition=named("二"))
    assert (await tagging.change(away, 400, archived=False))["code"] == "circle"
    other = await tagging.group("b")
    third = await tagging.tag("b", "三", condition=named("四"))
    assert (await tagging.change(third, 400, name="四"))["code"] == "circle"
    gone = await tagging.ask("PATCH", "/tagging/groups/b", version=other["version"], archived=True)
    await tagging.tag("a", "四", condition=named("三"))
    back = {"version": gone["version"], "archived": False}
    assert (await tagging.ask("PATCH", "/tagging/groups/b", 400, **back))["code"] == "circle"
    lin = await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == set()


async def test_no_circle_is_closed_while_one_of_it_is_paused(tagging, platform, frozen_now):
    def named(name):
        return {"type": "field", "field": "tags", "op": "contains", "value": name}

    await tagging.group("a")
    second = await tagging.tag("a", "二")
    open_tasks = {"type": "field", "field": "tasks.open", "op": "is_set"}
    first = await tagging.tag(
        "a", "一", condition={"type": "any", "of": [open_tasks, {"type": "not", "of": named("二")}]}
    )
    known = platform.fields._known.pop("tasks.open")  # as if the plugin whose field it is had gone
    frozen_now.advance(minutes=1)
    await tagging.idle()
    assert (await tagging.ask("GET", "/tagging/tags"))["items"][1]["problem"]
    assert (await tagging.change(second, 400, condition=named("一")))["code"] == "circle"
    assert (await tagging.tag("a", "三", 400, condition=named("三")))["code"] == "circle"
    await tagging.tag("a", "四", condition=named("一"))  # which is no circle
    platform.fields._known["tasks.open"] = known
    frozen_now.advance(minutes=1)
    await tagging.idle()
    assert [each["problem"] for each in (await tagging.ask("GET", "/tagging/tags"))["items"]] == [None] * 3
    assert (await tagging.change(first, condition=named("二")))["rule_version"] == 2


async def test_rules_that_were_rolled_back_are_not_remembered(tagging, platform):
    await tagging.group("a")
    tag = await tagging.tag("a", "来过", condition=orders("gte", 1))
    await tagging.idle()
    elsewhere = StandingRules(
        "tagging",
        field="tags",
        rules="tagging_standing",
        members=MEMBERS,
        state="tagging_state",
        problems="tagging_tag",
        enter=give,
        leave=end,
    )  # as another process has it
    with suppress(LookupError):
        async with begin(platform, origin="system", plugin="tagging") as work:
            await work.connection.execute("UPDATE tagging_tag SET archived_at = now()")
            await RULES.changed(work, [tag["id"]])
            assert await RULES.lock(work) == []
            raise LookupError
    async with begin(platform, origin="system", plugin="tagging") as work:
        await elsewhere.changed(work, [tag["id"]])
    lin = await pay(tagging, "lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"来过"}
