"""Plugins that load and are wrong in what they register or bring along: none keeps the others from running."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from zhike._host.db.upgrade import upgrade
from zhike._host.plugins.discover import discover
from zhike._host.web.app import create_app
from zhike.orm import Database
from zhike.platform import Assembled, assemble, core_plugins
from zhike.settings import Settings
from zhike.testing.distributions import make_distribution

HEAD = """
from zhike.contracts import *
from zhike.contracts import Route
from zhike.hooks import hookimpl
from zhike.api import PageQuery, Public
import msgspec

async def run(*_): return 1

def route(path="/acme/x", **more):
    kinds = {"method": "GET", "handler": run, "permission": Public("x"), "summary": "x", "answer": int}
    return Route(**{**kinds, "path": path, **more})

def job(**more):
    return Job(**{"name": "acme.run", "run": run, **more})
"""
HOOK = HEAD + "@hookimpl\ndef register_{kind}():\n    return [{what}]\n"
FINE = "from zhike.hooks import hookimpl\nfrom zhike.contracts import Job\n"
TABLES = "from piccolo.table import Table\n"

# kind, what is registered
WRONG = [
    ("routes", "route('acme/x')"),
    ("routes", "route('/acme/{id')"),
    ("routes", "route('/acme/{a}/{a}')"),
    ("routes", "route('/acme/{a:int}')"),
    ("routes", "route('/acme/a b')"),
    ("routes", "route('/acme/{a}'), route('/acme/{b}')"),
    ("routes", "route(method='FETCH')"),
    ("routes", "route(handler=7)"),
    ("routes", "route(permission=None)"),
    ("routes", "route(answer=object)"),
    ("routes", "route(query=int)"),
    ("jobs", "job(batch=0)"),
    ("jobs", "job(batch='many')"),
    ("jobs", "job(timeout=None)"),
    ("jobs", "job(timeout=float('nan'))"),
    ("jobs", "job(attempts=0)"),
    ("jobs", "job(queue=None)"),
    ("jobs", "job(queue='a\\0')"),
    ("jobs", "job(name='acme.\\ud800')"),
    ("jobs", "job(name='acme.\\0')"),
    ("jobs", "job(run='acme')"),
    ("jobs", "job(payload=object())"),
    ("permissions", "Permission(key='acme.x', label=7)"),
    ("permissions", "Permission(key='acme.x', label='x', roles=7)"),
    ("event_types", "EventType(name='acme.x', kind='x', label='x')"),
    ("event_types", "EventType(name='acme.\\0', kind='platform', label='x')"),
    ("event_types", "EventType(name='acme.x', kind='platform', label='x', payload=int)"),
    ("consumers", "Consumer(events=7)"),
    ("consumers", "Consumer(events=('\\0',))"),
    ("consumers", "Consumer(start='never')"),
    ("consumers", "Consumer(batch=0)"),
    ("consumers", "Consumer(reset=7)"),
    ("customer_rows", "CustomerRows(table='acme_x', on_merge='explode')"),
    ("customer_rows", "CustomerRows(table='acme_x', column=7)"),
    ("customer_rows", "CustomerRows(table='acme_\\0')"),
    ("commands", "Command(name=7, target='a:b', summary='x')"),
    ("commands", "Command(name='acme', target=7, summary=7)"),
]
SCHEDULES = [
    "",
    "payload={1: 2}",
    "payload={'x': object()}",
    "payload={'x': '\\0'}",
    "payload={'x': '\\ud800'}",
    "payload={'n': 'seven'}",
    "cron=7",
    "zone=7",
    "zone='\\ud800'",
]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    async def no_trial(candidates: object, **_: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr("zhike._host.plugins.trial.run", no_trial)  # as if it went well there
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("acme", "fine")):
            del sys.modules[name]


@pytest.fixture
async def acme(site: Path, database: Database, settings: Settings) -> Callable[..., object]:
    """Serve with one plugin that is fine and one called acme, and return what is known of them."""

    async def serve(files: dict[str, str]) -> tuple[set[str], dict[str, str]]:
        make_distribution(site, "fine", {"fine.py": FINE})
        make_distribution(site, "acme", files)
        off = discover(None).candidates.keys() - {"fine", "acme"}
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO plugin (name, enabled) SELECT unnest($1::text[]), false"
                " UNION ALL VALUES ('fine', true), ('acme', true)",
                sorted(off),
            )
        assert settings.database_url is not None
        await upgrade(settings, settings.database_url)
        application = create_app(settings, settings.database_url)
        async with application.services.running():
            platform = application.services.platform
            client = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://zhike")
            async with client:
                assert (await client.get("/schema")).status_code == 200
                assert (await client.get("/health/ready")).status_code == 200
            return set(platform.plugins), {each.plugin: str(each.text) for each in platform.problems}

    return serve


def together(source: str) -> tuple[set[str], Assembled]:
    """Put a plugin together with one that is fine; return those with a problem."""
    made = {name: ModuleType(name) for name in ("acme", "fine")}
    exec(source, vars(made["acme"]))
    assembled = assemble({**core_plugins(), **made})
    assert all("Mend the plugin" in str(problem.hint) for problem in assembled.problems)
    return {problem.plugin for problem in assembled.problems}, assembled


@pytest.mark.parametrize(("kind", "what"), WRONG)
def test_what_is_registered_wrongly_is_refused(kind: str, what: str) -> None:
    problems, assembled = together(HOOK.replace("{kind}", kind).replace("{what}", what))
    assert problems == {"acme"}
    assert str(assembled.problems[0].text).isprintable()


@pytest.mark.parametrize("what", SCHEDULES)
def test_schedules_that_nobody_could_store_are_refused(what: str) -> None:
    source = f"""{HEAD}
