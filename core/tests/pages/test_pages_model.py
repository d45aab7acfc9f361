"""Settings, calendars and the customer data model as pages: who may, what fits, and two people at the same thing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from zhike.contracts import SettingsGroup
from zhike.hooks import hookimpl
from zhike.platform import Platform, assemble, core_plugins
from zhike.ui import asked

if TYPE_CHECKING:
    from zhike.orm import Database
    from zhike.settings import Settings
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import FrozenNow, Record
    from zhike.testing.visiting import Visitor, Visits


class StampSettings(msgspec.Struct, frozen=True):
    """Settings of a plugin."""

    per_order: Annotated[int, asked("Stamps", help="For each order", ge=1, le=9)] = 1
    shop: Annotated[str, asked("Shop", max_length=50)] = "<b>Here"
    region: Annotated[str, asked("Region")] = "East"
    token: Annotated[str, asked("Token"), Meta(extra={"secret": True})] = ""


class Stamps:
    """A plugin with settings."""

    @hookimpl
    def register_settings_groups(self) -> list[SettingsGroup]:
        return [SettingsGroup(key="stamps", label="Stamps", struct=StampSettings, permission="plugins.manage")]


@pytest.fixture
async def platform(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A process with that plugin, one of whose settings the environment fixes."""
    monkeypatch.setenv("ZHIKE_STAMPS_REGION", "North")
    assembled = assemble({**core_plugins(), "stamps": Stamps()})
    assert not assembled.problems
    made = Platform(settings=settings, db=database, hooks=assembled.hooks, registry=assembled.registry)
    await made.customer_fields.renew()
    await made.config.renew()
    return made


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found is not None, name
    return found[1]


async def test_settings_are_a_form_of_the_plugins_struct(visit: Visits) -> None:
    admin = await visit("admin")
    assert "Company name" in (await admin.get("/settings")).text
    page = (await admin.get("/settings/groups/stamps")).text
    assert "For each order" in page
    assert "&lt;b&gt;Here" in page
    assert "<b>Here" not in page
    assert "ZHIKE_STAMPS_REGION" in page
    assert 'name="setting.region"' not in page
    typed = {"version": "0", "setting.per_order": "12", "setting.shop": "青禾", "setting.token": "s3cret"}
    wrong = await admin.post("/settings/groups/stamps", data=typed)
    assert (wrong.status_code, "At most 9" in wrong.text, 'value="青禾"' in wrong.text) == (422, True, True)
    saved = await admin.post("/settings/groups/stamps", data={**typed, "setting.per_order": "3"})
    assert saved.status_code == 303
    after = (await admin.get("/settings/groups/stamps")).text
    assert 'value="青禾"' in after
    assert "s3cret" not in after
    assert "Stored; stays as it is" in after
    forced = {"version": "1", "setting.per_order": "3", "setting.region": "South", "forget.token": "1"}
    await admin.post("/settings/groups/stamps", data=forced)
    again = (await admin.get("/settings/groups/stamps")).text
    assert "South" not in again
    assert "Stored; stays as it is" not in again


async def test_a_length_of_time_that_is_none_comes_back_as_it_was_typed(visit: Visits) -> None:
    admin = await visit("admin")
    typed = {"version": "0", "setting.session_idle": "1 2", "setting.session_idle.unit": "3600"}
    wrong = await admin.post("/settings/groups/security", data=typed)
    assert wrong.status_code == 422
    field = wrong.text.split('name="setting.session_idle"')[1].split("</select>")[0]
    assert 'value="1 2"' in field
    assert '<option value="3600" selected>' in field


async def test_two_people_at_the_same_settings_are_both_shown(visit: Visits) -> None:
    one, other = await visit("admin"), await visit("admin")
    first = {"version": "0", "setting.per_order": "3", "setting.shop": "甲"}
    await one.post("/settings/groups/stamps", data=first)
    second = await other.post("/settings/groups/stamps", data={**first, "setting.shop": "乙"})
    assert second.status_code == 409
    assert 'value="乙"' in second.text
    assert "Now 甲, by somebody else" in second.text
    assert hidden(second.text, "version") == "1"
    assert (await other.post("/settings/groups/stamps", data={**first, "version": "x"})).status_code == 400


