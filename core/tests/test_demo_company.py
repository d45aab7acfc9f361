"""The sample company is built once, by the plugins that bring a part of it, in a database without customers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zhike import errors, settings
from zhike._host import demo
from zhike.access import passwords
from zhike.contracts import DemoContext, DemoData
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.testing.plugin import FrozenNow

PASSWORD = "kmft-7qpz-wx3v"


class Shop:
    """A plugin with two parts of the company, of which the second may fail."""

    def __init__(self) -> None:
        self.made: list[tuple[str, DemoContext, float]] = []
        self.fails = False

    @hookimpl
    def register_demo_data(self) -> Sequence[DemoData]:
        return [
            DemoData(key="shop.orders", make=self.orders, order=2),
            DemoData(key="shop.customers", make=self.customers, order=1),
        ]

    async def customers(self, company: DemoContext) -> None:
        self.made.append(("customers", company, company.random.random()))
        async with company.platform.db.transaction() as connection:
            await connection.execute("INSERT INTO customer (name) VALUES ('甲'), ('乙')")

    async def orders(self, company: DemoContext) -> None:
        if self.fails:
            raise ConnectionResetError
        self.made.append(("orders", company, company.random.random()))
        assert len(await company.customers()) == 2
        company.say("orders")


async def build(platform: Any, now: FrozenNow, size: int = 50) -> tuple[bool, list[str]]:
    said: list[str] = []
    return await demo.build(platform, now(), size=size, password=PASSWORD, say=said.append), said


async def test_parts_are_made_once_by_their_order(
    database: Database, make_platform: Any, frozen_now: FrozenNow
) -> None:
    shop = Shop()
    platform = make_platform(database, shop=shop)
    assert await demo.opens(database, PASSWORD) is None
    assert await build(platform, frozen_now) == (True, ["orders"])
    assert [name for name, *_ in shop.made] == ["customers", "orders"]
    company = shop.made[0][1]
    assert (company.now, company.size, company.password) == (frozen_now(), 50, PASSWORD)
    assert company.now.utcoffset() == platform.settings.zone.utcoffset(frozen_now().replace(tzinfo=None))
    assert shop.made[0][2] != shop.made[1][2]  # each part draws from its own chance
    frozen_now.advance(days=1)
    assert await build(platform, frozen_now) == (False, [])
    assert len(shop.made) == 2
    assert await demo.opens(database, PASSWORD) is True
    assert await demo.opens(database, "another password") is False
    assert await demo.first_token(database) is not None
    assert await demo.first_token(database) is None


async def test_a_company_with_customers_of_its_own_gets_no_sample_no_login_and_no_token(
    database: Database, make_platform: Any, frozen_now: FrozenNow
) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO customer (name) VALUES ('自己的客户')")
    assert await build(make_platform(database, shop=Shop()), frozen_now) == (False, [])
    assert await demo.first_token(database) is None
    assert await demo.opens(database, PASSWORD) is None
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM app_user") == 0


async def test_a_start_that_was_cut_off_goes_on_as_it_began(
    database: Database, make_platform: Any, frozen_now: FrozenNow
) -> None:
    shop = Shop()
    platform = make_platform(database, shop=shop)
    shop.fails = True
    with pytest.raises(ConnectionResetError):
        await build(platform, frozen_now)
    began, shop.fails = frozen_now(), False
    frozen_now.advance(days=2)
    assert await build(platform, frozen_now, size=70) == (True, ["orders"])
    assert [(name, company.now, company.size) for name, company, _ in shop.made] == [
        ("customers", began, 50),
        ("orders", began, 50),
    ]
    async with database.connection() as connection:
        actions = await connection.fetch("SELECT action FROM audit WHERE action LIKE 'demo.%' ORDER BY id")
    assert [row[0] for row in actions] == ["demo.begin", "demo.part", "demo.part", "demo.end"]


async def test_without_a_plugin_that_brings_one_there_is_none(
    database: Database, make_platform: Any, frozen_now: FrozenNow
) -> None:
    with pytest.raises(errors.Refused, match="zhike-sample"):
        await build(make_platform(database), frozen_now)


def test_each_installation_has_a_password_of_its_own_that_may_be_chosen(tmp_path: Path) -> None:
    first = settings.load(tmp_path / "one", {})
    word = demo.password_of(first)
    assert demo.password_of(first) == word
    assert demo.password_of(msgspec.structs.replace(first, data=tmp_path / "two")) != word
    passwords.check(word, login="admin", name="管理员")
