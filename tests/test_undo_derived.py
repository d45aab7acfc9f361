"""An import is undone where rules have given tags meanwhile: who only has these goes, whoever has more stays."""

from __future__ import annotations

from contextlib import closing

import pytest

from zhike.access.actor import Actor
from zhike_imports import service as imports
from zhike_imports.run import undoing
from zhike_imports.run.plan import prepare
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options

API = "/api/v1"


@pytest.fixture
def plugins():
    return ("imports", "tagging")


async def test_tags_by_rule_keep_nobody_and_tags_by_hand_do(platform, client, run_until_idle, tmp_path):
    async def ask(method, path, **json):
        answer = await client.request(method, f"{API}{path}", **({"json": json} if json else {}))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def rows(table):
        async with platform.db.connection() as connection:
            found = await connection.fetch(f"SELECT customer_id FROM {table} WHERE customer_id IS NOT NULL")
        return {row[0] for row in found}

    here = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}
    await ask("POST", "/tagging/groups", key="place", name="地区")
    await ask("POST", "/tagging/tags", group="place", name="本地", condition=here)
    await ask("POST", "/tagging/tags", group="place", name="贵宾")
    file = tmp_path / "people.csv"
    file.write_text("编号,city\nA1,上海\nA2,上海\nA3,上海\n", encoding="utf-8")
    maps = ("编号=identity:external_id", "city=text:city")
    plan = prepare(file, Options(kind="customers", maps=maps), platform.settings)
    with closing(RejectFile(tmp_path / "rejected.csv", plan.header, "en")) as rejects:
        run, done = await imports.run(platform, plan, rejects)
    assert done
    await run_until_idle()
    people = [each["id"] for each in (await ask("GET", "/customers"))["items"]]
    assert len(people) == 3
    assert await rows("tagging_assignment") == set(people)
    await ask("POST", "/tagging/assign", customers=people[:1], add=["贵宾"], remove=[])
    actor = Actor.command("test")
    await undoing.start(platform, actor, run.id, queue=False)
    await undoing.carry_out(platform, run.id, origin=actor.origin)
    await run_until_idle()
    assert [each["id"] for each in (await ask("GET", "/customers"))["items"]] == people[:1]
    assert await rows("tagging_assignment") == await rows("event") == set(people[:1])
    tags = (await ask("GET", f"/tagging/customers/{people[0]}/tags"))["items"]
    assert [each["tag"] for each in tags] == ["贵宾"]
