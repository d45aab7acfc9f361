"""The fields that conditions may ask about: what plugins may register, and how they are found and listed."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access import plugin as access
from zhike.conditions import service
from zhike.conditions.catalog import Fields
from zhike.conditions.checked import Attribute, Column, Relation
from zhike.conditions.problems import BadCondition
from zhike.contracts import ConditionField
from zhike.customers import plugin as customers
from zhike.events import plugin as events
from zhike.hooks import hookimpl
from zhike.platform import Assembled, assemble

if TYPE_CHECKING:
    import httpx

    from zhike.platform import Platform
    from zhike.testing.plugin import MakeToken, Record

PROBE = """
from zhike.contracts import ConditionField
from zhike.customers import plugin as customers
from zhike.events import plugin as events
from zhike.hooks import hookimpl
from zhike.i18n import text

CLAIMS = ("mark", "marks")

@hookimpl
def register_condition_fields():
    what = {"relation": "probe_mark", "changed_by": ("mark.given",)}
    return [
        ConditionField(key="marks", label="Marks", type="text", many=True, **what),
        ConditionField(key="probe.level", label=text("Read customers"), type="number", ops=("gte", "is_set"), **what),
    ]
"""
TEXT_OPS = (
    *("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between"),
    *("contains", "not_contains", "starts_with", "ends_with", "is_set", "is_not_set"),
)


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    return folder


def registering(*fields: Any, claims: tuple[str, ...] = ()) -> object:
    return SimpleNamespace(CLAIMS=claims, register_condition_fields=hookimpl(lambda: list(fields)))


def field(**more: Any) -> ConditionField:
    what: dict[str, Any] = {"key": "acme.level", "label": "Level", "type": "number", "relation": "acme_level"}
    return ConditionField(**{**what, "changed_by": ("acme.changed",), **more})


def together(*fields: Any, claims: tuple[str, ...] = ()) -> Assembled:
    fine = registering(field(key="fine.level", relation="fine_level"))
    nouns = {"access": access, "customers": customers, "events": events}
    return assemble({**nouns, "acme": registering(*fields, claims=claims), "fine": fine})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"key": "level"}, r"condition_fields: 'level' is not this plugin's to give; expected acme\.… / score\.…"),
        ({"key": "fine.other"}, "'fine.other' is not this plugin's to give"),
        ({"key": "customer.level"}, "'customer.level' is not this plugin's to give"),
        ({"key": "event.level"}, "'event.level' is not this plugin's to give"),
        ({"key": "acme level"}, "ConditionField: .*key"),
        ({"key": 7}, "ConditionField: .*key"),
        ({"label": 7}, "ConditionField: .*label"),
        ({"type": "money"}, "ConditionField: .*type"),
        ({"relation": "fine_level"}, "relation: 'fine_level' is not this plugin's to give; expected acme_…"),
        ({"relation": "acme"}, "relation: 'acme' is not this plugin's to give"),
        ({"relation": 'acme_level"; DROP TABLE customer; --'}, "ConditionField: .*relation"),
        ({"relation": "acme_Level"}, "ConditionField: .*relation"),
        ({"relation": "acme_" + "l" * 60}, "ConditionField: .*relation"),
        ({"relation": "public.acme_level"}, "ConditionField: .*relation"),
        ({"changed_by": ()}, "ConditionField: .*changed_by"),
        ({"changed_by": "acme.changed"}, "ConditionField: .*changed_by"),
        ({"changed_by": ("acme changed",)}, "ConditionField: .*changed_by"),
        ({"changed_by": ("*",)}, "changed_by names every event"),
        ({"ops": 7}, "ConditionField: .*ops"),
        ({"ops": ("eq", "like")}, "like is no operator of number; expected some of eq, ne, in"),
        ({"ops": ("starts_with",)}, "starts_with is no operator of number"),
        ({"type": "boolean", "ops": ("gt",)}, "gt is no operator of boolean"),
        ({"many": True, "ops": ("eq",)}, "eq is no operator of number with many values; expected some of contains"),
        ({"many": "yes"}, "ConditionField: .*many"),
        ({"history": 1}, "ConditionField: .*history"),
    ],
)
def test_a_field_registered_wrongly_takes_its_plugin_out_and_no_other(more: dict[str, Any], told: str) -> None:
    assembled = together(field(), field(**{"key": "acme.other", **more}), claims=("score",))
    [problem] = assembled.problems
    assert (problem.plugin, problem.stage) == ("acme", "registry")
    assert re.search(told, str(problem.text))
    assert [*assembled.registry.condition_fields] == ["fine.level"]


def test_a_key_is_registered_once_and_a_noun_may_stand_alone() -> None:
    twice = together(field(), field())
    assert [str(problem.text) for problem in twice.problems] == ["condition_fields 'acme.level' is registered already"]
    alone = together(
        field(key="acme"), field(key="scores", many=True), field(key="score.a"), claims=("score", "scores")
    )
    assert not alone.problems
    assert [*alone.registry.condition_fields] == ["acme", "scores", "score.a", "fine.level"]
    assert alone.registry.owner("condition_fields", "scores") == "acme"


def test_fields_are_found_by_their_keys() -> None:
    registered = field(key="tags", type="text", relation="acme_tag", many=True, history=True, ops=["contains"])
    fields = Fields(together(registered, claims=("tags",)).registry)
    assert fields.find("customer.created_at", "condition") == Column("created_at", "instant")
    assert fields.find("customer.attributes.a.b", "condition") == Attribute("a.b")
    relation = Relation("acme_tag", "text", many=True, history=True, ops=("contains",), plugin="acme")
    assert fields.find("tags", "condition") == relation
    assert fields.known("tags", "condition").changed_by == ("acme.changed",)


@pytest.mark.parametrize("key", ["customer.attributes.", "customer.merged_into", "customer", "tags", "", "' OR 1=1"])
def test_a_field_nobody_knows_is_refused_with_those_there_are(key: str) -> None:
    fields = Fields(together(field()).registry)
    with pytest.raises(BadCondition) as raised:
        fields.find(key, "condition.of[2]")
    assert str(raised.value).startswith(
        f"condition.of[2].field is {key!r}, an unknown field; expected one of customer.id"
    )
    known = raised.value.message.params["known"]
    assert {"customer.phone", "customer.attributes.…", "acme.level", "fine.level"} <= {*known.split(", ")}


async def test_fields_are_listed_in_the_readers_language(client: httpx.AsyncClient, record: Record) -> None:
    assert await listed(client, "en") == await listed(client, "en", attributes=[])
    traits = {"city": "上海", "score": 1.5, "vip": True, "list": [1], "a.b": "c", "none": None}
    await record({"name": "a", "identities": {"external_id": "1"}, "traits": traits})
    await record({"name": "a", "identities": {"external_id": "2"}, "traits": {"score": "1.5"}})
    await record({"name": "a", "identities": {"external_id": "3"}, "traits": {"score": 2}})
    english, chinese = await listed(client, "en"), await listed(client, "zh-CN")
    assert english["customer.name"] == {"label": "Name", "type": "text", "ops": [*TEXT_OPS]}
    assert english["marks"] == {
        "label": "Marks",
        "type": "text",
        "ops": ["contains", "not_contains", "in", "not_in", "is_set", "is_not_set"],
    }
    assert english["probe.level"] == {"label": "Read customers", "type": "number", "ops": ["gte", "is_set"]}
    attributes = {key: item for key, item in english.items() if key.startswith("customer.attributes.")}
    assert {key.removeprefix("customer.attributes."): item["type"] for key, item in attributes.items()} == {
        "<key>": "text",
        "a.b": "text",
        "city": "text",
        "score": "number",
        "vip": "boolean",
    }
    assert attributes["customer.attributes.city"]["label"] == "city"
    assert {*TEXT_OPS, "anniversary", "within_last"} <= {*attributes["customer.attributes.vip"]["ops"]}
    assert english.keys() == chinese.keys()
    assert chinese["probe.level"]["label"] == "读取客户"


async def test_fields_that_are_masked_are_not_listed(client: httpx.AsyncClient, make_token: MakeToken) -> None:
    seen = await listed(client, "en")
    masked = {"customer.phone", "customer.email"}
    assert masked < seen.keys()
    client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    assert (await listed(client, "en")).keys() == seen.keys() - masked


READINGS = {
    "SELECT 1": "condition.of[1].field marks cannot be asked: probe_mark of the plugin probe has no column customer_id",
    "CREATE TABLE probe_mark (customer_id bigint, mark text)": "has no column value of type text / varchar",
    "CREATE TABLE probe_mark (customer_id bigint, value bytea)": "has no column value of type text / varchar",
    "CREATE TABLE probe_mark (customer_id text, value text)": "no column customer_id of type int2 / int4 / int8",
    "CREATE VIEW probe_mark AS SELECT id AS customer_id, (1 / (id - id))::text AS value FROM customer": (
        "marks: probe cannot tell the values at present (error 22012 of the database)"
    ),
    "CREATE VIEW probe_mark AS SELECT id AS customer_id, (SELECT 'x' FROM pg_class) AS value FROM customer": (
        "marks: probe cannot tell the values at present (error 21000 of the database)"
    ),
    """
    CREATE FUNCTION spoilt() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
    CREATE VIEW probe_mark AS SELECT id AS customer_id, spoilt() AS value FROM customer
    """: "marks: probe cannot tell the values at present (error P0001 of the database)",
}


async def test_a_relation_that_is_not_as_declared_spoils_no_other_condition(
    client: httpx.AsyncClient, record: Record, platform: Platform
) -> None:
    [stored] = await record({"name": "a", "identities": {"external_id": "1"}})
    fine = {"type": "field", "field": "customer.id", "op": "is_set"}
    broken = {"type": "all", "of": [fine, {"type": "field", "field": "marks", "op": "contains", "value": "a"}]}
    routes: dict[str, dict[str, Any]] = {
        "conditions/count": {},
        "conditions/explain": {"customer_id": stored.customer_id},
        "customers/search": {},
    }
    for sql, told in READINGS.items():
        async with platform.db.connection() as connection:
            await connection.execute(sql)
            for among in (None, [stored.customer_id]):
                checked, moment = service.check(platform, broken), service.moment(platform.settings)
                with pytest.raises(BadCondition, match=re.escape(told)):
                    await service.members(connection, checked, moment, among=among)
        for path, more in routes.items():
            answer = await client.post(f"/api/v1/{path}", json={"condition": broken, **more})
            assert (answer.status_code, answer.json()["code"]) == (400, "condition_field"), answer.text
            assert told in answer.json()["detail"]
            answer = await client.post(f"/api/v1/{path}", json={"condition": fine, **more})
            assert answer.status_code == 200
        async with platform.db.connection() as connection:
            await connection.execute(f"DROP {'VIEW' if 'VIEW' in sql else 'TABLE'} IF EXISTS probe_mark")
    async with platform.db.connection() as connection:
        await connection.execute("CREATE TABLE probe_mark (customer_id int, value varchar(3))")
    for path, more in routes.items():
        assert (await client.post(f"/api/v1/{path}", json={"condition": broken, **more})).status_code == 200


async def test_a_view_of_the_core_answers_at_once(client: httpx.AsyncClient, record: Record) -> None:
    [stored] = await record({"name": "a", "identities": {"external_id": "1"}})
    await record({"name": "a", "identities": {"external_id": "2"}})
    condition = {"type": "field", "field": "tasks.open", "op": "gte", "value": 2}
    counts = []
    for _ in range(3):
        made = await client.post("/api/v1/tasks", json={"title": "Call", "customer_id": stored.customer_id})
        counts.append((await client.post("/api/v1/conditions/count", json={"condition": condition})).json()["count"])
    assert counts == [0, 1, 1]
    await client.patch(f"/api/v1/tasks/{made.json()['id']}", json={"status": "done", "result": "called"})
    asked = {"condition": condition, "customer_id": stored.customer_id}
    told = (await client.post("/api/v1/conditions/explain", json=asked)).json()
    assert (told["held"], told["nodes"][0]["value"]) == (True, 2)
    none = {"type": "not", "of": {**condition, "value": 1}}
    assert (await client.post("/api/v1/conditions/count", json={"condition": none})).json() == {"count": 1}


async def listed(client: httpx.AsyncClient, language: str, **only: Any) -> dict[str, Any]:
    """Return what GET /conditions/fields answers, by field."""
    answer = await client.get("/api/v1/conditions/fields", headers={"accept-language": language})
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    found = {item.pop("field"): item for item in items}
    assert len(found) == len(items)
    if only:
        found = {key: item for key, item in found.items() if not key.startswith("customer.attributes.") or "<" in key}
    return found
