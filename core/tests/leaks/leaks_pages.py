"""Asks for pages as somebody who has logged in does, and finds what pages there are by following their links."""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from leaks_world import ATTACKERS, OPERATOR, PASSWORD, RULED, VICTIM, Answer, World, powers

from zhike.access import new_users, own_roles, sessions, user_changes
from zhike.access.cookies import csrf_token
from zhike.access.roles import Rule
from zhike.access.schemas import UserChange
from zhike.api import Browser
from zhike.desk import notices, progress
from zhike.files import service as files
from zhike.i18n import text
from zhike.work import begin

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.platform import Platform

Form = Mapping[str, Sequence[str]]
_LINK = re.compile(r'(?:href|hx-get|data-url)="(/[^"]*)"')
_RANDOM = re.compile(r"[0-9a-f]{128}")
_ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post")


class Reader:
    """The browser of somebody who has logged in; requests go straight to the application.

    Args:
        app: The application.
        token: The session's.
    """

    def __init__(self, app: Application, token: str) -> None:
        self._app = app
        self.token = token

    async def __call__(
        self, path: str, form: Form | None = None, *, part: bool = False, content: str = "", **headers: str
    ) -> Answer:
        """Send one request, a POST where there is a form; `content` is sent in its place."""
        where, _, query = path.partition("?")
        given = {
            **{"host": "zhike", "accept": "text/html", "accept-language": "en", "cookie": f"zhike={self.token}"},
            "x-csrf-token": csrf_token(self.token),
            **({"hx-request-type": "partial"} if part else {}),
            **({} if form is None else {"content-type": "application/x-www-form-urlencoded"}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "extensions": {}},
            **{"method": "GET" if form is None else "POST", "path": urllib.parse.unquote(where), "root_path": ""},
            **{"client": ("127.0.0.1", 1), "server": ("zhike", 80), "state": {}, "raw_path": where.encode()},
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "query_string": query.encode(),
        }
        body = content.encode() if content else urllib.parse.urlencode(form or {}, doseq=True).encode()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)  # type: ignore[arg-type]  # two descriptions of ASGI
        head = b"\n".join(name + b": " + value for name, value in sorted(sent[0]["headers"])).decode("latin-1")
        told = b"".join(each.get("body", b"") for each in sent[1:]).decode(errors="replace")
        return Answer(sent[0]["status"], head, _RANDOM.sub("", told))


async def log_in(app: Application, user_id: int) -> Reader:
    """Return the browser of a user."""
    browser = Browser(address="127.0.0.1", agent="test", secure=False, token=None)
    async with app.services.db.transaction() as connection:
        _, token = await sessions.begin(connection, app.services.sessions, user_id, browser)
    return Reader(app, token)


async def user_of(platform: Platform, kind: str, world: World) -> int:
    """Return a user who is one of the attackers."""
    scope, rule = ATTACKERS[kind]
    rules: dict[str, Rule] = {} if rule is None else dict.fromkeys(RULED, rule)
    granted = powers(platform, scope, rule)
    if scope == "own":  # jobs concern no customer: whoever is granted them sees them all
        granted = {name: each for name, each in granted.items() if not name.startswith("jobs.")}
    role = own_roles.NewRole(name=f"{kind}-page", label=kind, permissions=granted, rules=rules)
    await own_roles.create(platform.db, OPERATOR, role, platform.directory)
    if scope == "own":
        change = UserChange(role=role.name)
        await user_changes.change(platform.db, OPERATOR, world.user, change, directory=platform.directory)
        return world.user
    return await new_user(platform, kind, role.name)


async def new_user(platform: Platform, name: str, role: str) -> int:
    """Make a user."""
    made = await new_users.create(platform.db, OPERATOR, login=name, name=name, role=role, password=PASSWORD)
    return made.id


async def possessions(platform: Platform, boss: Reader, user_id: int, world: World) -> dict[str, list[int]]:
    """Make what is somebody else's and quotes a customer, and return the ids of all that is, by place of a path."""
    async with platform.db.connection() as connection:
        task = await connection.fetchval("SELECT id FROM task WHERE customer_id = $1", world.victim)
    for path, form in (
        (f"/tasks/{task}/comments", {"text": [VICTIM.name]}),
        (f"/tasks/{task}/items", {"text": [VICTIM.company]}),
        ("/views/new", {"page": ["customers"], "address": [f"q={VICTIM.phone}"], "name": [VICTIM.name]}),
    ):
        assert (await boss(path, form)).status in {200, 303}, path
    told = text("About {name}", name=VICTIM.name)
    async with begin(platform, origin=f"user:{user_id}") as work:
        await progress.begin(work, OPERATOR, told, kind="probe")
        await notices.notify(work, [user_id], told, kind="task", path=f"/customers/{world.victim}")
    file = await files.store(
        platform,
        OPERATOR,
        name=f"{VICTIM.name}.csv",
        pieces=_pieces(),
        owner="imports",
        permission="customers.read",
        customer_id=world.victim,
    )
    tables = {
        **{"item_id": "task_item", "comment_id": "task_comment", "view_id": "saved_view", "notice_id": "notice"},
        **{"progress_id": "progress", "merge_id": "customer_merge", "pair_id": "duplicate_candidate"},
        "session_id": "session",
    }
    async with platform.db.connection() as connection:
        ids = {place: [await connection.fetchval(f"SELECT min(id) FROM {name}")] for place, name in tables.items()}
    customers = [world.victim, world.merged, world.spare]
    return {**ids, "task_id": [task], "file_id": [file.id], "customer_id": customers}


async def _pieces() -> AsyncIterator[bytes]:
    yield VICTIM.name.encode()


def links(answer: Answer) -> Iterator[str]:
    """Yield the addresses on this server that a page names."""
    for found in _LINK.findall(answer.text):
        path = html.unescape(found)
        if not path.startswith(("//", "/static/")):
            yield path


async def crawl(reader: Reader, start: Iterable[str], width: int) -> dict[str, Answer]:
    """Return the pages that are found by following links, a few of each shape.

    Args:
        reader: Who follows them.
        start: Where to begin.
        width: How many of a shape.
    """
    waiting = list(dict.fromkeys(start))
    seen, shapes, found = set(waiting), dict[str, int](), dict[str, Answer]()
    for path in waiting:  # it grows
        where, _, query = path.partition("?")
        shape = re.sub(r"\d+", "N", where) + str(sorted({name for name, _ in urllib.parse.parse_qsl(query)}))
        shapes[shape] = shapes.get(shape, 0) + 1
        if shapes[shape] > width:
            continue
        found[path] = await reader(path)
        fresh = [link for link in links(found[path]) if link not in seen]
        seen.update(fresh)
        waiting += fresh
    return found


class Markup(HTMLParser):
    """Notes what in a page was not written by a template.

    Args:
        marker: A name that tags and attributes have which were put in as text.
    """

    def __init__(self, marker: str) -> None:
        super().__init__()
        self._marker = marker
        self._data = False
        self.strange: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self._data = tag == "script" and names.get("type") == "application/json"
        leads = [(names.get(name) or "").strip().lower() for name in _ADDRESSES]
        ours = tag != "script" or self._data or str(names.get("src")).startswith("/static/")
        if (
            tag == self._marker
            or not ours
            or any(name == "style" or name.startswith(("on", self._marker)) for name in names)
            or any(lead.startswith(("javascript:", "data:", "//")) for lead in leads)
        ):
            self.strange.append(self.get_starttag_text() or tag)

    def handle_data(self, data: str) -> None:
        if self._data:
            json.loads(data)
            self._data = False
