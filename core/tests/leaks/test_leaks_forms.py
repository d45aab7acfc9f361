"""Every form of the running application: what does not fit is refused in words, and nothing is found out by typing.

What a form has comes from the handlers, so that a new page is among them.
"""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from leaks_asking import EVERYBODY, Request, canaries, conditions
from leaks_forms import Drawn, fields_of, fit, multipart, unfit
from leaks_pages import Reader, log_in, new_user, possessions, user_of
from leaks_world import DECOY, PASSWORD, VICTIM, Answer, World

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.contracts import PageRoute
    from zhike.platform import Platform

PLACES = {
    **{"action": "customers.set_stage", "field": "stage", "group": "general", "role": "viewer", "verb": "retry"},
    "name": "default",
}
"""What is there without having been made."""
BESIDE: dict[str, dict[str, list[str] | None]] = {
    "/conditions/count": {"field": ["condition"], "condition": None},
    "/customers/{customer_id}/identities/new": {"namespace": ["external_id"], "value": None},
    "/settings/fields/preview": {"label": None, "type": ["text"], "help": None},
    "/settings/fields/shape": {"label": None, "type": ["text"], "help": None, "do": ["choice"]},
    "/tasks/{task_id}/status": {"status": ["done"], "result": None},
    "/views/new": {"page": ["customers"], "address": ["kind=person"], "name": None, "shared": ["me"]},
}
"""Forms that stand on another page than their own, and those that need more than is drawn."""
OWN = {"/roles/new": {"name": "§"}, "/settings/calendar/new": {"name": "§"}, "/users/new": {"password": PASSWORD}}
"""Fields that take no free text, by page."""
NOT_TYPED = ("/profile/", "/imports/new", "/customers/{customer_id}/erase", "/customers/{customer_id}/reveal")
"""Pages that end the session, take a file, and ask for the customer's own name or for a right that is not there."""
ANSWERS = {200, 303, 400, 403, 404, 409, 413, 422, 429}
"""What a page may say to any form; 429 where passwords are guessed."""


def forms_of(platform: Platform) -> list[PageRoute]:
    """Return the pages that take a form of somebody who has logged in."""
    posted = (page for _, page in platform.registry.pages if page.method == "POST")
    return [page for page in posted if page.path not in {"/login", "/logout"}]


def typed(name: str, what: str, value: str) -> list[str]:
    """Return what is typed into a field; conditions ask about the value, what says how is left as a form has it."""
    if name == "condition":
        return [next(json.dumps(each) for each in conditions(what, value, every=False))]
    return {"field": ["condition"], "all": ["1"], "page": ["customers"], "version": ["1"]}.get(name, [value])


def blank(answer: Answer, value: str) -> tuple[int, str]:
    """Return an answer without what was typed, and without numbers, which are those of what was made."""
    text = answer.text + " ".join(re.findall("hx-trigger: .*", answer.head))
    escaped = json.dumps(value)[1:-1]
    for form in (escaped, html.escape(value), urllib.parse.quote(value, safe=""), urllib.parse.quote(value), value):
        text = text.replace(form, "§").replace(urllib.parse.quote_plus(form), "§")
    return answer.status, re.sub(r"\d+", "N", text)


def told(text: str) -> str:
    """Return the words of a page."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text.partition("<main")[2] or text)).strip()


def path_of(page: PageRoute, ids: dict[str, list[int]]) -> str:
    """Return the address of a page about something that is there."""
    known = PLACES | {place: str(some[0]) for place, some in ids.items()}
    return re.sub(r"{(\w+)}", lambda found: known.get(found[1], "name"), page.path)


async def test_what_does_not_fit_into_a_form_is_refused_in_words(
    app: Application, platform: Platform, world: World
) -> None:
    boss_id = await new_user(platform, "boss", "admin")
    boss = await log_in(app, boss_id)
    ids = await possessions(platform, boss, boss_id, world)
    wrong: list[tuple[Any, ...]] = []
    names_found, asked = set[str](), 0
    for page in forms_of(platform):
        names = fields_of(page)
        names_found.update(names)
        path = path_of(page, ids)
        for what, body, refused in unfit(names):
            asked += 1
            answer = await boss(path, {}, content=body)
            if "/login?next=" in answer.head:  # the page before has ended the session
                boss = await log_in(app, boss_id)
                answer = await boss(path, {}, content=body)
            if answer.status not in ({400} if refused else ANSWERS) or (answer.status >= 400 and not told(answer.text)):
                wrong.append((path, what, answer.status, told(answer.text)[:200]))
            shown = page.upload or path.endswith("/password") or "typed-two" in answer.text
            if what == "twice" and answer.status == 422 and not shown:
                wrong.append((path, what, "what was typed is lost", names))
        answer = await boss(path, {}, content=multipart(names), content_type="multipart/form-data; boundary=b")
        if answer.status not in (ANSWERS if page.upload else {400}):
            wrong.append((path, "file", answer.status, told(answer.text)[:200]))
    assert not wrong
    assert asked > 700
    assert len(names_found) > 80


async def belongings(platform: Platform, snoop: Reader, snoop_id: int, customer: int) -> dict[str, list[int]]:
    """Make what is the attacker's own, and return the ids of it, by place of a path."""
    task = {
        "title": ["Mine"],
        "assignee": [str(snoop_id)],
        "priority": ["normal"],
        "interval": ["1"],
        "closed": ["keep"],
    }
    made = [await snoop("/tasks/new", task)]
    async with platform.db.connection() as connection:
        task_id = await connection.fetchval("SELECT max(id) FROM task")
    made.append(await snoop(f"/tasks/{task_id}/comments", {"text": ["Mine"]}))
    made.append(await snoop("/teams/new", {"name": ["Mine"]}))
    assert {each.status for each in made} <= {200, 303, 403, 422}
    tables = {"comment_id": "task_comment", "team_id": "team"}
    async with platform.db.connection() as connection:
        ids = {place: [await connection.fetchval(f"SELECT max(id) FROM {name}")] for place, name in tables.items()}
    return {**ids, "task_id": [task_id], "user_id": [snoop_id], "customer_id": [customer]}


