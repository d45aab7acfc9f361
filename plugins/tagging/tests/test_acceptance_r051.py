"""R051: static, behavioural and predictive tags live side by side, each kept right as customers change."""

import pytest


def measured(event, measure, op, value, **more):
    return {"type": "event", "event": event, "measure": measure, "op": op, "value": value, **more}


TAGS = {
    "地区": ("static", {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}),
    "行业": ("static", {"type": "field", "field": "customer.attributes.industry", "op": "eq", "value": "零售"}),
    "购买频次": ("behaviour", measured("order.paid", "count", "gte", 2, within="P90D")),
    "最近活跃": ("behaviour", measured("*", "days_since_last", "lte", 45)),
    "流失风险": (
        "predictive",
        {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5},
    ),
    "潜在价值": ("predictive", measured("order.paid", "avg", "gt", 50, of="amount")),
}


@pytest.fixture
async def groups(tagging, visit):
    for kind in ("static", "behaviour", "predictive"):
        await tagging.group(kind, kind=kind)
    for name, (kind, condition) in TAGS.items():
        await tagging.tag(kind, name, condition=condition)
    return (await (await visit("viewer")).get("/tagging")).text


async def test_three_classes_of_tags(tagging, groups):
    assert all(each in groups for each in ("What they are", "What they do", "What they may do", *TAGS))
    lin = await tagging.customer("lin", traits={"city": "上海", "industry": "零售"})
    for day in range(1, 4):
        await tagging.customer("lin", name="order.paid", amount="90.00", occurred_at=f"2026-02-0{day}T08:00:00Z")
    await tagging.idle()
    assert await tagging.names(lin) == set(TAGS)
    await tagging.customer("lin", traits={"city": "北京", "industry": None})
    await tagging.customer("lin")
    await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"购买频次", "最近活跃", "潜在价值"}
