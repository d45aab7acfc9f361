"""Has plugins take part when ingest merges visitors; one that cannot leaves them separate and stops nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from zhike.contracts import Mode
from zhike.customers.resolve import Resolver
from zhike.customers.traits import Cause
from zhike.errors import Unavailable, where
from zhike.events.emit import Emission, rows_of
from zhike.events.sql import EventRows
from zhike.hooks import Hooks, HookTimeout
from zhike.i18n import text
from zhike.jobs.sql import JobRow
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.plugins.rows import move_rows
from zhike.work import Work, entered

SECONDS = 5.0
"""How long the plugins together may take for one batch, which holds locks meanwhile."""
PAUSE = 60.0
"""Seconds in which a process merges no stored visitor after plugins were too slow for it."""

# Longer than a unit of work waits for a merge: of two that wait for each other, the merge goes on.
_SAVEPOINT = "SAVEPOINT merging; SET LOCAL lock_timeout = '3s'"
_KEEP = "RELEASE SAVEPOINT merging; SET LOCAL lock_timeout TO DEFAULT"
_UNDO = "ROLLBACK TO SAVEPOINT merging; RELEASE SAVEPOINT merging"

_HOOK = "merge_customer_data"
_slow: WeakKeyDictionary[Hooks, float] = WeakKeyDictionary()
logger = logging.getLogger("zhike.events")


class MergeRefused(Exception):
    """Some visitors must stay who they are.

    Args:
        visitors: Their ids.
    """

    def __init__(self, visitors: set[int]) -> None:
        super().__init__("some visitors must stay who they are")
        self.visitors = visitors


class TooSlow(Unavailable):
    """Plugins took too long to merge visitors; the same events, stored again at once, merge none."""


class Effects(msgspec.Struct):
    """What plugins have added to a batch.

    Args:
        rows: Their events.
        jobs: Their jobs.
    """

    rows: EventRows
    jobs: list[JobRow]


def paused(platform: Platform | None) -> bool:
    """Say whether no stored visitor is merged at present, since plugins were too slow for it lately."""
    return platform is not None and _slow.get(platform.hooks, 0.0) > time.monotonic()


async def hand_over(
    platform: Platform, connection: Connection, resolver: Resolver, recorded: Mapping[int, int], now: datetime
) -> Effects:
    """Have plugins' rows moved to the customers that visitors were merged into, and the plugins do their duty.

    Args:
        platform: The process's platform.
        connection: In the batch's transaction, where customers, identities and events have their new owners.
        resolver: Knows the merges.
        recorded: Their ids in customer_merge, by loser.
        now: When they count as merged.

    Returns:
        What plugins have emitted and enqueued, for the batch to store.

    Raises:
        MergeRefused: If that failed; nothing of it is left in the transaction.
        TooSlow: If it took too long; the connection is closed.
    """
    groups: dict[int, _Group] = {}
    into = {merge.loser_id: merge.winner_id for merge in resolver.merges}
    for merge in resolver.merges:
        # Plugins know nothing of a customer that is created in this very transaction.
        if not resolver.drafts[merge.loser_id].new:
            winner = resolver.root(merge.loser_id)
            group = groups.setdefault(winner, _Group(winner, {}, merge.cause))
            group.losers[merge.loser_id] = [recorded[step] for step in _steps(merge.loser_id, into)]
    effects = await _attempt(platform, connection, list(groups.values()), now)
    if effects is not None:
        return effects
    single = [
        group._replace(losers={loser: merges}) for group in groups.values() for loser, merges in group.losers.items()
    ]
    refused: set[int] = set()
    ends = time.monotonic() + SECONDS
    for group in single:
        over = len(single) == 1 or time.monotonic() > ends
        if over or await _attempt(platform, connection, [group], now) is None:
            refused.update(group.losers)
    # Those who can be merged one by one may not be together.
    raise MergeRefused(refused or {loser for group in single for loser in group.losers})


class _Group(NamedTuple):
    winner: int
    losers: dict[int, list[int]]  # with the merges that lead to the winner
    cause: Cause


def _steps(loser: int, into: Mapping[int, int]) -> Iterator[int]:
    """Return a customer and those it was merged into who were themselves merged in the same batch."""
    while loser in into:
        yield loser
        loser = into[loser]


async def _attempt(
    platform: Platform, connection: Connection, groups: Sequence[_Group], now: datetime
) -> Effects | None:
    """Bring together what plugins know; return None, and leave nothing, if one of them fails."""
    effects = Effects(EventRows(), [])
    if not groups:
        return effects
    duties = platform.hooks.implementers(_HOOK)
    await connection.execute(_SAVEPOINT)
    try:
        async with asyncio.timeout(SECONDS):
            pairs = [(loser, group.winner) for group in groups for loser in group.losers]
            merges = {loser: ids for group in groups for loser, ids in group.losers.items()}
            await move_rows(connection, pairs, merges, duties=duties)
            emitted: list[Emission] = []
            for winner, losers, cause in groups if duties else ():
                mode: Mode = "live" if cause.live else "backfill"
                work = Work(platform, connection, plugin="", origin=cause.origin, mode=mode, now=now)
                with entered(work):
                    await platform.hooks.duty(_HOOK, winner_id=winner, loser_ids=list(losers), work=work)
                emitted += work.emitted()
                effects.jobs += work.jobs
            if emitted:
                effects.rows = await rows_of(connection, emitted)
        await connection.execute(_KEEP)
    except (HookTimeout, TimeoutError) as error:
        logger.warning("no visitors are merged for %d s, since plugins took too long: %s", PAUSE, where(error))
        _slow[platform.hooks] = time.monotonic() + PAUSE
        # What was cut short may still use the connection, and would then write into the batch.
        await platform.db.engine.cut(connection)
        message = text("other requests keep changing the same customers; try again")
        raise TooSlow(message, retry_after=1) from error
    except Exception as error:
        if connection.is_closed():
            raise
        logger.warning("visitors stay separate, since plugins cannot merge them: %s", where(error))
        await connection.execute(_UNDO)
        return None
    return effects