def alike(answer: Answer, said: set[str]) -> tuple[int, frozenset[str]]:
    """Return an answer without what was typed so far: which lines it has, but not how often."""
    text = re.sub(r"zk_[\w-]{20,}", "", answer.text)  # the secret of a token
    for value in said:
        text = blank(answer._replace(text=text), value)[1]
    return answer.status, frozenset(re.split(r"\s*\n\s*|(?=<)", text))


@pytest.mark.parametrize("kind", ["masked", "hidden", "own"])
async def test_what_is_typed_into_a_form_finds_nothing_out(
    app: Application, platform: Platform, world: World, kind: str
) -> None:
    boss_id = await new_user(platform, "boss", "admin")
    customer = world.mine if kind == "own" else world.spare
    # Whoever sees all customers masked sees what colleagues have written of them.
    ids = await possessions(platform, await log_in(app, boss_id), boss_id, world) if kind == "own" else {}
    about = {**ids, "customer_id": [customer]}
    snoop_id, told_of, differ, taken = await user_of(platform, kind, world), [], [], []
    snoop = await log_in(app, snoop_id)
    for page in forms_of(platform):
        path, names = path_of(page, about), fields_of(page)
        if page.path.startswith(("/profile/", "/imports/new", "/settings/calendar/")):
            continue  # these end the session, take a file, and show what was typed before
        for what in ("name", "card"):
            answers = []
            for person in (VICTIM, DECOY):
                form = {name: typed(name, what, person.forms[what]) for name in names}
                answers.append(await snoop(path, form, part=what == "name"))
                taken.append(answers[-1].status < 400)
                if found := canaries(answers[-1], Request("POST", path, form)):
                    told_of.append((path, what, found))
            one, other = (blank(each, who.forms[what]) for each, who in zip(answers, (VICTIM, DECOY), strict=True))
            if one != other:
                differ.append((path, what, one, other))
    assert not told_of
    assert not differ
    assert len(taken) > 250
    assert sum(taken) > 15
    filled, accepted = await _accepted(platform, snoop, await belongings(platform, snoop, snoop_id, customer), kind)
    assert filled > 30
    assert accepted > 0.75 * filled


async def _accepted(platform: Platform, snoop: Reader, mine: dict[str, list[int]], kind: str) -> tuple[int, int]:
    """Fill all forms in which a text can be any so that they fit; return how many, and how many were accepted."""
    told_of, differ, filled, accepted = list[object](), list[object](), 0, 0
    said = {VICTIM.name, VICTIM.id_card, DECOY.name, DECOY.id_card}
    for page in forms_of(platform):
        if page.path.startswith(NOT_TYPED):
            continue
        path, found = path_of(page, mine), BESIDE.get(page.path, {})
        answers: list[Answer] = []
        for person in (DECOY, VICTIM):
            if page.path not in BESIDE and (not answers or "version" in found):
                drawn = Drawn()
                drawn.feed((await snoop(path)).text)
                found = drawn.forms.get(path, {})
            # Nobody asks about a field that they do not see whole.
            condition = typed("condition", "name", person.name)[0] if kind == "own" else json.dumps(EVERYBODY)
            form = fit(found, person.name, condition=condition, rule=condition, **OWN.get(page.path, {}))
            if person.name not in repr(form):
                continue
            answers.append(await snoop(path, form))
            if leaked := canaries(answers[-1], Request("POST", path, form)) - said:
                told_of.append((path, leaked))
        filled, accepted = filled + len(answers), accepted + sum(each.status < 400 for each in answers)
        if len({alike(each, said) for each in answers}) > 1:
            differ.append((path, *answers))
    assert not told_of
    assert not differ
    return filled, accepted
