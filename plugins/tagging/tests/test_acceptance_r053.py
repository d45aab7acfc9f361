"""R053: when behaviour changes, the tag changes and what is to be done about it starts, all by itself."""

from datetime import timedelta


async def test_from_seldom_to_often(tagging, frozen_now):
    await tagging.group("frequency", exclusive=True)

    def visits(op, value):
        return {"type": "event", "event": "page.viewed", "measure": "count", "within": "P30D", "op": op, "value": value}

    call = {"title": "Say thank you", "due_in": "P1D"}
    await tagging.tag("frequency", "低频", position=2, condition=visits("lt", 3))
    await tagging.tag("frequency", "高频", position=1, condition=visits("gte", 3), task=call)
    lin = await tagging.customer("lin")
    long_ago = {"occurred_at": (frozen_now.instant - timedelta(days=20)).isoformat()}
    for _ in range(3):
        wang = await tagging.customer("wang", **long_ago)
    await tagging.idle()
    assert (await tagging.names(lin), await tagging.names(wang)) == ({"低频"}, {"高频"})
    assert (await tagging.ask("GET", "/tasks"))["items"] == []  # nobody is called about what was long ago
    await tagging.customer("lin")
    await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"高频"}
    assert await tagging.told(lin) == [("tag.added", "低频"), ("tag.removed", "低频"), ("tag.added", "高频")]
    [task] = (await tagging.ask("GET", "/tasks"))["items"]
    assert (task["title"], task["customer_id"], task["origin"]) == ("Say thank you", lin, "plugin:tagging")
    assert task["due_at"] is not None
