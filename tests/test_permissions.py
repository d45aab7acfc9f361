"""The permission matrix: every route of every plugin that is installed, asked by everybody there can be.

It is made from the running application, so that a new route is in it without a word here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from zhike._host.web.app import create_app
from zhike.access import new_users, own_roles, teams, tokens
from zhike.access.actor import Actor
from zhike.access.roles import ROLES, Scope
from zhike.api import API, Call, Route
from zhike.errors import Refused

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.platform import Platform
    from zhike.settings import Settings

OPERATOR = Actor.command("test")
NOBODY = 999_999_999
"""An id that nothing has."""
OF_CUSTOMERS = ("customer_id", "other_customer_id", "winner", "loser", "losers")
"""What fields of bodies and queries are called that hold ids of customers."""


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes

    @property
    def detail(self) -> str:
        return str(json.loads(self.body)["detail"])


class Asker:
    """Sends requests straight to the application, which takes a tenth of the time that a client of HTTP would."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.requests = 0

    async def __call__(self, method: str, path: str, token: str | None, body: object = None) -> Answer:
        """Send one request and return its answer."""
        self.requests += 1
        headers = [(b"host", b"zhike"), (b"content-type", b"application/json")]
        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        route, _, query = path.partition("?")
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "extensions": {}},
            **{"method": method, "path": route, "raw_path": route.encode(), "root_path": "", "headers": headers},
            **{"query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("zhike", 80), "state": {}},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)  # type: ignore[arg-type]  # two descriptions of ASGI
        return Answer(sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:]))


class Shape:
    """Makes the smallest values that fit a type, with a customer's id wherever the type asks for one."""

    def __init__(self, kind: Any) -> None:
        self._schema: dict[str, Any] = msgspec.json.schema(kind)
        self._names = self._schema.get("$defs", {})

    @property
    def about_customers(self) -> bool:
        """Whether it asks for a customer."""
        return any(f'"{name}":' in json.dumps(self._schema) for name in OF_CUSTOMERS)

    def value(self, customer: int) -> Any:
        """Return a value."""
        return self._value(self._schema, customer)

    def _value(self, schema: dict[str, Any], customer: int) -> Any:
        if "$ref" in schema:
            return self._value(self._names[schema["$ref"].rpartition("/")[2]], customer)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._value(next(each for each in options if each.get("type") != "null"), customer)
        if "enum" in schema or "const" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        match schema.get("type"):
            case "object":
                wanted = {*schema.get("required", ()), *OF_CUSTOMERS}
                parts = schema.get("properties", {}).items()
                return {name: self._named(name, part, customer) for name, part in parts if name in wanted}
            case "array":
                least = schema.get("minItems", 0)
                return [self._value(schema["items"], customer)] * least if least else []
            case "string":
                dates = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01"}
                return dates.get(schema.get("format", ""), "a" * max(1, schema.get("minLength", 1)))
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        return {}

    def _named(self, name: str, schema: dict[str, Any], customer: int) -> Any:
        if name not in OF_CUSTOMERS:
            return self._value(schema, customer)
        return [customer] if schema.get("type") == "array" else customer


def routes_of(platform: Platform) -> list[Route]:
    """Return the routes that need a permission."""
    return [route for _, route in platform.registry.routes if isinstance(route.permission, str)]


def path_of(route: Route, customer: int = NOBODY, other: int | str = NOBODY) -> str:
    """Return a path of a route, with a query that names the customer if it may."""
    path = route.path.replace("{customer_id}", str(customer))
    query = [name for name in OF_CUSTOMERS if route.query and name in route.query.__struct_fields__]
    return API + re.sub(r"{\w+}", str(other), path) + (f"?{query[0]}={customer}" if query else "")


@pytest.fixture
def ask(app: Application) -> Asker:
    """Sends requests."""
    return Asker(app)


async def only(platform: Platform, name: str, permissions: dict[str, Scope], user_id: int | None = None) -> str:
    """Make a role and return the secret of a token with it."""
    role = own_roles.NewRole(name=name, label=name, permissions=permissions)
    await own_roles.create(platform.db, OPERATOR, role, platform.directory)
    return await token(platform, name, user_id)


async def token(platform: Platform, role: str, user_id: int | None = None) -> str:
    """Make a token that acts with all of a role."""
    made = await tokens.create(
        platform.db, OPERATOR, role, role, kind="admin", user_id=user_id, directory=platform.directory
    )
    return made[1]


async def test_nobody_gets_in_without_a_token(platform: Platform, ask: Asker) -> None:
    for _, route in platform.registry.routes:
        if isinstance(route.permission, str):
            for secret in (None, "zk_" + "x" * 43):
                answer = await ask(route.method, path_of(route), secret, {})
                assert answer.status == 401, (route.method, route.path)


