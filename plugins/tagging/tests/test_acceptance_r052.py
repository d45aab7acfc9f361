"""R052: tags are layers that conditions build on, so that a persona is made of several of them."""


async def test_a_persona_of_two_layers(tagging):
    await tagging.group("value")
    gold, fan = await tagging.tag("value", "高价值"), await tagging.tag("value", "喜欢新品")
    people = [await tagging.customer(name) for name in ("lin", "wang", "zhao")]
    await tagging.assign(people[:2], add=[gold])
    await tagging.assign(people[1:], add=[fan])

    def has(name):
        return {"type": "field", "field": "tags", "op": "contains", "value": name}

    both = {"type": "all", "of": [has("高价值"), has("喜欢新品")]}
    await tagging.group("persona")
    await tagging.tag("persona", "尝鲜大客户", condition=both)
    await tagging.idle()
    assert await tagging.holders("尝鲜大客户") == {people[1]}
    await tagging.assign(people[:1], add=[fan])
    await tagging.idle()
    assert await tagging.holders("尝鲜大客户") == set(people[:2])
