"""R050: 高频互动 and 近30天未互动 say how often a customer is in touch."""


async def test_who_is_often_in_touch_and_who_no_longer(tagging, frozen_now):
    await tagging.ask("POST", "/tagging/presets", groups=["frequency"])
    for _ in range(10):
        lin = await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"高频互动"}
    frozen_now.advance(days=30)
    await tagging.idle()
    assert await tagging.names(lin) == {"近30天未互动"}
    assert await tagging.told(lin) == [
        ("tag.added", "高频互动"),
        ("tag.removed", "高频互动"),
        ("tag.added", "近30天未互动"),
    ]
