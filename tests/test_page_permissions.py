"""The permission matrix of the pages: every page of every plugin that is installed, asked by everybody there can be.

It is made from the running application, as the one of the API is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest
from test_permissions import NOBODY, OPERATOR, SEEN, World, customer, only, token, world

from zhike.access import own_roles, sessions
from zhike.access.cookies import csrf_token
from zhike.access.roles import ROLES, Scope
from zhike.api import Browser, Public
from zhike.contracts import PageRoute

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.platform import Platform

FIRST = 700_000_000
"""Ids of customers and tasks are as long as that of nobody, and found in a page nowhere else."""
OF_CUSTOMERS = ("customer_id", "customer", "others", "winner", "ids")
"""What queries and forms call the ids of customers."""
_TASK = (
    "INSERT INTO task (title, customer_id, assignee, team, origin) VALUES ('Call', $1, $2, $3, 'system') RETURNING id"
)
Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def told(self) -> str:
        """What it says about an error."""
        return f"{dict(self.headers).get('hx-trigger', '')} {self.body}"

    def about(self, thing: int) -> Answer:
        """Return it as it would be for any other thing: without its id, and without what is by chance."""
        plain = [
            re.sub(r"[\w-]{43,}", "T", text.replace(str(thing), "N").replace(f"{thing:,}", "N"))
            for text in (self.body, *(value for _, value in self.headers))
        ]
        named = zip((name for name, _ in self.headers), plain[1:], strict=True)
        kept = ((name, value) for name, value in named if name not in {"set-cookie", "content-length", "x-request-id"})
        return Answer(self.status, tuple(kept), re.sub(r"/progress/\d+", "/progress/N", plain[0]))


class Asker:
    """Sends requests straight to the application.

    Args:
        app: The application.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self.requests = 0

    async def __call__(
        self, method: str, path: str, who: Headers, form: dict[str, Any] | None = None, *, part: bool = True
    ) -> Answer:
        """Send one request, as htmx does for a part of a page unless told otherwise."""
        self.requests += 1
        headers = [(b"host", b"zhike"), (b"content-type", b"application/x-www-form-urlencoded"), *who]
        headers += [(b"accept", b"text/html"), (b"accept-language", b"en")]
        headers += [(b"hx-request", b"true"), (b"hx-request-type", b"partial")] if part else []
        route, _, query = path.partition("?")
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "extensions": {}},
            **{"method": method, "path": route, "raw_path": route.encode(), "root_path": "", "headers": headers},
            **{"query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("zhike", 80), "state": {}},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": urlencode(form or {}, doseq=True).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)  # type: ignore[arg-type]  # two descriptions of ASGI
        given = tuple((name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"])
        return Answer(sent[0]["status"], given, b"".join(each.get("body", b"") for each in sent[1:]).decode())


def bearer(secret: str) -> Headers:
    """Return what a token comes in."""
    return [(b"authorization", f"Bearer {secret}".encode())]


async def logged_in(app: Application, user: int) -> Headers:
    """Begin a session and return what a browser sends with each request of its forms."""
    async with app.services.db.transaction() as connection:
        nowhere = Browser(address="127.0.0.1", agent="test", secure=False, token=None)
        _, secret = await sessions.begin(connection, app.services.sessions, user, nowhere)
    return [(b"cookie", f"zhike={secret}".encode()), (b"x-csrf-token", csrf_token(secret).encode())]


def pages_of(platform: Platform) -> list[PageRoute]:
    """Return the pages that need a permission."""
    return [route for _, route in platform.registry.pages if isinstance(route.permission, str)]


def path_of(path: str, **known: Any) -> str:
    """Return a path with what is known in its places, and nobody in the others."""
    return re.sub(r"{(\w+)}", lambda found: str(known.get(found[1], NOBODY - 1)), path)


@pytest.fixture
def ask(app: Application) -> Asker:
    """Sends requests."""
    return Asker(app)


async def test_nobody_sees_a_page_without_a_login(platform: Platform, ask: Asker) -> None:
    asked = [route for _, route in platform.registry.pages if not isinstance(route.permission, Public)]
    assert len(asked) > len(pages_of(platform)) > 150
    for route in asked:
        for who in ([], [(b"cookie", b"zhike=" + b"x" * 43)], bearer("zk_" + "x" * 43)):
            path = path_of(route.path)
            assert (await ask(route.method, path, who)).status == 401, (route.method, path)
            whole = await ask(route.method, path, who, part=False)
            assert (whole.status, whole.body) == (303, ""), (route.method, path)
            assert dict(whole.headers)["location"].startswith("/login?next=")


async def test_a_page_is_for_those_who_hold_its_permission(platform: Platform, ask: Asker) -> None:
    every = sorted(platform.registry.permissions)
    holders: dict[str, tuple[str, frozenset[str]]] = {}
    for name, granted in ROLES.items():
        held = {key for key, each in platform.registry.permissions.items() if name in {"admin", *each.roles}}
        holders[name] = await token(platform, name), granted | held
    for number, permission in enumerate(sorted({str(route.permission) for route in pages_of(platform)})):
        but = frozenset(every) - {permission}
        only_this = await only(platform, f"only-{number}", {permission: "all"})
        holders[f"only {permission}"] = only_this, frozenset([permission])
        holders[f"but {permission}"] = await only(platform, f"but-{number}", dict.fromkeys(but, "all")), but
    wrong = []
    for who, (secret, granted) in holders.items():
        for route in pages_of(platform):
            if who.startswith("but ") and route.permission in granted:
                continue  # what else they hold is asked by `only`, and all together by admin
            answer = await ask(route.method, path_of(route.path), bearer(secret))
            refused = answer.status == 403 and f"does not grant {route.permission}" in answer.told
            if refused == (route.permission in granted) or answer.status in {401, *range(500, 600)}:
                wrong.append((who, route.method, route.path, answer.status, answer.told[:200]))
    assert not wrong


def about(platform: Platform) -> Iterator[tuple[PageRoute, str]]:
    """Yield the pages that are about a customer or a task, with `{customer_id}` or `{task_id}` left in their address.

    Those of panels and of what can be done to many are there for each of these.
    """
    known = {
        "/customers/{customer_id}/panels/{key}": [
            {"key": key} for key, panel in platform.registry.panels.items() if panel.place.startswith("customer")
        ],
        "/customers/bulk/{action}": [{"action": key} for key in platform.registry.bulk_actions],
        "/customers/bulk/{action}/start": [{"action": key} for key in platform.registry.bulk_actions],
        "/customers/{customer_id}/change/{field}": [{"field": "phone"}, {"field": "owner"}],
    }
    for route in pages_of(platform):
        names = [name for name in OF_CUSTOMERS if route.query and name in route.query.__struct_fields__]
        query = f"?{names[0]}={{customer_id}}" if names else ""
        if route.path == "/customers/{customer_id}/reveal":
            query = "?field=phone"
        if not (query or route.path in {*known, "/tasks/new"} or re.search("{(customer|task)_id}", route.path)):
            continue
        for places in known.get(route.path, [{}]):
            yield route, path_of(route.path, customer_id="{customer_id}", task_id="{task_id}", **places) + query


async def things(platform: Platform, there: World) -> dict[str, tuple[int, int]]:
    """Make a customer and a task each that are others', of the team below a user's, and the user's own.

    What the user does not see comes first, since what is done to one's own changes the pages that count it.
    """
    made = {}
    for where, (owner, team) in {
        "foreign": there.foreign,
        "team": (None, there.team),
        "own": (there.user, None),
    }.items():
        customer_id = await customer(platform, where, there)
        async with platform.db.transaction() as connection:
            task_id = await connection.fetchval(_TASK, customer_id, owner, team)
        made[where] = customer_id, task_id
    return made


async def test_what_is_out_of_scope_is_on_no_page(platform: Platform, app: Application, ask: Asker) -> None:
    async with platform.db.transaction() as connection:
        for table in ("customer", "task"):
            await connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {FIRST})")
    found, hidden, told = set(), 0, []
    for scope, seen in SEEN.items():
        every: dict[str, Scope] = {
            key: "all" if each.whole else scope for key, each in platform.registry.permissions.items()
        }
        role = own_roles.NewRole(name=scope, label=scope, permissions=every)
        await own_roles.create(platform.db, OPERATOR, role, platform.directory)
        there = await world(platform, scope)
        who = await logged_in(app, there.user)
        looked_at = await things(platform, there)
        for route, path in about(platform):

            async def asked(
                customer_id: int, task_id: int, route: PageRoute = route, path: str = path, who: Headers = who
            ) -> Answer:
                address = path_of(path, customer_id=customer_id, task_id=task_id)
                form = dict.fromkeys(OF_CUSTOMERS, customer_id) if route.method == "POST" else None
                answer = await ask(route.method, address, who, form, part=route.method == "POST")
                return answer.about(customer_id).about(task_id)

            # What a form changes is there for that form only.
            those = looked_at if route.method == "GET" else await things(platform, there)
            nobody = await asked(NOBODY, NOBODY)
            for where, ids in those.items():
                answer = await asked(*ids)
                if where not in seen:
                    hidden += 1
                    if answer != nobody:
                        told.append((scope, where, route.method, path, answer, nobody))
                elif answer.status >= 500 or answer.status in {401, 403}:
                    told.append((scope, where, route.method, path, answer, nobody))
                elif answer.status < 400:
                    found.add((route.method, route.path))
    assert not told
    assert hidden > 150
    assert {
        *(("GET", "/customers/{customer_id}"), ("GET", "/customers/{customer_id}/timeline")),
        *(("GET", "/customers/{customer_id}/panels/{key}"), ("POST", "/customers/bulk/{action}")),
        *(("GET", "/tasks/{task_id}"), ("GET", "/tasks/{task_id}/edit"), ("POST", "/tasks/{task_id}/tick")),
    } <= found
