"""What plugins register for forms and rules: pickers that offer what they have, actions that rules can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from zhike.contracts import Action, Picker
from zhike.hooks import hookimpl
from zhike.platform import assemble, core_plugins
from zhike.work import begin

if TYPE_CHECKING:
    from pathlib import Path

    from zhike.platform import Platform
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

STAMPS = '''
"""Stamps, for the test."""

import msgspec

from zhike.contracts import Action, Choosable, EventType, Picker
from zhike.hooks import hookimpl
from zhike.i18n import text

CARDS = {"7": "Summer <b>card", "8": "Winter card"}


class Give(msgspec.Struct, frozen=True, kw_only=True):
    count: int


async def find(call, typed, limit):
    wanted = typed.removeprefix("=")
    fits = [key for key, name in CARDS.items() if wanted == key or wanted.lower() in name.lower()]
    return [Choosable(value=key, label=CARDS[key], hint=text("Undo")) for key in fits][:limit]


async def give(work, customer_ids, params):
    for customer_id in customer_ids:
        work.emit("stamps.given", customer_id, properties={"count": params.count})


@hookimpl
def register_event_types():
    return [EventType(name="stamps.given", label="Given", kind="platform")]


@hookimpl
def register_pickers():
    return [Picker(key="stamps", find=find, permission="customers.write")]


@hookimpl
def register_actions():
    return [Action(key="stamps.give", label="Give stamps", icon="rubber-stamp", params=Give, run=give)]
'''


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin with a picker and an action."""
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "stamps.py").write_text(STAMPS)
    return folder


async def test_a_picker_offers_what_a_plugin_has_to_those_who_may(visit: Visits) -> None:
    agent, viewer = await visit("agent"), await visit("viewer", language="zh-CN")
    found = (await agent.get("/search/pick?kind=stamps&q=card")).json()
    assert found == {
        "items": [
            {"value": "7", "label": "Summer <b>card", "hint": "Undo"},
            {"value": "8", "label": "Winter card", "hint": "Undo"},
        ]
    }
    known = (await agent.get("/search/pick?kind=stamps&q=%3D8", headers={"accept-language": "zh-CN"})).json()
    assert known == {"items": [{"value": "8", "label": "Winter card", "hint": "撤销"}]}
    assert (await agent.get("/search/pick?kind=stamps&q=spring")).json() == {"items": []}
    assert (await viewer.get("/search/pick?kind=stamps&q=card")).status_code == 404
    assert (await agent.get("/search/pick?kind=coupons&q=card")).status_code == 404


async def test_an_action_does_what_it_says_to_customers(platform: Platform, record: Record) -> None:
    [event] = await record({"name": "app.login", "identities": {"phone": "13800138000"}})
    assert event.customer_id is not None
    action = platform.registry.actions["stamps.give"]
    async with begin(platform, origin="system", plugin="stamps") as work:
        await action.run(work, [event.customer_id], action.params(count=3))
    async with platform.db.connection() as connection:
        given = await connection.fetchrow("SELECT customer_id, properties FROM event WHERE name = 'stamps.given'")
    assert given is not None
    assert (given["customer_id"], given["properties"]) == (event.customer_id, '{"count": 3}')


@pytest.mark.parametrize(
    ("hook", "struct", "told"),
    [
        ("register_pickers", Picker(key="customer", find=begin), "pickers 'customer' is registered already"),
        ("register_pickers", Picker(key="coupon", find=begin), "'coupon' is not this plugin's to give"),
        ("register_actions", Action(key="stamps.x", label="x", icon="x", params=Action, run=begin), "expected thief.…"),
    ],
)
def test_what_is_others_cannot_be_registered(hook: str, struct: Picker | Action, told: str) -> None:
    plugin = type("Thief", (), {hook: staticmethod(hookimpl(lambda: [struct], specname=hook))})()
    [problem] = assemble({**core_plugins(), "thief": plugin}).problems
    assert told in str(problem.text)
