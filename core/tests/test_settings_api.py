"""Settings that are changed while Zhike runs: who may, what fits, what is never shown, and who hears of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from zhike._host.plugins import processes
from zhike._host.web.app import create_app
from zhike.access.actor import Actor
from zhike.config import saving
from zhike.config.groups import General, Security
from zhike.config.service import Config
from zhike.contracts import SettingsGroup
from zhike.errors import Conflict, Forbidden, NotFound, Refused, Unavailable
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.ui.forms import asked

if TYPE_CHECKING:
    import httpx

    from zhike.settings import Settings

SETTINGS = "/api/v1/settings"
OPERATOR = Actor.command("test")


class StampSettings(msgspec.Struct, frozen=True):
    """Settings of a plugin."""

    per_order: Annotated[int, asked("Stamps", help="For each order", ge=1, le=9)] = 1
    shops: list[str] = []
    token: Annotated[str, Meta(extra={"secret": True})] = ""


class Stamps:
    """A plugin with settings."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    @hookimpl
    def register_settings_groups(self) -> list[SettingsGroup]:
        return [SettingsGroup(key="stamps", label="Stamps", struct=StampSettings, permission="plugins.manage")]

    @hookimpl
    async def on_settings_changed(self, groups: list[str]) -> None:
        self.heard.append(groups)
        if groups == ["general"]:
            raise RuntimeError("broken")


async def make(settings: Settings, database: Database, stamps: Stamps | None = None) -> Platform:
    """Put a process together that has the plugin."""
    assembled = assemble({**core_plugins(), "stamps": stamps or Stamps()})
    assert not assembled.problems
    made = Platform(settings=settings, db=database, hooks=assembled.hooks, registry=assembled.registry)
    await made.customer_fields.renew()
    await made.config.renew()
    return made


@pytest.fixture
async def platform(settings: Settings, database: Database) -> Platform:
    """A process that has the plugin."""
    return await make(settings, database)


def stamps_of(platform: Platform) -> StampSettings:
    return platform.config.get(StampSettings)


async def change(client: httpx.AsyncClient, group: str, version: int, **values: Any) -> httpx.Response:
    return await client.patch(f"{SETTINGS}/{group}", json={"values": values, "version": version})