class Payload(msgspec.Struct):
    n: int = 0
    x: str = ""

@hookimpl
def register_jobs():
    return [job(payload=Payload)]

@hookimpl
def register_schedules():
    return [Schedule(**{{"name": "acme.daily", "job": "acme.run", "cron": "* * * * *", **dict({what})}})]
"""
    problems, _ = together(source)
    assert problems == ({"acme"} if what else set())


@pytest.mark.parametrize(
    "tables", ["", "__all__ = ['Missing']\n", "__all__ = ['x']\nx = 7\n", "__all__ = 7\n", "raise SystemExit\n"]
)
async def test_tables_that_are_none(acme, tables: str) -> None:
    running, problems = await acme({"acme/plugin.py": "", "acme/__init__.py": "", "acme/tables.py": tables})
    assert running == {"fine"}
    assert problems.keys() == {"acme"}


async def test_types_of_the_same_name(acme) -> None:
    query = "class JobsQuery(PageQuery, frozen=True):\n    a: int = 1\nclass Job_(msgspec.Struct):\n    a: int\n"
    source = HOOK.replace("{kind}", "routes").replace("{what}", "route(query=JobsQuery, answer=Job_)")
    source = source.replace("@hookimpl", f"{query}@hookimpl").replace("Job_", "Page")
    running, problems = await acme({"acme.py": source})
    assert running == {"fine", "acme"}, problems


async def test_a_handler_without_a_name(acme) -> None:
    source = HOOK.replace("{kind}", "routes").replace("{what}", "route(handler=functools.partial(run))")
    running, problems = await acme({"acme.py": "import functools\n" + source})
    assert running == {"fine", "acme"}, problems


async def test_an_error_that_cannot_be_told(acme) -> None:
    source = "class Bad(ImportError):\n    def __str__(self): raise SystemExit\n    name = 7\nraise Bad\n"
    running, problems = await acme({"acme.py": source})
    assert running == {"fine"}
    assert "Bad" in problems["acme"]


@pytest.mark.parametrize("error", ["SystemExit", "ValueError('sk-secret')"])
async def test_a_module_that_fails_when_it_is_asked(acme, error: str) -> None:
    source = f"def __getattr__(name):\n    if name[0] != '_': raise {error}\n    raise AttributeError(name)\n"
    running, problems = await acme({"acme.py": source})
    assert running == {"fine"}
    assert "sk-secret" not in problems["acme"]
