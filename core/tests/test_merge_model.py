"""Events, merges and their undoing in any order end as in a model kept in memory."""

from __future__ import annotations

import os
from typing import Any

import pytest
from customer_model import BATCHES, EMPTY, NOW, Model, check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhike.access.actor import Actor
from zhike.customers import settling
from zhike.customers.merging import MergeRequest, merge
from zhike.customers.unmerge import unmerge
from zhike.errors import BadRequest, Conflict
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform
from zhike.work import begin

EXAMPLES = int(300 * float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1))
ACTOR = Actor.command("test")
NUMBERS = st.integers(0, 9)
STEPS = st.lists(
    st.tuples(st.just("store"), BATCHES.map(lambda batches: batches[0]))
    | st.tuples(st.just("merge"), st.tuples(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=3)))
    | st.tuples(st.just("unmerge"), NUMBERS)
    | st.tuples(st.just("settle"), st.none()),
    min_size=2,
    max_size=14,
)


class Stand:
    """The database and the model, to both of which the same happens.

    Args:
        platform: The platform on the database.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.db: Database = platform.db
        self.model = Model()

    async def store(self, batch: list[CheckedEvent]) -> None:
        """Store a batch of events."""
        taken = [self.model.take(event) for event in batch]
        self.model.commit()
        async with self.db.transaction() as connection:
            got = await store(connection, batch, origin="token:1", live=True, now=NOW, platform=self.platform)
        assert (got.accepted, got.duplicate, got.rejected) == (sum(taken), len(taken) - sum(taken), [])

    async def merge(self, drawn: tuple[int, list[int]]) -> None:
        """Merge customers by their numbers."""
        async with self.db.connection() as connection:
            ids = [row[0] for row in await connection.fetch("SELECT id FROM customer ORDER BY id")]
        if not ids:
            return
        winner, losers = drawn[0] % len(ids), [number % len(ids) for number in drawn[1]]
        request = MergeRequest(winner=ids[winner], losers=[ids[loser] for loser in losers])
        try:
            async with begin(self.platform, origin=ACTOR.origin, now=NOW) as work:
                await merge(work, ACTOR, request)
        except BadRequest:
            assert winner in losers
        except Conflict:
            assert not self.model.merge(winner, losers)
        else:
            assert self.model.merge(winner, losers)

    async def unmerge(self, number: int) -> None:
        """Undo a merge that took place, if any."""
        async with self.db.connection() as connection:
            ids = [row[0] for row in await connection.fetch("SELECT merge_id FROM customer_merge ORDER BY id")]
        if not ids:
            return
        group = self.model.merges[number % len(ids)].group
        try:
            async with begin(self.platform, origin=ACTOR.origin, now=NOW) as work:
                await unmerge(work, ACTOR, ids[number % len(ids)])
        except Conflict:
            assert not self.model.unmerge(group)
        else:
            assert self.model.unmerge(group)

    async def settle(self, _: None) -> None:
        """Move one chunk of what is to be moved."""
        await JobWorker(self.platform).step()


@given(STEPS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_merges_equal_the_model(database: Database, make_platform: Any, steps: list[tuple[str, Any]]) -> None:
    stand = Stand(make_platform(database))
    async with database.connection() as connection:
        await connection.execute(EMPTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "CHUNK", 3)
        for name, argument in steps:
            await getattr(stand, name)(argument)
        await check(database, stand.model, settled=False)
        worker = JobWorker(stand.platform)
        while await worker.step():
            pass
    await check(database, stand.model)
    async with database.connection() as connection:
        assert await connection.fetch("SELECT last_error FROM job") == []
        assert await connection.fetch("SELECT FROM customer_settling") == []
        assert await connection.fetch("SELECT FROM customer WHERE settling") == []
        assert await connection.fetch("SELECT FROM customer_merge WHERE settled_at IS NULL") == []
