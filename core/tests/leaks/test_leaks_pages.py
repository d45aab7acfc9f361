"""Every page of the running application: nothing masked, hidden or foreign is told, nothing typed becomes markup.

What is asked for comes from the registry and from the links of the pages, so that a new page is among them.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from leaks_asking import EVERYBODY, Request, canaries
from leaks_pages import Markup, Reader, crawl, log_in, new_user, possessions, user_of
from leaks_world import ATTACKERS, DECOY, NOBODY, RULED, VICTIM, Answer, Asker, World

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.contracts import PageRoute
    from zhike.platform import Platform

MARK = "zzx"
TEXT = f"\"'><{MARK} {MARK}=1>{{{{7*1911111}}}}</textarea></script></title><{MARK}>"
HOSTILE: tuple[dict[str, Any], ...] = (
    {"x_csrf_token": ""},
    {"x_csrf_token": "é"},
    {"x_csrf_token": "00" * 64},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"origin": "null"},
    {"origin": "http://zhike.example"},
)
AGAIN = 3
"""How often two answers that should be the same are asked for: a minute, which a page shows, may end between them."""
HEADERS = ("cache-control: no-store", "frame-ancestors 'none'", "x-content-type-options: nosniff", "referrer-policy: ")
BIG, DEEP = "9" * 30, "[" * 5_000
UNFIT: list[tuple[str, dict[str, list[str]] | None, int]] = [
    ("/duplicates/accept", {"expected": [BIG]}, 400),
    ("/duplicates/accept?again", {"rule": ["\0"]}, 400),
    ("/tagging/customers/{id}/tags", {"add": ["\0"]}, 400),
    ("/tagging/customers/{id}/tags?again", {"remove": [BIG]}, 404),
    ("/tasks/board/move", {"item": [BIG], "column": ["done"]}, 400),
    ("/tasks/new", {"title\0": ["x"]}, 400),
    ("/customers/{id}/relations/new", {"kind": ["family"], "other": [BIG]}, 422),
    ("/tokens/new", {"user_id": ["²"]}, 422),
    (f"/customers?condition={DEEP}", None, 422),
    (f"/exports/customers?condition={DEEP}", None, 422),
    (f"/exports/customers/file?condition={DEEP}", None, 400),
    ("/exports/customers?since_to=9999-12-31", None, 200),
]
"""What no form of ours sends; each of these was an error of the server."""


@pytest.fixture(autouse=True)
async def _far_apart(platform: Platform) -> None:
    """No two things have the same id, and none has one that stands on a page for another reason."""
    async with platform.db.connection() as connection:
        names = await connection.fetch("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
        for number, (name,) in enumerate(names):
            await connection.execute(f'ALTER SEQUENCE "{name}" RESTART WITH {7_000_111 + 1_000_000 * number}')


@pytest.fixture
async def boss_id(platform: Platform, world: World) -> int:
    """An administrator, who is none of the attackers."""
    return await new_user(platform, "boss", "admin")


@pytest.fixture
async def boss(app: Application, boss_id: int) -> Reader:
    """Reads as the administrator."""
    return await log_in(app, boss_id)


def pages_of(platform: Platform, method: str) -> Iterator[PageRoute]:
    """Yield the pages that ask who one is."""
    for _, page in platform.registry.pages:
        if page.method == method and page.path != "/login":
            yield page


def beginnings(platform: Platform, customer_id: int) -> Iterator[str]:
    """Yield addresses from which all pages are found."""
    yield from (page.path for page in pages_of(platform, "GET") if "{" not in page.path)
    yield f"/customers/{customer_id}"
    for key in platform.registry.panels:
        yield from (f"/customers/{customer_id}/panels/{key}", f"/start/panels/{key}")
    for field in RULED:
        yield from (f"/customers/{customer_id}/reveal?field={field}", f"/customers/{customer_id}/change/{field}")
    for kind in platform.registry.pickers:
        yield f"/search/pick?kind={kind}&q="


@pytest.mark.heavy
async def test_pages_tell_nothing(app: Application, platform: Platform, boss: Reader, world: World) -> None:
    found = await crawl(boss, beginnings(platform, world.victim), 1)
    asked = {path: Request("GET", urllib.parse.unquote(path)) for path in found}
    assert len([path for path, answer in found.items() if canaries(answer, asked[path])]) > 40
    told = []
    everybody = {"condition": [json.dumps(EVERYBODY)], "field": ["condition"]}
    for kind in ATTACKERS:
        snoop = await log_in(app, await user_of(platform, kind, world))
        for number, path in enumerate(found):
            answer = await snoop(path, part=number % 2 == 0)
            if leaked := canaries(answer, asked[path]):
                told.append((kind, path, leaked))
        assert (await snoop("/conditions/count", everybody, part=True)).status == 200
    assert not told


def paths_of(page: PageRoute, platform: Platform, ids: dict[str, list[int]], mine: int) -> Iterator[tuple[str, int]]:
    """Yield the paths of a page to what is somebody else's, with the id in it."""
    places = [place for place in re.findall(r"{(\w+)}", page.path) if place in ids]
    others = list(platform.registry.panels) if "{key}" in page.path else ["name"]
    for place in places:
        for known, other in ((known, other) for known in ids[place] for other in others):
            path = page.path.replace(f"{{{place}}}", str(known)).replace("{customer_id}", str(mine))
            for left in places:
                path = path.replace(f"{{{left}}}", str(ids[left][0]))
            yield re.sub(r"{\w+}", other, path), known


