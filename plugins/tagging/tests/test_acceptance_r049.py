"""R049: a customer moves through the stages 新客, 活跃 and 流失预警 by what they do and by time alone."""


async def test_a_customer_grows_old(tagging, frozen_now):
    await tagging.ask("POST", "/tagging/presets", groups=["life_cycle"])
    lin = await tagging.customer("lin")
    stages = []
    for days in (0, 29, 2, 29, 31):
        frozen_now.advance(days=days)
        if days == 29 and len(stages) == 1:
            await tagging.customer("lin")
        await tagging.idle()
        stages.append(await tagging.names(lin))
    assert stages == [{"新客"}, {"新客"}, {"活跃"}, set(), {"流失预警"}]
    await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"活跃"}