async def test_who_may_not_change_settings_sees_none(visit: Visits) -> None:
    manager, agent = await visit("manager"), await visit("agent")
    assert "Nothing you may change here" in (await manager.get("/settings")).text
    assert (await manager.get("/settings/groups/general")).status_code == 403
    assert (await manager.post("/settings/groups/stamps", data={"version": "0"})).status_code == 403
    assert (await agent.get("/settings")).status_code == 403
    assert (await agent.get("/settings/fields")).status_code == 403
    assert (await agent.post("/settings/fields/field", data={"label": "x"})).status_code == 403
    assert (await agent.post("/settings/calendar/default", data={})).status_code == 403
    assert (await (await visit("admin")).get("/settings/groups/nothing")).status_code == 404


async def test_a_calendar_is_a_year_and_a_week(
    visit: Visits, frozen_now: FrozenNow, query_counter: QueryCounter
) -> None:
    agent, admin = await visit("agent"), await visit("admin")
    read = (await agent.get("/settings/calendar?year=2026")).text
    assert "National Day" in read
    assert "Set many dates" not in read
    assert 'name="monday"' not in read
    query_counter.reset()
    page = (await admin.get("/settings/calendar?year=2026")).text
    assert query_counter.count <= 15
    assert "provisional" not in page
    assert "provisional" in (await admin.get("/settings/calendar?year=2028")).text
    week = {"monday": "9点到5点", "tuesday": "08:30-12:00，13:00-17:30", "zone": "Mars", "country": "CN"}
    week["version"] = hidden(page, "version").replace("&#43;", "+")
    wrong = await admin.post("/settings/calendar/default", data=week)
    assert wrong.status_code == 422
    assert "9点到5点" in wrong.text
    assert "Expected an IANA zone" in wrong.text
    right = {**week, "monday": "", "zone": "Asia/Shanghai"}
    assert (await admin.post("/settings/calendar/default", data=right)).status_code == 303
    late = await admin.post("/settings/calendar/default", data={**right, "tuesday": "10:00-11:00"})
    assert late.status_code == 409
    assert "10:00-11:00" in late.text
    assert "Now: 08:30-12:00, 13:00-17:30" in late.text
    assert (await admin.get("/settings/calendar?name=none")).status_code == 404
    assert (await admin.get("/settings/calendar?year=99999")).status_code == 400


async def test_dates_are_set_one_by_one_and_from_a_list(visit: Visits) -> None:
    admin = await visit("admin")
    path = "/settings/calendar/default"
    assert "2027-02-14 working" in (await admin.get(f"{path}/list")).text
    wrong = await admin.post(f"{path}/list", data={"days": "2027-02-05 休 春节\n昨天 休\n2027-02-14 嗯\n"})
    assert wrong.status_code == 422
    assert "Line 2" in wrong.text
    assert "Line 3" in wrong.text
    assert "2027-02-05 休 春节" in wrong.text
    await admin.post(f"{path}/list", data={"days": "2027-02-05 休 春节<b>\n2027-02-14 班 10:00-16:00 盘点\n"})
    year = (await admin.get("/settings/calendar?year=2027")).text
    assert "春节&lt;b&gt;" in year
    assert "10:00-16:00" in year
    assert "provisional" not in year
    dialog = (await admin.get(f"{path}/day?date=2027-02-05")).text
    assert "Something is set for this date already" in dialog
    hours = {"date": "2027-03-01", "kind": "holiday", "name": "团建", "hours": "09:00-10:00"}
    assert (await admin.post(f"{path}/day", data=hours)).status_code == 422
    assert (await admin.post(f"{path}/day", data={**hours, "hours": ""})).status_code == 303
    assert "团建" in (await admin.get("/settings/calendar?year=2027")).text
    for _ in range(2):
        assert (await admin.post(f"{path}/day/remove", data={"date": "2027-03-01"})).status_code == 303
    assert "团建" not in (await admin.get("/settings/calendar?year=2027")).text
    assert (await admin.post("/settings/calendar/new", data={"name": "仓库"})).status_code == 422
    assert (await admin.post("/settings/calendar/new", data={"name": "warehouse"})).status_code == 303
    assert "warehouse" in (await admin.get("/settings/calendar")).text


