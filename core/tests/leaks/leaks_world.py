"""A company whose data are canaries: values that stand nowhere else, and what an attacker makes of them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zhike.access import new_users, own_roles, teams, tokens, user_changes
from zhike.access.actor import Actor
from zhike.access.roles import Rule, Scope
from zhike.access.schemas import UserChange
from zhike.api import API

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.platform import Platform

OPERATOR = Actor.command("test")
NOBODY = 999_999_999
"""An id that nothing has."""
PASSWORD = "Kx7 tulip quarry"
FIELDS = ("phone", "email", "name", "company", "stage", "owner", "team", "attributes.id_card", "attributes.salary")
NAMESPACES = ("phone", "email", "wecom_unionid")
RULED = (*FIELDS, "identities.wecom_unionid")
"""What the attackers do not see whole."""
PLUGIN = """
import logging

from zhike.contracts import Consumer, Job
from zhike.hooks import hookimpl

log = logging.getLogger("leaky")


async def fail(items, work):
    await work.connection.execute("SELECT $1::text::int", items[0].payload["phone"])


async def count(items, work):
    raise RuntimeError(f"cannot reach {items[0].payload}")


@hookimpl
def register_jobs():
    return [
        Job(name="leaky.fail", run=fail, payload=dict[str, str], label="Fail", attempts=1),
        Job(name="leaky.count", run=count, payload=dict[str, int], label="Count", attempts=1),
    ]


@hookimpl
def register_consumers():
    return [Consumer(events=("leak.provoked",), start="beginning")]


@hookimpl
async def on_events_recorded(events, work):
    said = events[0].properties["said"]
    try:
        await work.connection.execute(
            "INSERT INTO identity (namespace, value, customer_id, home_customer_id, created_at)"
            " SELECT namespace, value, customer_id, home_customer_id, created_at FROM identity WHERE customer_id = $1",
            events[0].customer_id,
        )
    except Exception as error:
        raise ValueError(f"{said}: {error}") from error


@hookimpl
async def before_customers_save(actor, customers):
    if any(customer.fields.get("name") == "explode" for customer in customers):
        raise KeyError(str(customers))
