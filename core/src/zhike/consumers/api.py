"""Routes that show consumers and dead letters and tell runners what to do with them."""

from __future__ import annotations

from zhike import wire
from zhike.access.roles import CONSUMERS_MANAGE, CONSUMERS_READ
from zhike.api import Call, Page, PageQuery, Route
from zhike.consumers import service
from zhike.consumers.schemas import (
    BackfillRequest,
    ConsumerChanged,
    ConsumerState,
    DeadLetter,
    LettersAnswer,
    LettersRequest,
    ShardsRequest,
)

_PLACES = {"name": "The plugin's name"}


class LettersQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of the list of dead letters.

    Args:
        consumer: Show those of this plugin only.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    consumer: str | None = None


async def list_consumers(call: Call, _: PageQuery) -> Page[ConsumerState]:
    """List the consumers: how far they are, and of those that are stuck why."""
    loaded = call.host.platform.hooks.implementers("on_events_recorded")
    return Page(await service.consumers(call.db, loaded=loaded, locale=call.locale), None)


async def pause_consumer(call: Call) -> ConsumerChanged:
    """Give a consumer no more events; its place in the log is kept."""
    return ConsumerChanged(await service.pause(call.db, call.actor, call.path["name"]))


async def resume_consumer(call: Call) -> ConsumerChanged:
    """Let a paused consumer go on where it stands."""
    return ConsumerChanged(await service.resume(call.db, call.actor, call.path["name"]))


async def rebuild_consumer(call: Call) -> ConsumerChanged:
    """Have a consumer delete what it derived and be given the whole log again."""
    return ConsumerChanged(await service.rebuild(call.db, call.actor, call.path["name"]))


async def backfill_consumer(call: Call) -> ConsumerChanged:
    """Have a consumer delete what it derived and be given what was recorded since some time."""
    since = wire.decode(call.body, call.body_type, BackfillRequest).since
    return ConsumerChanged(await service.backfill(call.db, call.actor, call.path["name"], since))


async def split_consumer(call: Call) -> ConsumerChanged:
    """Have a consumer's shards worked on in several ranges side by side."""
    ranges = wire.decode(call.body, call.body_type, ShardsRequest).ranges
    return ConsumerChanged(await service.split(call.db, call.actor, call.path["name"], ranges))


async def list_dead_letters(call: Call, query: LettersQuery) -> Page[DeadLetter]:
    """List the events that consumers could not take, the latest first."""
    key = call.host.cursor_key
    return await service.dead_letters(call.db, consumer=query.consumer, limit=query.size, cursor=query.cursor, key=key)


async def replay_dead_letters(call: Call) -> LettersAnswer:
    """Queue dead letters to be offered again; those that succeed are deleted."""
    meant = wire.decode(call.body, call.body_type, LettersRequest)
    return LettersAnswer(await service.replay(call.db, call.actor, meant.ids, meant.consumer))


async def discard_dead_letters(call: Call) -> LettersAnswer:
    """Delete dead letters: their events are never offered again."""
    meant = wire.decode(call.body, call.body_type, LettersRequest)
    return LettersAnswer(await service.discard(call.db, call.actor, meant.ids, meant.consumer))


ROUTES = (
    Route(
        method="GET",
        path="/consumers",
        handler=list_consumers,
        permission=CONSUMERS_READ,
        summary="Consumers and how far they are",
        query=PageQuery,
        answer=Page[ConsumerState],
    ),
    *(
        Route(
            method="POST",
            path=f"/consumers/{{name}}/{verb}",
            handler=handler,
            permission=CONSUMERS_MANAGE,
            summary=summary,
            body=body,
            answer=ConsumerChanged,
            places=_PLACES,
            statuses=(409,),
        )
        for verb, handler, summary, body in (
            ("pause", pause_consumer, "Give a consumer no more events", None),
            ("resume", resume_consumer, "Let a consumer go on", None),
            ("rebuild", rebuild_consumer, "Start a consumer over", None),
            ("backfill", backfill_consumer, "Start a consumer over from some time on", BackfillRequest),
            ("shards", split_consumer, "Split a consumer's shards", ShardsRequest),
        )
    ),
    Route(
        method="GET",
        path="/deadletters",
        handler=list_dead_letters,
        permission=CONSUMERS_READ,
        summary="Events that consumers could not take",
        query=LettersQuery,
        answer=Page[DeadLetter],
    ),
    *(
        Route(
            method="POST",
            path=f"/deadletters/{verb}",
            handler=handler,
            permission=CONSUMERS_MANAGE,
            summary=summary,
            body=LettersRequest,
            answer=LettersAnswer,
            statuses=(404,),
        )
        for verb, handler, summary in (
            ("replay", replay_dead_letters, "Offer dead letters again"),
            ("discard", discard_dead_letters, "Give dead letters up"),
        )
    ),
)
