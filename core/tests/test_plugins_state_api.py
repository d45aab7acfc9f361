"""The API of plugins: which are there, which are not well and why, and switching them."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from zhike._host.web.app import Application, create_app
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.settings import Settings
from zhike.testing.distributions import make_distribution

HEAD = "from zhike.contracts import HealthItem\nfrom zhike.hooks import hookimpl\nfrom zhike.i18n import text\n"
HEALTHY = f"""{HEAD}
@hookimpl
async def provide_health():
    return [HealthItem(key="queue", ok=True, detail="3"), HealthItem(key="key", ok=False, detail=text("gone"))]

@hookimpl
async def amend_incoming_events(events):
    pass
"""
SICK = f"{HEAD}\n@hookimpl\nasync def provide_health():\n    raise RuntimeError('13800001111')\n"
BAD_TEXT = (
    f"{HEAD}\nclass Bad:\n    def __str__(self):\n        raise ValueError\n\n"
    "@hookimpl\nasync def provide_health():\n    return [HealthItem(key='a', ok=True, detail=Bad())]\n"
)


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A hooks folder with three plugins that run and one that does not, and a distribution nobody has enabled."""
    folder, site = tmp_path / "hooks", tmp_path / "site"
    folder.mkdir()
    files = {"healthy": HEALTHY, "sick": SICK, "badtext": BAD_TEXT, "torn": "import nothing_of_this_name\n"}
    if "bounds" in request.node.name:
        files["hostile"] = HOSTILE
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code)
    make_distribution(site, "badges", {"zhike_badges.py": HEAD}, version="2.5")
    monkeypatch.syspath_prepend(str(site))

    async def no_trial(candidates: object, **_: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr("zhike._host.plugins.trial.run", no_trial)  # which starts processes and is not tested here
    return folder


@pytest.fixture
def only_our_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits are exchanged with the database when the test does it; the loop looks once, as it starts.

    It takes what was noted, and what it has read is old when it is done: a step of the test's in between does nothing.
    """
    monkeypatch.setattr("zhike.plugins.circuits.FLUSH_SECONDS", 3600)


@pytest_asyncio.fixture
async def serving(hooks: Path, tmp_path: Path, database_url: str) -> AsyncIterator[Application]:
    """The web application with these plugins."""
    settings = Settings(data=tmp_path, database_url=database_url, locale="en", pool_size=4, hooks=hooks)
    application = create_app(settings, database_url)
    async with application.services.running():
        yield application
    for name in [name for name in sys.modules if name.startswith("zhike_hooks_")]:
        del sys.modules[name]


@pytest_asyncio.fixture
async def asking(serving: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an admin's token."""
    _, secret = await tokens.create(serving.services.db, Actor.command("test"), "admin", "admin")
    headers = {"authorization": f"Bearer {secret}", "accept-language": "en"}
    transport = httpx.ASGITransport(serving)
    async with httpx.AsyncClient(transport=transport, base_url="http://zhike/api/v1", headers=headers) as client:
        yield client


async def plugins(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    answer = await client.get("/plugins")
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    return {item["name"]: item for item in answer.json()["items"]}


async def execute(serving: Application, sql: str) -> None:
    async with serving.services.db.connection() as connection:
        await connection.execute(sql)


async def test_every_plugin_says_how_it_is(asking: httpx.AsyncClient) -> None:
    found = await plugins(asking)
    assert {name: item["state"] for name, item in found.items() if name != "imports"} == {
        "healthy": "ok",
        "sick": "ok",
        "badtext": "ok",
        "torn": "quarantined",
        "badges": "disabled",
    }
    assert found["healthy"] == {
        "name": "healthy",
        "distribution": "",
        "version": "",
        "enabled": True,
        "state": "ok",
        "stage": None,
        "problem": None,
        "hint": None,
        "hooks": ["amend_incoming_events", "provide_health"],
        "circuits": [],
        "health": [{"key": "queue", "ok": True, "detail": "3"}, {"key": "key", "ok": False, "detail": "gone"}],
    }
    assert (found["badges"]["version"], found["badges"]["distribution"]) == ("2.5", "zhike-badges")
    assert found["torn"]["stage"] == "import"
    assert "nothing_of_this_name" in found["torn"]["problem"]
    assert found["torn"]["hint"]


async def test_a_plugin_that_could_never_run_says_so_while_it_is_off(
    asking: httpx.AsyncClient, serving: Application, tmp_path: Path
) -> None:
    problem = 'problem = \'{"msgid": "it fails", "params": {}}\', hint = \'{"msgid": "x", "params": {}}\''
    await execute(serving, f"UPDATE plugin SET stage = 'import', {problem} WHERE name = 'badges'")
    found = (await plugins(asking))["badges"]
    assert (found["state"], found["problem"]) == ("disabled", None)
    make_distribution(tmp_path / "site", "badges", {"other_badges.py": HEAD}, distribution="other")
    found = (await plugins(asking))["badges"]
    assert (found["state"], found["stage"]) == ("disabled", "discover")
    assert "badges is the name of two plugins" in found["problem"]


async def test_a_failing_part_of_health_is_an_item(asking: httpx.AsyncClient) -> None:
    found = await plugins(asking)
    for name, kind in [("sick", "RuntimeError"), ("badtext", "ValueError")]:
        [item] = found[name]["health"]
        assert (item["key"], item["ok"]) == ("provide_health", False)
        assert kind in item["detail"]
        assert "13800001111" not in item["detail"]


async def test_problems_are_in_the_readers_language(asking: httpx.AsyncClient, serving: Application) -> None:
    await execute(
        serving,
        """UPDATE plugin SET stage = 'run', problem = '{"msgid": "nested too deeply", "params": {}}',
             hint = '{"msgid": "{plugin} is enabled, but not installed", "params": {"plugin": "torn"}}'
           WHERE name = 'torn'""",
    )
    english = (await plugins(asking))["torn"]["problem"]
    asking.headers["accept-language"] = "zh-CN"
    chinese = (await plugins(asking))["torn"]["problem"]
    assert english == "nested too deeply"
    assert chinese != english
    assert chinese


async def test_what_is_gone_is_missing(asking: httpx.AsyncClient, hooks: Path, tmp_path: Path) -> None:
    (hooks / "healthy.py").unlink()
    shutil.rmtree(tmp_path / "site")
    found = await plugins(asking)
    assert found["healthy"]["state"] == found["badges"]["state"] == "missing"
    assert "not installed" in found["healthy"]["problem"]
    assert "zhike plugin purge healthy" in found["healthy"]["hint"]
    assert found["badges"]["problem"] is None  # nobody waits for it


async def test_enabling_and_disabling(asking: httpx.AsyncClient, serving: Application) -> None:
    announced: list[str] = []
    serving.services.platform.announce = announced.append
    before = (await asking.get("/plugins")).json()["generation"]
    assert (await asking.post("/plugins/badges/enable", json={})).json() == {"changed": True}
    assert (await asking.post("/plugins/badges/enable", json={"resume": None})).json() == {"changed": False}
    assert (await plugins(asking))["badges"]["enabled"]
    assert announced[0] == "plugins"
    assert (await asking.post("/plugins/badges/disable")).json() == {"changed": True}
    answer = (await asking.get("/plugins")).json()
    assert answer["generation"] == before + 2
    for path in ("nobody/enable", "nobody/disable", "badges/circuits/provide_health/close", "%00/enable"):
        assert (await asking.post(f"/plugins/{path}", json={})).status_code in {400, 404}, path
    for body in ({"resume": "later"}, {"x": 1}, [], "continue"):
        assert (await asking.post("/plugins/badges/enable", json=body)).status_code == 400


async def test_enabling_asks_where_to_go_on(asking: httpx.AsyncClient, serving: Application) -> None:
    await execute(
        serving,
        "INSERT INTO consumer (name, live_from, events) VALUES ('badges', 1, '{*}');"
        "INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position) VALUES ('badges', 0, 63, 1)",
    )
    answer = await asking.post("/plugins/badges/enable", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "resume")
    answer = await asking.post("/plugins/badges/enable", json={"resume": "continue"})
    assert answer.json() == {"changed": True}


@pytest.mark.usefixtures("only_our_steps")
async def test_circuits_are_shown_and_closed(asking: httpx.AsyncClient, serving: Application) -> None:
    circuits = serving.services.platform.circuits
    assert circuits is not None
    for _ in range(5):
        found = await plugins(asking)
    assert circuits.is_open("sick", "provide_health")
    assert found["sick"]["health"][0]["ok"] is False
    await circuits.step()
    found = await plugins(asking)
    [circuit] = found["sick"]["circuits"]
    assert circuit["hook"] == "provide_health"
    assert "RuntimeError" in circuit["error"]
    assert "13800001111" not in circuit["error"]
    assert found["healthy"]["circuits"] == []
    answer = await asking.post("/plugins/sick/circuits/provide_health/close")
    assert answer.json() == {"changed": True}
    await circuits.step()
    assert not circuits.is_open("sick", "provide_health")
    assert (await plugins(asking))["sick"]["circuits"] == []


async def running(asking: httpx.AsyncClient) -> None:
    """Wait until the server is in the list of processes."""
    deadline = time.monotonic() + 30
    while not (await asking.get("/plugins")).json()["processes"]["all"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_file_added_meanwhile_waits_until_a_process_loads_it(
    asking: httpx.AsyncClient, hooks: Path, tmp_path: Path
) -> None:
    await running(asking)
    (hooks / "syn.py").write_text("def broken(:\n")
    (hooks / "new\nline.py").write_text("")
    found = await plugins(asking)
    assert (found["syn"]["state"], found["syn"]["stage"]) == ("pending", None)
    assert "`zhike plugin enable syn`" in found["syn"]["hint"]
    assert (found["new\\nline"]["state"], found["new\\nline"]["enabled"]) == ("quarantined", False)
    before = (await asking.get("/plugins")).json()["generation"]
    assert (await asking.post("/plugins/syn/enable", json={})).json() == {"changed": True}
    assert (await asking.post("/plugins/healthy/enable", json={})).json() == {"changed": False}
    assert (await asking.get("/plugins")).json()["generation"] == before + 1
    (hooks / "new\nline.py").unlink()
    assert "new\\nline" not in await plugins(asking)


async def test_code_that_was_changed_meanwhile_is_told_of(asking: httpx.AsyncClient, hooks: Path) -> None:
    await running(asking)
    (hooks / "healthy.py").write_text(HEALTHY + "\n# changed\n")
    (hooks / "torn.py").write_text("# mended\n")
    found = await plugins(asking)
    assert (found["healthy"]["state"], found["sick"]["state"]) == ("pending", "ok")
    assert found["torn"]["state"] == "quarantined"
    assert found["torn"]["problem"].endswith("what is there by now has not been tried")
    for name in ("healthy", "torn"):
        assert f"`zhike plugin enable {name}`" in found[name]["hint"]


async def test_a_plugin_whose_consumer_is_paused_says_why_and_what_mends_it(
    asking: httpx.AsyncClient, serving: Application
) -> None:
    await execute(
        serving,
        "INSERT INTO consumer (name, live_from, events, state, pause_reason)"
        " VALUES ('healthy', 1, '{*}', 'paused', 'dead_letters'), ('torn', 1, '{*}', 'paused', 'staff')",
    )
    found = await plugins(asking)
    assert (found["healthy"]["state"], found["healthy"]["stage"]) == ("impaired", "run")
    assert "too many events in a row" in found["healthy"]["problem"]
    assert "`zhike consumers resume healthy`" in found["healthy"]["hint"]
    assert found["torn"]["stage"] == "import"  # what comes first


HOSTILE = f"""{HEAD}
class Bad(Exception):
    __qualname__ = "\\ud800\\0"

@hookimpl
async def provide_health():
    return [HealthItem(key="\\ud800k\\0", ok=True, detail="x" * 3_000_000)] * 1000

@hookimpl
async def amend_incoming_events(events):
    raise Bad
"""


@pytest.mark.usefixtures("only_our_steps")
async def test_whatever_a_plugin_says_is_shown_within_bounds(
    hooks: Path, asking: httpx.AsyncClient, serving: Application
) -> None:
    answer = await asking.get("/plugins")
    item = next(item for item in answer.json()["items"] if item["name"] == "hostile")
    assert item["health"][0] == {"key": "\\ud800k\\x00", "ok": True, "detail": "x" * 500}
    assert len(answer.content) < 60_000
    for number in range(5):
        event = {"name": "order.paid", "message_id": str(number), "identities": {"external_id": "1"}}
        assert (await asking.post("/events", json={"events": [event]})).status_code == 200
    circuits = serving.services.platform.circuits
    assert circuits is not None
    await circuits.step()  # which one bad name must not stop
    found = (await plugins(asking))["hostile"]
    assert (found["state"], found["stage"]) == ("impaired", "run")
    assert "amend_incoming_events" in found["problem"]
    assert "`zhike plugin retry hostile`" in found["hint"]
    assert found["circuits"][0]["error"].startswith("\\ud800\\x00 at hostile.py")


async def test_a_file_named_like_a_noun_of_the_core_has_none_of_its_hooks(
    asking: httpx.AsyncClient, hooks: Path
) -> None:
    (hooks / "customers.py").write_text("")
    found = (await plugins(asking))["customers"]
    assert (found["state"], found["hooks"], found["health"]) == ("quarantined", [], [])


@pytest.mark.parametrize("path", ["/plugins", "/consumers"])
@pytest.mark.parametrize("query", ["x=1", "limit=abc", "limit=0", "limit=1&limit=1"])
async def test_a_list_refuses_parameters_that_mean_nothing(asking: httpx.AsyncClient, path: str, query: str) -> None:
    assert (await asking.get(f"{path}?{query}")).status_code == 400
    assert (await asking.get(f"{path}?limit=100")).status_code == 200


async def test_processes_that_run_the_newest_generation(asking: httpx.AsyncClient, serving: Application) -> None:
    await asking.post("/plugins/badges/enable", json={})
    generation = (await asking.get("/plugins")).json()["generation"]
    async with serving.services.db.connection() as connection:
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM process)"):  # noqa: ASYNC110  # its first beat
            await asyncio.sleep(0.01)
    await execute(  # beside the process that serves, which runs the generation before and beats whenever it likes
        serving,
        f"""INSERT INTO process (id, kind, host, pid, generation, seen_at) VALUES
              ('a', 'web', 'h', 1, {generation}, now()), ('b', 'runner', 'h', 2, {generation - 1}, now()),
              ('c', 'runner', 'h', 3, {generation}, now() - interval '1 minute')""",
    )
    assert (await asking.get("/plugins")).json()["processes"] == {"newest": 1, "all": 3}


@pytest.mark.parametrize(("role", "reads"), [("manager", True), ("agent", False), ("viewer", False)])
async def test_who_may(asking: httpx.AsyncClient, serving: Application, role: str, reads: bool) -> None:
    _, secret = await tokens.create(serving.services.db, Actor.command("test"), role, role)
    asking.headers["authorization"] = f"Bearer {secret}"
    assert (await asking.get("/plugins")).status_code == (200 if reads else 403)
    for path in ("badges/enable", "badges/disable", "sick/circuits/provide_health/close"):
        assert (await asking.post(f"/plugins/{path}")).status_code == 403