"""
"""A plugin that quotes whatever it is given in what it raises."""


class Person(NamedTuple):
    """What is known of a customer, each value of it a canary."""

    phone: str
    email: str
    name: str
    company: str
    stage: str
    id_card: str
    salary: int
    """Longer than the fraction of a time, which may be any six digits."""
    unionid: str
    spoken: str
    """How the name is read."""

    @property
    def identities(self) -> dict[str, str]:
        return {"phone": self.phone, "email": self.email, "wecom_unionid": self.unionid}

    @property
    def body(self) -> dict[str, Any]:
        """What `POST /customers` takes."""
        columns = {"phone": self.phone, "email": self.email, "name": self.name, "company": self.company}
        own = {"id_card": self.id_card, "salary": self.salary, "city": "Harbin"}
        return {**columns, "stage": self.stage, "identities": self.identities, "attributes": own}

    @property
    def canaries(self) -> set[str]:
        """What must be found in no answer."""
        local = self.email.partition("@")[0]
        texts = {self.phone[3:], local, self.name, self.company, self.stage, self.id_card, self.unionid, self.spoken}
        return {*texts, self.id_card[6:], str(self.salary)}

    @property
    def forms(self) -> dict[str, str]:
        """What an attacker may type, by what it is."""
        local = self.email.partition("@")[0]
        phones = {"phone": self.phone, "phone+86": f"+86{self.phone}", "phone 4": self.phone[-4:]}
        mails = {"email": self.email, "email local": local, "email start": local[:5]}
        names = {"name": self.name, "name start": self.name[:2], "spoken": self.spoken, "company": self.company}
        cards = {"card": self.id_card, "card end": self.id_card[-6:]}
        more = {"salary": str(self.salary), "unionid": self.unionid, "stage": self.stage, "like": f"%{self.name[1:]}%"}
        return {**phones, **mails, **names, **cards, **more}


VICTIM = Person(
    *("13987650142", "qzvictim@canary.example", "欧阳墨染", "霁月云帆科技", "stage-canary-q"),
    *("110101199003074415", 918273645, "oUnionCanaryVictim", "ouyangmoran"),
)
LOSER = Person(
    *("13787650377", "qzloser@canary.example", "慕容雪霏", "沧浪听雨文化", "stage-canary-l"),
    *("310101198507125528", 827364519, "oUnionCanaryLoser", "murongxuefei"),
)
SPARE = Person(
    *("13687650611", "qzspare@canary.example", "尉迟寒江", "折柳长亭贸易", "stage-canary-s"),
    *("440101197911239936", 736455182, "oUnionCanarySpare", "yuchihanjiang"),
)
DECOY = Person(
    *("13587650988", "nobodyat@canary.example", "司徒暮云", "碧落浮生食品", "stage-canary-n"),
    *("510101196505058844", 645546273, "oUnionCanaryNobody", "situmuyun"),
)
"""Nobody: what is answered about these values must be answered about those of somebody."""
PEOPLE = (VICTIM, LOSER, SPARE)
_DIGITS = "零一二三四五六七八九"


def nobody_else(number: int) -> Person:
    """Return somebody whom no request has named yet."""
    called = "".join(_DIGITS[int(digit)] for digit in str(number))
    return Person(
        *(f"1358{number:07d}", f"nobody{number}@canary.example", f"司徒{called}", f"碧落{called}", f"stage-{number}"),
        *(f"5101011965{number:08d}", 500_000_000 + number, f"oUnionNobody{number}", f"situ{number}"),
    )


CANARIES = frozenset().union(*[person.canaries for person in PEOPLE])


class Answer(NamedTuple):
    """A response."""

    status: int
    head: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Asker:
    """Sends requests straight to the application, which takes a tenth of the time that a client of HTTP would."""

    def __init__(self, app: Application, secret: str, kind: str = "admin") -> None:
        self._app, self._secret = app, secret
        self.kind = kind
        self.requests = 0

    async def __call__(
        self, method: str, path: str, body: object = None, query: Mapping[str, object] | None = None, locale: str = "en"
    ) -> Answer:
        """Send one request and return its answer."""
        self.requests += 1
        content = b"" if body is None else json.dumps(body).encode()
        headers = [(b"host", b"zhike"), (b"content-type", b"application/json"), (b"accept-language", locale.encode())]
        headers.append((b"authorization", f"Bearer {self._secret}".encode()))
        path = API + path
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "extensions": {}},
            **{"method": method, "path": path, "raw_path": path.encode(), "root_path": "", "headers": headers},
            **{"client": ("127.0.0.1", 1), "server": ("zhike", 80), "state": {}},
            "query_string": urllib.parse.urlencode(query or {}).encode(),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)  # type: ignore[arg-type]  # two descriptions of ASGI
        head = b"\n".join(name + b": " + value for name, value in sorted(sent[0]["headers"])).decode("latin-1")
        body_ = b"".join(each.get("body", b"") for each in sent[1:]).decode()
        return Answer(sent[0]["status"], head, body_)


ATTACKERS: dict[str, tuple[Scope, Rule | None]] = {
    "masked": ("all", "mask"),
    "hidden": ("all", "hide"),
    "own": ("own", None),
}
"""Scope, and what becomes of fields."""
Become = Callable[[str], Awaitable[Asker]]
"""Returns who asks as one of the attackers."""


class World(NamedTuple):
    """What there is.

    Args:
        victim: A customer of whom everything is known; `merged` was merged into them.
        merged: See `victim`.
        spare: Another one, who may be changed.
        mine: The only customer of the attacker whose scope is their own.
        jobs: Ids of jobs whose payloads quote the victim.
    """

    victim: int
    merged: int
    spare: int
    mine: int
    user: int
    owner: int
    jobs: list[int]


def write_plugin(folder: Path) -> Path:
    """Write the plugin `leaky` and return its folder."""
    folder.mkdir()
    (folder / "leaky.py").write_text(PLUGIN, encoding="utf-8")
    return folder


def powers(platform: Platform, scope: Scope, rule: Rule | None) -> dict[str, Scope]:
    """Return all that an attacker may do; what is granted whole or not at all is not, in a narrower scope."""
    granted: dict[str, Scope] = {
        key: scope for key, each in sorted(platform.registry.permissions.items()) if scope == "all" or not each.whole
    }
    if rule == "mask":
        del granted["customers.reveal"]  # which shows what is masked
    return granted


async def attacker(
    platform: Platform, name: str, *, scope: Scope = "all", rule: Rule | None = None, user: int | None = None
) -> str:
    """Return the secret of a token that may do everything, but does not see all fields, or not all customers."""
    rules: dict[str, Rule] = {} if rule is None else dict.fromkeys(RULED, rule)
    role = own_roles.NewRole(name=name, label=name, permissions=powers(platform, scope, rule), rules=rules)
    await own_roles.create(platform.db, OPERATOR, role, platform.directory)
    if user is not None:
        await user_changes.change(platform.db, OPERATOR, user, UserChange(role=name), directory=platform.directory)
    made = await tokens.create(
        platform.db, OPERATOR, name, name, kind="admin", user_id=user, directory=platform.directory
    )
    return made[1]


async def build(platform: Platform, admin: Asker) -> World:
    """Make the company, through the routes that people use."""
    for field in ({"key": "id_card", "type": "text", "encrypted": True}, {"key": "salary", "type": "number"}):
        assert (await admin("POST", "/customers/fields", field)).status == 200
    team = (await teams.create(platform.db, OPERATOR, teams.NewTeam("Night shift"))).id
    owner, user = [
        (await new_users.create(platform.db, OPERATOR, login=login, name=login, role="viewer", password=PASSWORD)).id
        for login in ("owner-of-victims", "snoop")
    ]
    ids = []
    for person in PEOPLE:
        made = await admin("POST", "/customers", person.body)
        assert made.status == 201, made.text
        ids.append(made.json["id"])
        for change in ({"attributes": {"salary": person.salary + 1}}, {"attributes": {"salary": person.salary}}):
            assert (await admin("PATCH", f"/customers/{ids[-1]}", change)).status == 200
        assert (await admin("PATCH", f"/customers/{ids[-1]}", {"owner": owner, "team": team})).status == 200
    mine = {"identities": {"external_id": "mine-1"}, "attributes": {"city": "Harbin"}, "owner": user}
    ids.append((await admin("POST", "/customers", mine)).json["id"])
    victim, loser, spare, own = ids
    await _happenings(admin, victim, loser, spare)
    jobs = await _traces(platform, admin)
    relation = {"kind": "contact", "other_customer_id": victim}
    assert (await admin("POST", f"/customers/{own}/relations", relation)).status == 200
    return World(victim, loser, spare, own, user, owner, jobs)


async def _happenings(admin: Asker, victim: int, loser: int, spare: int) -> None:
    """What people have done with the customers."""
    events = [
        {"name": "order.paid", "identities": person.identities, "amount": 10, "properties": {"sku": "tea"}}
        for person in PEOPLE
        for _ in range(2)
    ]
    candidate = {"phone": VICTIM.phone, "wecom_unionid": SPARE.unionid}
    events.append({"name": "order.paid", "identities": candidate, "properties": {"sku": "tea"}})
    provoked = {"name": "leak.provoked", "identities": VICTIM.identities, "properties": {"said": "it"}}
    assert (await admin("POST", "/events", {"events": [*events, provoked]})).json["rejected"] == []
    assert (await admin("POST", "/customers/merge", {"winner": victim, "losers": [loser]})).status == 200
    task = {"title": "Call", "customer_id": victim}
    assert (await admin("POST", "/tasks", task)).status == 200
    relation = {"kind": "employee", "other_customer_id": spare, "title": "clerk"}
    assert (await admin("POST", f"/customers/{victim}/relations", relation)).status == 200


async def _traces(platform: Platform, admin: Asker) -> list[int]:
    """What those who see everything leave behind: audited questions about values, jobs that quote them."""
    asked = {"type": "field", "field": "customer.phone", "op": "eq", "value": VICTIM.phone}
    exported = await admin("POST", "/exports/customers", {"condition": asked})
    assert exported.status == 200, exported.text
    reveal = {"fields": ["phone"], "reason": "calls back"}
    found = (await admin("GET", "/customers", query={"q": VICTIM.email})).json["items"]
    assert (await admin("POST", f"/customers/{found[0]['id']}/reveal", reveal)).status == 200
    async with platform.db.transaction() as connection:
        rows = await connection.fetch(
            "INSERT INTO job (name, queue, priority, payload, state, due_at, attempts, origin, depth, live, plugin,"
            " created_at) SELECT n, n, 1, p::jsonb, 'ready', now() + d::interval, 0, 'system', 0, true, 'leaky', now()"
            " FROM unnest($1::text[], $2::text[], $3::text[]) AS j (n, p, d) RETURNING id",
            ["leaky.fail", "leaky.count", "leaky.fail"],
            [
                json.dumps({"phone": VICTIM.phone}),
                json.dumps({"salary": str(VICTIM.salary)}),
                json.dumps({"to": VICTIM.phone}),
            ],
            ["0", "0", "1 day"],
        )
    return [row[0] for row in rows]
