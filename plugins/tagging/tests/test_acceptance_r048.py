"""R048: the dimension 客户价值 with 高价值 and 潜力客户 is there by one click, and says who is which."""


async def test_the_dimension_of_value(tagging, visit, frozen_now):
    manager = await visit("manager")
    await manager.post("/tagging/presets/customer_value")
    [group] = (await tagging.ask("GET", "/tagging/groups"))["items"]
    assert (group["name"], group["exclusive"]) == ("客户价值", True)
    assert [tag["name"] for tag in (await tagging.ask("GET", "/tagging/tags"))["items"]] == ["高价值", "潜力客户"]
    paid = {"name": "order.paid", "amount": "30.00"}
    rich = await tagging.customer("rich", **paid | {"amount": "5000.00"})
    await tagging.customer("hopeful", **paid)
    hopeful = await tagging.customer("hopeful", **paid)
    once = await tagging.customer("once", **paid)
    await tagging.idle()
    assert await tagging.names(rich) == {"高价值"}
    assert await tagging.names(hopeful) == {"潜力客户"}
    assert await tagging.names(once) == set()
    await tagging.customer("hopeful", **paid | {"amount": "4999.00"})
    await tagging.idle()
    assert await tagging.names(hopeful) == {"高价值"}
    frozen_now.advance(days=366)
    await tagging.idle()
    assert await tagging.holders("高价值") == set()
    again = await tagging.ask("POST", "/tagging/presets", groups=["customer_value"])
    assert again["items"] == []