def values(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {each["name"]: (each["value"], each["source"]) for each in answer.json()["settings"]}


async def test_settings_are_shown_changed_and_taken_back(client, platform):
    listed = (await client.get(SETTINGS)).json()["items"]
    assert [each["key"] for each in listed] == ["general", "security", "stamps"]
    [group] = [each for each in listed if each["key"] == "stamps"]
    assert (group["label"], group["version"]) == ("Stamps", 0)
    assert group["settings"][0] == {
        **{"name": "per_order", "title": "Stamps", "description": "For each order", "value": 1},
        **{"source": "default", "secret": False},
    }
    assert values(await change(client, "stamps", 0, per_order=3, shops=["东", "西"])) == {
        "per_order": (3, "database"),
        "shops": (["东", "西"], "database"),
        "token": (None, "default"),
    }
    assert (stamps_of(platform).per_order, stamps_of(platform).shops) == (3, ["东", "西"])
    # What is as the struct says is not kept: it follows the struct.
    assert values(await change(client, "stamps", 1, per_order=1))["per_order"] == (1, "default")
    chinese = (await client.get(f"{SETTINGS}/general", headers={"accept-language": "zh-CN"})).json()
    assert chinese["label"] == "通用"
    assert chinese["settings"][0]["title"] == "公司名称"


async def test_what_does_not_fit_is_told_by_name(client, platform):
    for group, said, start in [
        ("stamps", {"per_order": 10}, "per_order: "),
        ("stamps", {"per_order": "3"}, "per_order: "),
        ("stamps", {"shops": [1]}, "shops[0]: "),
        ("stamps", {"colour": "red"}, "body: there is no field `colour`"),
        ("stamps", {"shops": ["a\0"]}, "values: "),
        ("general", {"locale": "de"}, "locale: "),
        ("security", {"password_length": 4}, "password_length: "),
        ("security", {"session_idle": 0}, "session_idle: "),
        ("security", {"session_idle": 59}, "session_idle: "),  # nobody could stay to change it back
    ]:
        answer = await change(client, group, 0, **said)
        assert (answer.status_code, answer.json()["detail"][: len(start)]) == (400, start), said
    assert (await client.get(f"{SETTINGS}/nothing")).status_code == 404
    assert platform.config.versions == {}


async def test_of_two_who_change_one_group_the_second_is_told(client):
    assert (await change(client, "general", 0, company="青禾生活")).json()["version"] == 1
    answer = await change(client, "general", 0, company="Else")
    assert (answer.status_code, answer.json()["code"]) == (409, "version")
    assert values(await client.get(f"{SETTINGS}/general"))["company"] == ("青禾生活", "database")


async def test_two_at_the_same_instant_do_not_both_win(platform):
    said = [saving.save(platform, OPERATOR, "general", {"company": name}, 0) for name in "ab"]
    done = await asyncio.gather(*said, return_exceptions=True)
    assert sorted(type(each) for each in done if each != 1) == [Conflict]
    assert platform.config.versions["general"] == 1


async def test_a_secret_is_sealed_and_never_shown(client, platform, database):
    answer = await change(client, "stamps", 0, token="hush-hush", per_order=2)
    assert values(answer)["token"] == (None, "database")
    assert stamps_of(platform).token == "hush-hush"
    assert "hush" not in (await client.get(SETTINGS)).text
    async with database.connection() as connection:
        stored = await connection.fetchval("SELECT data::text || sealed::text FROM setting_group WHERE key = 'stamps'")
        audited = await connection.fetchval("SELECT details::text FROM audit WHERE object = 'settings:stamps'")
    assert "hush" not in stored
    assert msgspec.json.decode(audited) == {"token": "…", "per_order": 2}
    # Another setting leaves it as it is; null takes it away.
    await change(client, "stamps", 1, per_order=4)
    assert stamps_of(platform).token == "hush-hush"
    assert values(await change(client, "stamps", 2, token=None))["token"] == (None, "default")
    assert stamps_of(platform).token == ""


async def test_a_secret_that_an_outage_kept_closed_is_opened_by_the_next_look(client, platform, monkeypatch):
    await change(client, "stamps", 0, token="hush-hush")
    config, opens = Config(platform), platform.vault.open

    async def away(*_: str) -> str:
        raise Unavailable(text("Away"))

    monkeypatch.setattr(platform.vault, "open", away)
    with pytest.raises(Unavailable):
        await config.renew()
    monkeypatch.setattr(platform.vault, "open", opens)
    await config.renew()
    assert config.get(StampSettings).token == "hush-hush"


async def test_secrets_are_sealed_anew_with_a_new_key(client, platform, database):
    await change(client, "stamps", 0, token="hush-hush")
    sql = "SELECT sealed->>'token' FROM setting_group"
    async with database.connection() as connection:
        before = await connection.fetchval(sql)
    await platform.vault.make(another=True)
    keys = await platform.vault.keys(fresh=True)
    keys = msgspec.structs.replace(keys, newest=max(keys.data))  # as if it were ripe
    async with database.transaction() as connection:
        assert await saving.reseal(connection, keys, 0, 10) is None
        after = await connection.fetchval(sql)
    assert after != before
    config = Config(platform)
    await config.renew()
    assert config.stored["stamps"] == {"token": "hush-hush"}


async def test_the_environment_comes_first(settings, database, platform, monkeypatch):
    await saving.save(platform, OPERATOR, "stamps", {"per_order": 5}, 0)
    monkeypatch.setenv("ZHIKE_STAMPS_PER_ORDER", "7")
    monkeypatch.setenv("ZHIKE_STAMPS_SHOPS", '["a"]')
    other = await make(settings, database)
    assert (stamps_of(other).per_order, stamps_of(other).shops) == (7, ["a"])
    with pytest.raises(Exception, match="ZHIKE_STAMPS_PER_ORDER"):
        await saving.save(other, OPERATOR, "stamps", {"per_order": 2}, 1)
    group = saving.find(other, OPERATOR, "stamps")
    assert [each.source for each in saving.shown(other, group, "en").settings] == ["environment"] * 2 + ["default"]
    monkeypatch.setenv("ZHIKE_STAMPS_PER_ORDER", "many")
    with pytest.raises(Refused, match="ZHIKE_STAMPS_PER_ORDER"):
        Config(platform)


async def test_what_the_deployment_fixes_stays_so(settings, database, platform):
    # The tests' settings say that texts are in English.
    assert platform.config.get(General).locale == "en"
    with pytest.raises(Exception, match="ZHIKE_LOCALE"):
        await saving.save(platform, OPERATOR, "general", {"locale": "zh_CN"}, 0)
    free = await make(msgspec.structs.replace(settings, locale="zh_CN"), database)
    await saving.save(free, OPERATOR, "general", {"locale": "en"}, 0)
    assert free.config.get(General).locale == "en"


async def test_settings_of_security_hold_at_once(client, app):
    sessions = app.services.sessions
    assert sessions.idle.total_seconds() == 8 * 3600
    await change(client, "security", 0, session_idle=60, password_length=20)
    assert sessions.idle.total_seconds() == 60
    new = {"login": "ann", "name": "Ann", "role": "agent", "password": "Kx7 tulip quarry"}
    answer = await client.post("/api/v1/users", json=new)
    assert (answer.status_code, answer.json()["code"]) == (400, "password")
    assert "20" in answer.json()["detail"]
    assert (await client.post("/api/v1/users", json=new | {"password": "Kx7 tulip quarry gate"})).status_code == 200


async def test_who_may_change_what(acting, platform):
    manager = await acting({"settings.open": "all", "plugins.manage": "all"})
    assert [each["key"] for each in (await manager.get(SETTINGS)).json()["items"]] == ["stamps"]
    assert (await manager.get(f"{SETTINGS}/general")).status_code == 403
    assert (await change(manager, "security", 0, password_length=12)).status_code == 403
    assert (await change(manager, "stamps", 0, per_order=2)).status_code == 200
    assert (await (await acting({"plugins.manage": "all"})).get(SETTINGS)).status_code == 403
    with pytest.raises(Forbidden):
        saving.find(platform, Actor.of_token(1, "x", "viewer"), "general")
    with pytest.raises(NotFound):
        saving.find(platform, OPERATOR, "nothing")


async def test_what_is_stored_and_fits_no_more_is_left_out(platform, database, caplog):
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO setting_group (key, data, version, updated_at) VALUES"
            " ('stamps', '{\"per_order\": 99, \"shops\": [\"a\"], \"gone\": 1}', 3, now()), ('other', '{}', 1, now())"
        )
    await platform.config.renew(now=True)
    assert (stamps_of(platform).per_order, stamps_of(platform).shops) == (1, ["a"])
    assert "stamps.per_order" in caplog.text
    assert await saving.save(platform, OPERATOR, "stamps", {"per_order": 2}, 3) == 4
    assert (stamps_of(platform).per_order, stamps_of(platform).shops) == (2, ["a"])


