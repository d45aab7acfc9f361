"""Those who look after the installation are told of what does not run any more, by itself and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from zhike.access import new_users
from zhike.access.actor import Actor
from zhike.consumers.cursors import PAUSE
from zhike.desk import warnings
from zhike.i18n import text
from zhike.platform import Problem
from zhike.plugins.circuits import LIMIT, StoredCircuits

if TYPE_CHECKING:
    from zhike.orm import Database


@pytest.fixture
async def boss(database: Database) -> int:
    """An admin; there is an agent as well."""
    ids = []
    for login, role in [("boss", "admin"), ("ann", "agent")]:
        made = await new_users.create(
            database, Actor.command("test"), login=login, name=login, role=role, password="Kx7 tulip quarry"
        )
        ids.append(made.id)
    return ids[0]


async def told(database: Database) -> list[tuple[int, str]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT user_id, kind FROM notice ORDER BY id")]


async def test_a_hook_that_is_switched_off(database, boss):
    first, second = StoredCircuits(database), StoredCircuits(database)
    for circuits in (first, second):
        for _ in range(LIMIT):
            circuits.failed("stamps", "provide_health", "ValueError")
    for circuits in (first, second, first):
        await circuits.step()
    assert await told(database) == [(boss, "plugin.circuit")]


async def test_a_plugin_that_is_left_out(database, boss):
    problem = Problem(plugin="stamps", stage="import", text=text("An error in Zhike"), hint=text("nothing"))
    async with database.connection() as connection:
        for generation in (1, 1, 2):
            await warnings.plugin_left_out(connection, problem, generation)
    assert await told(database) == [(boss, "plugin.problem")] * 2


async def test_a_consumer_that_pauses(database, boss):
    assert "state = 'running'" in PAUSE  # of several processes one pauses it, and tells
    async with database.connection() as connection:
        await warnings.consumer_paused(connection, "stamps")
    assert await told(database) == [(boss, "consumer.paused")]