def without(answer: Answer, known: int) -> tuple[int, str, str]:
    """Return an answer without an id."""
    head = re.sub("content-length: .*", "", answer.head)
    return answer.status, head.replace(str(known), "§"), answer.text.replace(str(known), "§")


async def test_what_is_not_ones_own_is_as_if_it_were_not_there(
    app: Application, platform: Platform, boss: Reader, boss_id: int, world: World
) -> None:
    ids = await possessions(platform, boss, boss_id, world)
    snoop = await log_in(app, await user_of(platform, "own", world))
    differ, asked = [], 0
    for page in (*pages_of(platform, "GET"), *pages_of(platform, "POST")):
        for path, known in paths_of(page, platform, ids, world.mine):
            form = {"version": ["1"], "reason": ["x"], "ids": [str(known)]} if page.method == "POST" else None
            for part in (False, True):
                asked += 1
                for _ in range(AGAIN):
                    answer = await snoop(path, form, part=part)
                    unknown = await snoop(path.replace(str(known), str(NOBODY)), form, part=part)
                    assert not canaries(answer, Request("GET", path)), path
                    if without(answer, known) == without(unknown, NOBODY):
                        break
                else:
                    differ.append((page.method, path, answer.status, unknown.status))
    assert not differ
    assert asked > 150


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["masked", "own"])
async def test_what_is_typed_into_an_address_finds_nothing_out(
    app: Application, platform: Platform, world: World, kind: str
) -> None:
    snoop = await log_in(app, await user_of(platform, kind, world))
    customer, differ, asked = world.mine if kind == "own" else world.victim, [], 0
    for page in pages_of(platform, "GET"):
        path = page.path.replace("{customer_id}", str(customer)).replace("{kind}", "customers")
        names = [each.encode_name for each in msgspec.structs.fields(page.query)] if page.query else []
        wanted = [f"{name}=" for name in names if name in {"q", "name", "object", "stage", "condition"}]
        wanted += [f"identity={namespace}:" for namespace in ("email", "wecom_unionid") if "identity" in names]
        wanted += [f"kind={each}&q=" for each in platform.registry.pickers] if path == "/search/pick" else []
        for what, query in ((what, query) for what in ("email", "name", "card", "company") for query in wanted):
            asked += 1
            for _ in range(AGAIN):
                answers = [
                    _untyped(await snoop(f"{re.sub(r'{.*?}', '1', path)}?{query}{_typed(what, query, each)}"), each)
                    for each in (VICTIM.forms[what], DECOY.forms[what])
                ]
                if answers[0] == answers[1]:
                    break
            else:
                differ.append((what, path, query))
    assert not differ
    assert asked > 60


def _typed(what: str, query: str, value: str) -> str:
    field = {"card": "attributes.id_card"}.get(what, what)
    asked = {"type": "field", "field": f"customer.{field}", "op": "eq", "value": value}
    return urllib.parse.quote(json.dumps(asked) if query == "condition=" else value)


def _untyped(answer: Answer, value: str) -> tuple[int, str]:
    told = answer.text
    escaped = json.dumps(value)[1:-1]
    for form in (value, urllib.parse.quote(value), urllib.parse.quote(value, safe=""), escaped, escaped.lower()):
        told = told.replace(form, "§").replace(urllib.parse.quote_plus(form), "§")
    return answer.status, told


async def test_nobody_sends_a_form_for_another_page(app: Application, platform: Platform, boss: Reader) -> None:
    other = csrf_of(await log_in(app, await new_user(platform, "other", "admin")))
    for page in pages_of(platform, "POST"):
        path = re.sub(r"{\w+}", "1", page.path)
        for headers in (*HOSTILE, {"x_csrf_token": other}):
            assert (await boss(path, {}, **headers)).status == 403, (path, headers)
        assert "/login?next=" in (await boss(path, {}, cookie="")).head, path
    for headers in HOSTILE[3:]:
        assert (await boss("/login", {}, **headers)).status == 403
    for page in pages_of(platform, "GET"):
        answer = await boss(re.sub(r"{\w+}", "1", page.path))
        assert not [each for each in HEADERS if each not in answer.head], page.path
        assert "/login?next=" in (await boss(re.sub(r"{\w+}", "1", page.path), cookie="")).head, page.path