async def test_plugins_are_told_in_every_process(settings, database):
    plugins = [Stamps(), Stamps()]
    platform, other = [await make(settings, database, each) for each in plugins]
    await saving.save(platform, OPERATOR, "stamps", {"per_order": 2}, 0)
    for each in (platform, other):
        await each.config.renew(now=True)
        await each.config.tell()
        await each.config.tell()  # once
    assert [each.heard for each in plugins] == [[["stamps"]]] * 2
    # One that fails is logged, and asked again the next time.
    await saving.save(platform, OPERATOR, "general", {"company": "A"}, 0)
    await platform.config.tell()
    await saving.save(platform, OPERATOR, "stamps", {"per_order": 3}, 1)
    await platform.config.tell()
    assert plugins[0].heard == [["stamps"], ["general"], ["stamps"]]


async def test_other_web_processes_know_by_a_wake_up(
    settings: Settings, database_url: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BEAT_SECONDS", 3600)  # nobody looks by themselves
    async with AsyncExitStack() as stack:
        apps = [create_app(settings, database_url) for _ in range(2)]
        for app in apps:
            await stack.enter_async_context(app.services.running())
        first, second = (app.services.platform for app in apps)
        assert first.db is not second.db
        version = 0
        async with asyncio.timeout(60):
            # The listener may not be there yet when the first word goes out.
            while second.config.get(Security).password_length == 10:
                version = await saving.save(
                    first, OPERATOR, "security", {"password_length": 12, "collect_limit": 200 + version}, version
                )
                await asyncio.sleep(0.1)
        assert second.config.get(Security).password_length == 12


async def test_a_database_that_is_away_leaves_what_was_known(platform: Platform, database_url: str) -> None:
    await saving.save(platform, OPERATOR, "general", {"company": "A"}, 0)
    await platform.db.close()
    with pytest.raises(Exception, match="closed"):
        await platform.config.renew(now=True)
    assert platform.config.get(General).company == "A"
    platform.db.engine.pool = (await Database.open(database_url)).engine.pool