def order(text: str) -> list[str]:
    return re.findall(r'name="layout" value="([^"]*)"', text)


async def test_acceptance_r039(visit: Visits, record: Record) -> None:
    """R039: business users build the customer data model by drag and drop, no code."""
    admin = await visit("admin")
    version = hidden((await admin.get("/settings/fields")).text, "version")
    made = await admin.post("/settings/fields/group", data={"label": "护肤", "version": version})
    assert made.status_code == 303
    shaped = await _shape(admin, {"label": "肤质", "type": "choice", "group": "护肤"}, "choice")
    assert 'name="choice_label"' in shaped
    choices = {"choice_label": ["干性", "油性"], "choice_key": ["dry", ""], "choice_archived": ["", ""]}
    field = {"label": "肤质", "key": "skin", "type": "choice", "group": "护肤", "source": ["shop", "staff"], **choices}
    assert "干性" in (await admin.post("/settings/fields/preview", data=field)).text
    assert (await admin.post("/settings/fields/field", data=field)).status_code == 303
    await admin.post("/settings/fields/field", data={"label": "预算", "type": "money", "currency": "CNY"})
    page = (await admin.get("/settings/fields")).text
    assert order(page)[-3:] == ["field:预算", "group:护肤", "field:skin"]
    # The budget is dragged under the heading, before the skin; what the page then has is sent.
    dragged = [*order(page)[:-3], "group:护肤", "field:预算", "field:skin"]
    body = {"layout": dragged, "version": hidden(page, "version")}
    dropped = await admin.post("/settings/fields/layout", data=body, headers={"hx-request-type": "partial"})
    assert dropped.status_code == 200
    assert order((await admin.get("/settings/fields")).text) == dragged
    stale = await admin.post("/settings/fields/layout", data=body, headers={"hx-request-type": "partial"})
    assert stale.status_code == 409
    assert "Show the fields as they are now" in stale.text
    [event] = await record(
        {"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"skin": "dry"}},
    )
    known = (await admin.get(f"/api/v1/customers/{event.customer_id}")).json()
    assert known["attributes"]["skin"] == "dry"
    assert "油性" in (await admin.get("/settings/fields/field?key=skin")).text
    kept = (await admin.get("/api/v1/customers/fields")).json()["items"]
    [skin] = [each for each in kept if each["key"] == "skin"]
    assert [(each["key"], each["label"]) for each in skin["choices"]] == [("dry", "干性"), ("油性", "油性")]
    assert skin["sources"] == ["shop", "staff"]


async def _shape(visitor: Visitor, form: dict[str, Any], do: str) -> str:
    body = {"stored": "", **form, "do": do}
    answer = await visitor.post("/settings/fields/shape", data=body, headers={"hx-request-type": "partial"})
    assert answer.status_code == 200
    return answer.text


async def test_what_a_change_of_a_field_would_do_is_said_before(visit: Visits, record: Record) -> None:
    admin = await visit("admin")
    choices = {"choice_label": ["干性", "油性"], "choice_key": ["dry", "oily"], "choice_archived": ["", ""]}
    await admin.post("/settings/fields/field", data={"label": "肤质<b>", "key": "skin", "type": "choice", **choices})
    await record({"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"skin": "dry"}})
    page = (await admin.get("/settings/fields/field?key=skin")).text
    assert "肤质<b>" not in page
    form = {"stored": "skin", "version": hidden(page, "version"), "label": "肤质"}
    said = await _shape(admin, {**form, "type": "number"}, "")
    assert "1 customer has a value that would not fit" in said
    refused = await admin.post("/settings/fields/field", data={**form, "type": "number"})
    assert refused.status_code == 409
    assert 'value="number" selected' in refused.text
    gone = {"choice_label": ["油性"], "choice_key": ["oily"], "choice_archived": [""]}
    assert (await admin.post("/settings/fields/field", data={**form, "type": "choice", **gone})).status_code == 409
    archived = await _shape(admin, {**form, "type": "choice", **choices}, "archive:0")
    assert 'name="choice_archived" value="1"' in archived
    used = (await admin.get("/settings/fields/use?key=skin")).text
    assert "1 customer has a value." in used
    assert (await admin.post("/settings/fields/archive", data={"key": "skin", "archived": "1"})).status_code == 303
    assert "1 archived field" in (await admin.get("/settings/fields")).text
    assert (await admin.post("/settings/fields/archive", data={"key": "skin"})).status_code == 303
    late = await admin.post("/settings/fields/field", data={**form, "type": "choice", **choices})
    assert late.status_code == 409
    assert 'value="肤质"' in late.text
    assert "肤质&lt;b&gt;" in late.text


async def test_stages_are_choices_with_an_order(visit: Visits) -> None:
    admin = await visit("admin")
    stages = {"choice_label": ["潜客", "老客户"], "choice_key": ["lead", "loyal"], "choice_archived": ["", "1"]}
    page = (await admin.get("/settings/fields/field?key=stage")).text
    form = {"stored": "stage", "version": hidden(page, "version"), "label": "", **stages}
    assert (await admin.post("/settings/fields/field", data=form)).status_code == 303
    kept = (await admin.get("/api/v1/customers/fields")).json()["items"]
    [stage] = [each for each in kept if each["key"] == "stage"]
    assert [(each["key"], each["archived"]) for each in stage["choices"]] == [("lead", False), ("loyal", True)]
    assert "<dt>潜客</dt><dd>0</dd>" in (await admin.get("/settings/fields/use?key=stage")).text


async def test_a_field_that_does_not_fit_says_so_beside(visit: Visits) -> None:
    admin = await visit("admin")
    wrong: list[tuple[dict[str, str], str]] = [
        ({"label": ""}, "This is needed"),
        ({"label": "x" * 300}, "too long"),
        ({"label": "肤质", "type": "choice"}, "expected at least one"),
        ({"label": "价", "type": "money", "currency": "XXQ"}, "An ISO 4217 code"),
        ({"label": "电话", "key": "phone"}, "There is a field phone already"),
        ({"label": "归属", "key": "id"}, "a part of every customer"),
    ]
    for form, beside in wrong:
        answer = await admin.post("/settings/fields/field", data={"help": "留着", **form})
        assert answer.status_code in {409, 422}, form
        assert beside in answer.text, form
        assert "留着" in answer.text, form


async def test_headings_are_called_otherwise_and_taken_away(visit: Visits) -> None:
    admin = await visit("admin")

    async def version() -> str:
        return hidden((await admin.get("/settings/fields/group")).text, "version")

    await admin.post("/settings/fields/group", data={"label": "<i>护肤", "version": await version()})
    assert "&lt;i&gt;护肤" in (await admin.get("/settings/fields")).text
    twice = await admin.post("/settings/fields/group", data={"label": "<i>护肤", "version": await version()})
    assert twice.status_code == 422
    assert (await admin.post("/settings/fields/group", data={"label": "", "version": "x"})).status_code == 422
    stale = await admin.post("/settings/fields/group", data={"label": "新", "version": "x"})
    assert stale.status_code == 409
    body = {"key": "<i>护肤", "label": "美妆", "version": await version()}
    assert (await admin.post("/settings/fields/group", data=body)).status_code == 303
    assert "美妆" in (await admin.get("/settings/fields")).text
    body = {"key": "<i>护肤", "remove": "1", "version": await version()}
    assert (await admin.post("/settings/fields/group", data=body)).status_code == 303
    await admin.get("/settings/fields")  # the toast names it once more
    assert "美妆" not in (await admin.get("/settings/fields")).text
    assert (await admin.get("/settings/fields/group?key=gone")).status_code == 404