def csrf_of(reader: Reader) -> str:
    """Return what the forms of somebody send along."""
    from zhike.access.cookies import csrf_token

    return csrf_token(reader.token)


async def test_what_no_form_sends_is_no_defect(boss: Reader, world: World) -> None:
    answered = {path: (await boss(path.replace("{id}", str(world.mine)), form)).status for path, form, _ in UNFIT}
    assert answered == {path: status for path, _, status in UNFIT}
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nx\r\n--b--\r\n'
    answer = await boss("/tasks/new", {}, content=file, content_type="multipart/form-data; boundary=b")
    assert answer.status == 400
    assert "takes no file" in answer.text
    for came, path in (("http://[", "/"), ("http://zhike//evil.example", "/"), ("http://evil.example/tasks", "/tasks")):
        answer = await boss("/profile/language", {"locale": ["en"]}, referer=came)
        assert f"location: {path}\n" in f"{answer.head}\n"


async def _fill(admin: Asker, boss: Reader) -> list[str]:
    """Make things that are all called by a piece of markup; return addresses that show or quote it."""
    role = {"name": "marked", "label": TEXT, "permissions": {"customers.read": "all"}}
    assert (await admin("POST", "/roles", role)).status < 300
    choices = {"key": "pick", "type": "choice", "label": TEXT, "choices": [{"key": "a", "label": TEXT}]}
    for field in ({"key": "site", "type": "link", "label": TEXT}, {"key": "note", "type": "text"}, choices):
        assert (await admin("POST", "/customers/fields", field)).status < 300
    made = []
    for number, site in enumerate(("https://zhike.example/'onclick='", f'https://zhike.example/"><{MARK}>')):
        person = {"name": TEXT, "company": TEXT, "stage": TEXT[:50], "identities": {"external_id": f"m-{number}"}}
        attributes = {"note": TEXT, "pick": "a", "loose": TEXT, "site": site}
        answer = await admin("POST", "/customers", {**person, "attributes": attributes})
        assert answer.status == 201, answer.text
        made.append(answer.json["id"])
    link = await admin("PATCH", f"/customers/{made[0]}", {"attributes": {"site": "javascript:alert(1)"}})
    assert link.status == 400
    properties = {TEXT: TEXT, "sku": TEXT, "url": "javascript:alert(1)", "nested": {"a": [TEXT]}}
    event = {"name": "order.paid", "identities": {"external_id": "m-0"}, "source": TEXT[:60], "properties": properties}
    assert (await admin("POST", "/events", {"events": [event]})).json["accepted"] == 1
    relation = {"kind": "family", "other_customer_id": made[1], "title": TEXT}
    assert (await admin("POST", f"/customers/{made[0]}/relations", relation)).status == 200
    task = {"title": TEXT, "description": TEXT, "customer_id": made[0], "items": [TEXT]}
    task_id = (await admin("POST", "/tasks", task)).json["id"]
    for path, form in (
        (f"/tasks/{task_id}/comments", {"text": [f"{TEXT} @boss"]}),
        ("/views/new", {"page": ["customers"], "address": [urllib.parse.urlencode({"q": TEXT})], "name": [TEXT]}),
        ("/teams/new", {"name": [TEXT]}),
        ("/tagging/groups/new", {"key": ["marked"], "name": [TEXT]}),
        ("/tagging/tags/new", {"group": ["marked"], "name": [TEXT]}),
        ("/tokens/new", {"name": [TEXT], "kind": ["service"], "role": ["viewer"]}),
    ):
        assert (await boss(path, form)).status in {200, 303}, path
    quoted = urllib.parse.quote(TEXT)
    said = [f"{path}?q={quoted}" for path in ("/customers", "/tasks", "/events", "/search", "/audit", "/users")]
    said += [f"/login?next={quoted}", f"/customers/new?name={quoted}", f"/tasks/new?title={quoted}", f"/no/{quoted}"]
    said += [f"/customers/{made[0]}/merge?others={made[1]}", f"/customers/{made[0]}/reveal?field={quoted}"]
    return [*said, f"/customers/{made[0]}", f"/tasks/{task_id}", "/tasks?whose=all", "/tasks/board?whose=all"]


@pytest.mark.heavy
async def test_nothing_that_is_typed_becomes_markup(platform: Platform, admin: Asker, boss: Reader) -> None:
    start = await _fill(admin, boss)
    customer_id = int(start[-4].rpartition("/")[2])
    found = await crawl(boss, [*start, *beginnings(platform, customer_id)], 2)
    drawn = {path: answer.text for path, answer in found.items() if "text/html" in answer.head}
    strange = {}
    for path, page in drawn.items():
        markup = Markup(MARK)
        markup.feed(page)
        if markup.strange or "13377777" in re.sub("[0-9a-f]{16,}", "", page):
            strange[path] = markup.strange
    assert not strange
    assert len([page for page in drawn.values() if MARK in page]) > 60
    assert not [path for path, answer in found.items() if answer.status >= 500]
