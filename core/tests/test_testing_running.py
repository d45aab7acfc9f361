"""The fixtures that plugin authors test with, on a plugin that does well and badly as it is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zhike.platform import Platform
from zhike.work import begin

if TYPE_CHECKING:
    import httpx

    from zhike.testing.databases import Server
    from zhike.testing.plugin import FrozenNow, MakeToken, Record, RunUntilIdle

PROBE = '''
"""Does as the events say."""

import asyncio

from zhike.api import Route
from zhike.contracts import Consumer, EventType, Job, Permission, Schedule
from zhike.hooks import hookimpl

seen = []
tries = []


async def note(items, work):
    for item in items:
        if item.payload.get("fail"):
            raise ValueError("no job")
        seen.append(item.payload.get("what", "nightly"))


async def show(call):
    return {"seen": len(seen)}


@hookimpl
def register_event_types():
    return [EventType(name="probe.again", kind="platform", label="Again")]


@hookimpl
def register_permissions():
    return [Permission(key="probe.read", label="Read", roles=("agent",))]


@hookimpl
def register_routes():
    what = {"summary": "Count", "answer": dict[str, int]}
    return [Route(method="GET", path="/probe/seen", handler=show, permission="probe.read", **what)]


@hookimpl
def register_jobs():
    return [Job(name="probe.note", run=note)]


@hookimpl
def register_schedules():
    return [Schedule(name="probe.nightly", job="probe.note", cron="0 3 * * *")]


@hookimpl
def register_consumers():
    return [Consumer()]


@hookimpl
async def on_events_recorded(events, mode, work):
    for event in events:
        match event.name:
            case "dies":
                raise ValueError("cannot take it")
            case "slow":
                tries.append(event)
                if len(tries) < 2:
                    raise TimeoutError
            case "enqueues":
                work.enqueue("probe.note", event.properties, cause=event)
            case "chain" | "probe.again" if event.depth < 3:
                work.emit("probe.again", event.customer_id, cause=event)
        if event.behaviour or event.name == "probe.again":
            seen.append((event.name, mode, event.depth))
'''


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    return folder


@pytest.fixture
def seen(platform: Platform) -> list[Any]:
    """What the plugin has seen in this test."""
    found: list[Any] = platform.plugins["probe"].module.seen
    return found


def event(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "identities": {"external_id": "c"}, "properties": properties}


async def test_events_are_stored_as_others_store_them(record: Record, platform: Platform) -> None:
    second = event("b", n=1) | {"message_id": "2", "amount": "1.50"}
    stored = await record(event("a"), second, event("a"))
    assert [each.name for each in stored] == ["a", "b", "a"]
    assert len({each.message_id for each in stored}) == 3
    assert (stored[1].message_id, str(stored[1].amount), stored[1].properties) == ("2", "1.50", {"n": 1})
    assert await record(second) == [stored[1]]
    with pytest.raises(AssertionError, match=r"identities: expected at least one"):
        await record(event("a") | {"identities": {}})


@pytest.mark.usefixtures("frozen_now")  # no night comes, and no nightly job
async def test_everything_is_done_until_nothing_is_left(
    record: Record, run_until_idle: RunUntilIdle, seen: list[Any], platform: Platform
) -> None:
    await record(event("chain"), event("enqueues", what="job"))
    await run_until_idle()
    chain = [("chain", "live", 0), *(("probe.again", "live", depth) for depth in (1, 2, 3))]
    assert [each for each in seen if each in chain] == chain
    assert sorted(map(str, seen)) == sorted(map(str, [*chain, ("enqueues", "live", 0), "job"]))
    seen.clear()
    await run_until_idle()
    assert not seen
    async with begin(platform, origin="system") as work:
        work.enqueue("probe.note", {"what": "later"}, due_at=work.now + timedelta(days=366))
    await run_until_idle()
    assert not seen


@pytest.mark.usefixtures("frozen_now")  # no night comes, and no nightly job
async def test_what_takes_too_long_is_tried_again(
    record: Record, run_until_idle: RunUntilIdle, seen: list[Any]
) -> None:
    await record(event("slow"))
    await run_until_idle()
    assert seen == [("slow", "live", 0)]


async def test_schedules_follow_the_clock(frozen_now: FrozenNow, run_until_idle: RunUntilIdle, seen: list[Any]) -> None:
    await run_until_idle()
    assert not seen
    frozen_now.advance(days=1)
    await run_until_idle()
    assert seen == ["nightly"]


@pytest.mark.usefixtures("frozen_now")  # no night comes, and no nightly job
async def test_dead_letters_are_errors_with_their_cause(
    record: Record, run_until_idle: RunUntilIdle, seen: list[Any]
) -> None:
    await record(event("a"), event("dies"), event("b"))
    with pytest.raises(AssertionError, match=r"dead letter of probe: dies: ValueError at probe\.py") as raised:
        await run_until_idle()
    assert isinstance(raised.value.__cause__, ValueError)
    assert str(raised.value.__cause__) == "cannot take it"
    assert {each[0] for each in seen} == {"a", "b"}  # also in attempts that were rolled back


async def test_jobs_that_fail_are_errors(record: Record, run_until_idle: RunUntilIdle) -> None:
    await record(event("enqueues", fail=True))
    with pytest.raises(AssertionError, match=r"job probe\.note, attempt 1: ValueError at probe\.py"):
        await run_until_idle()


async def test_there_is_an_end_to_it(platform: Platform, run_until_idle: RunUntilIdle, monkeypatch: Any) -> None:
    async def busy(_: object) -> bool:
        return True

    monkeypatch.setattr("zhike.consumers.sequencer.Sequencer.step", busy)
    with pytest.raises(AssertionError, match=r"something to do after 0\.1 seconds"):
        await run_until_idle(seconds=0.1)


async def test_the_web_application_has_the_plugins_routes_and_permissions(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_token: MakeToken, app: Any, platform: Platform
) -> None:
    assert app.services.platform is platform
    assert (await client.get("/api/v1/probe/seen")).json() == {"seen": 0}
    for role, status in (("agent", 200), ("viewer", 403)):
        headers = {"authorization": f"Bearer {await make_token(role)}"}
        assert (await anonymous.get("/api/v1/probe/seen", headers=headers)).status_code == status


def test_a_plugin_that_is_not_installed_is_named(database_server: Server) -> None:
    with pytest.raises(LookupError, match="not installed: gone, stamps; such as"):
        database_server.create(plugins=("stamps", "gone"))


def test_a_plugin_with_a_mistake_is_told(database_server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(RuntimeError, match="broken: its import failed: ModuleNotFoundError"):
        database_server.create(plugins=(), hooks=tmp_path)


async def test_plugins_can_be_listed_where_they_were_given_to_the_process(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/plugins")
    assert [item["name"] for item in answer.json()["items"]] == ["probe"], answer.text
    assert (await client.post("/api/v1/plugins/nobody/enable", json={})).status_code == 404