async def test_a_route_is_for_those_who_hold_its_permission(platform: Platform, ask: Asker) -> None:
    every = sorted(platform.registry.permissions)
    holders: dict[str, tuple[str, frozenset[str]]] = {}
    for name, granted in ROLES.items():
        held = {key for key, each in platform.registry.permissions.items() if name in {"admin", *each.roles}}
        holders[name] = await token(platform, name), granted | held
    for number, permission in enumerate(every):
        but = frozenset(every) - {permission}
        holders[f"only {permission}"] = (
            await only(platform, f"only-{number}", {permission: "all"}),
            frozenset([permission]),
        )
        holders[f"but {permission}"] = await only(platform, f"but-{number}", dict.fromkeys(but, "all")), but
    wrong = []
    for who, (secret, granted) in holders.items():
        for route in routes_of(platform):
            if who.startswith("but ") and route.permission in granted:
                continue  # what else they hold is asked by `only`, and all together by admin
            answer = await ask(route.method, path_of(route), secret, {})
            # Some look at a second permission besides the one they are declared with.
            refused = answer.status == 403 and answer.detail.endswith(f"does not grant {route.permission}")
            if refused == (route.permission in granted) or answer.status in {401, *range(500, 600)}:
                wrong.append((who, route.method, route.path, answer.status))
    assert not wrong
    assert ask.requests > len(every) * len(routes_of(platform))


class World(NamedTuple):
    """Customers are somebody's own, of the teams below theirs, or out of their sight.

    Args:
        user: Who asks.
        team: A team below theirs.
        foreign: The id of another user, and of another team.
    """

    user: int
    team: int
    foreign: tuple[int, int]


SEEN: dict[Scope, set[str]] = {"all": {"own", "team", "foreign"}, "team": {"own", "team"}, "own": {"own"}}


async def world(platform: Platform, role: str) -> World:
    """Make a user with a role, in a tree of teams."""
    ids: list[int] = []
    for name, parent in [("above", None), ("theirs", 0), ("below", 1), ("beside", 0)]:
        parent_id = None if parent is None else ids[parent]
        ids.append((await teams.create(platform.db, OPERATOR, teams.NewTeam(f"{role} {name}", parent_id))).id)
    people = [
        await new_users.create(
            platform.db, OPERATOR, login=f"{role}-{n}", name=role, role=role, password="Kx7 tulip quarry", team_id=team
        )
        for n, team in enumerate([ids[1], ids[3]])
    ]
    return World(people[0].id, ids[2], (people[1].id, ids[3]))


async def customer(platform: Platform, where: str, world: World) -> int:
    """Make a customer whom a user has, or the team below theirs, or others."""
    owner, team = {"own": (world.user, None), "team": (None, world.team), "foreign": world.foreign}[where]
    async with platform.db.transaction() as connection:
        found: int = await connection.fetchval(
            "INSERT INTO customer (kind, name, owner, team, attributes, provenance, created_at, updated_at)"
            " VALUES ('person', 'Ann', $1, $2, '{}', '{}', now(), now()) RETURNING id",
            owner,
            team,
        )
    return found


def about_customers(platform: Platform) -> Iterator[tuple[Route, Shape]]:
    """Yield the routes that are about one customer."""
    for route in routes_of(platform):
        body = Shape(route.body) if route.body is not None else Shape(dict)
        if "customer_id" in path_of(route, 0) + route.path or body.about_customers:
            yield route, body


async def test_customers_out_of_scope_are_as_if_they_were_not_there(platform: Platform, ask: Asker) -> None:
    found, hidden, told = set(), 0, []
    for scope, seen in SEEN.items():
        every: dict[str, Scope] = {
            key: "all" if each.whole else scope for key, each in platform.registry.permissions.items()
        }
        await own_roles.create(
            platform.db,
            OPERATOR,
            own_roles.NewRole(name=scope, label=scope, permissions=every),
            platform.directory,
        )
        there = await world(platform, scope)
        secret = await token(platform, scope, there.user)
        for route, body in about_customers(platform):

            async def asked(customer_id: int, route: Route = route, body: Shape = body, secret: str = secret) -> Answer:
                path = path_of(route, customer_id)
                answer = await ask(route.method, path, secret, body.value(customer_id))
                return Answer(answer.status, answer.body.replace(str(customer_id).encode(), b"N"))

            nobody = await asked(NOBODY)
            for where in ("own", "team", "foreign"):
                answer = await asked(await customer(platform, where, there))
                said = (scope, where, route.method, route.path, answer, nobody)
                if where not in seen:
                    hidden += 1
                    if answer != nobody:
                        told.append(said)
                elif answer.status >= 500 or answer.status in {401, 403}:
                    told.append(said)
                elif answer.status < 300:
                    found.add((route.method, route.path))
                    # A body that is right, and a path that leads to nobody.
                    if "{customer_id}" in route.path and nobody.status != 404:
                        told.append(said)
    assert not told
    assert hidden >= 3 * len(list(about_customers(platform)))
    assert {("GET", "/customers/{customer_id}"), ("GET", "/customers/{customer_id}/events")} <= found


async def test_a_route_without_permission_is_refused_at_start(settings: Settings, database_url: str) -> None:
    async def handler(call: Call) -> None:
        """Do nothing."""

    for permission in ("", None):
        route = Route(
            method="GET",
            path="/open",
            handler=handler,
            permission=permission,  # type: ignore[arg-type]  # the mistake
            summary="Open",
            answer=None,
        )
        with pytest.raises(Refused, match="/open"):
            create_app(settings, database_url, routes=[route])
