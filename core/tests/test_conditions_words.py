"""Conditions in words: each kind of node, names of fields and people, and fields that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.conditions.problems import BadCondition
from zhike.conditions.words import describe, duration
from zhike.ui.people import People

if TYPE_CHECKING:
    from zhike.platform import Platform

PAID: dict[str, Any] = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 2}


def field(name: str, op: str = "eq", value: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "field", "field": name, "op": op, "value": value, **more}


@pytest.mark.parametrize(
    ("condition", "said", "chinese"),
    [
        (PAID, "Order paid: how often at least 2", "支付订单的次数不少于 2"),
        (
            {**PAID, "measure": "sum", "of": "amount", "within": "P90D", "value": "0.5"},
            "in the last 90 days, Order paid: sum of amount at least 0.5",
            "最近 90 天内，支付订单的合计金额不少于 0.5",
        ),
        ({**PAID, "event": ["a.b", "c.d"]}, "a.b, c.d: how often at least 2", "a.b、c.d的次数不少于 2"),
        (
            {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5},
            "any behaviour: change of how often from the 30 days before to the last 30 days less than -50%",
            "任意行为：最近 30 天的次数与此前 30 天相比，变化小于 -50%",
        ),
        (field("customer.attributes.city", "in", ["上海", "北京"]), "is one of 上海, 北京", "属于 上海、北京"),
        (field("customer.owner", "eq", 7), "Owner is 林晓", "负责人等于 林晓"),
        (field("customer.created_at", "within_last", "P2W"), "First seen within the last 2 weeks", "2 周"),
        (field("customer.stage", "eq", "new", **{"for": "P14D"}), "Stage is new, for 14 days", "且已持续 14 天"),
        (field("customer.attributes.points", "gte", 7_770_000), "at least 7,770,000", "不少于 7,770,000"),
        (field("customer.phone", "is_set"), "Phone is set", "有值"),
        ({"type": "all", "of": []}, "everybody", "所有客户"),
    ],
)
def test_a_node_in_words(platform: Platform, condition: Any, said: str, chinese: str) -> None:
    people = People()
    people.users = {7: "林晓"}
    found = describe(platform, condition, people).text
    assert said in found.render("en")
    assert chinese in found.render("zh_CN")


def test_groups_have_parts_with_the_paths_of_explanations(platform: Platform) -> None:
    inner = {"type": "not", "of": {"type": "any", "of": [PAID, field("gone.field")]}}
    said = describe(platform, {"type": "all", "of": [inner, {**PAID, "where": field("event.amount", "gt", 5)}]})
    assert (str(said.text), said.path) == ("all of these hold", "condition")
    nothing, paid = said.parts
    assert str(nothing.text) == "none of these holds"
    assert [part.path for part in nothing.parts[0].parts] == ["condition.of[0].of.of[0]", "condition.of[0].of.of[1]"]
    assert str(paid.parts[0].text) == "amount greater than 5"
    assert said.gone == ["gone.field"]
    assert "no such field" in str(nothing.parts[0].parts[1].text)


def test_what_is_no_condition_is_refused(platform: Platform) -> None:
    with pytest.raises(BadCondition):
        describe(platform, {"type": "other"})
    said = {iso: str(duration(iso)) for iso in ("P1DT2H", "P1Y", "PT4H", "P3M", "PT3M", "P4H", "PT3D")}
    assert said == {
        "P1DT2H": "P1DT2H", "P1Y": "1 year", "PT4H": "4 hours", "P3M": "3 months", "PT3M": "3 minutes",
        "P4H": "P4H", "PT3D": "PT3D",
    }  # fmt: skip


def test_what_the_reader_could_not_have_asked_is_not_told(platform: Platform) -> None:
    viewer = Actor.of_token(1, "viewer", "viewer")  # who sees phones masked
    condition = {"type": "all", "of": [PAID, {"type": "not", "of": field("customer.phone", "starts_with", "138")}]}
    said = describe(platform, condition, actor=viewer)
    assert said.kept
    assert [part.kept for part in said.parts] == [False, True]
    assert said.parts[1].parts[0].text.render("en") == "something that you do not see"
    assert not describe(platform, PAID, actor=viewer).kept
    assert not describe(platform, condition).kept
