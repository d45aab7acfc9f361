"""Consumers: how far each one is, why it is paused, and starting one over."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated

import msgspec

from zhike.consumers import service
from zhike.consumers.schemas import ConsumerState
from zhike.errors import Conflict, NotFound
from zhike.i18n import text
from zhike.pages.operations import words
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, decode
from zhike.ui.tables import Table, TableColumn

_COLUMNS = (
    TableColumn(key="name", label=text("Consumer"), kind="custom"),
    TableColumn(key="state", label=text("State"), kind="badge"),
    TableColumn(key="mode", label=text("Is given")),
    TableColumn(key="lag_events", label=text("Events ahead"), kind="number"),
    TableColumn(key="behind", label=text("Behind")),
    TableColumn(key="dead_letters", label=text("Dead letters"), kind="number"),
    TableColumn(key="reason", label=text("What is wrong")),
)
_DONE = {
    "pause": text("The consumer is paused"),
    "resume": text("The consumer goes on"),
    "rebuild": text("The consumer starts over in a moment"),
    "backfill": text("The consumer starts over in a moment"),
}


class CountQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the count beside the field.

    Args:
        since: From which day on.
    """

    since: date | None = None


class Backfilling(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a consumer that takes up what was before.

    Args:
        since: From which day on.
    """

    since: Annotated[date | None, asked("Recorded since", help="Empty: from the beginning of the log")] = None


async def listed(call: PageCall) -> Html:
    """List the consumers."""
    states = await _states(call)
    rows = [
        msgspec.structs.asdict(each)
        | {
            "id": each.name,
            "path": f"/consumers/{each.name}",
            "state": words.CONSUMERS[each.state],
            "mode": text("starts over in a moment") if each.starting_over else words.MODES[each.mode],
            "behind": words.lasting(each.lag_seconds) if each.lag_events else None,
            "reason": each.reason or each.last_error,
        }
        for each in states
    ]
    table = Table(
        id="consumers",
        path="/consumers",
        columns=_COLUMNS,
        rows=rows,
        empty={
            "icon": "arrows-split-2",
            "title": text("No plugin takes events"),
            "text": text("A consumer is a plugin that is given all events in their order, such as tagging by rules."),
            "label": text("Plugins") if call.may("plugins.read") else "",
            "path": "/plugins",
        },
    )
    return await call.render("operations/consumers.html", fragment="list", table=table)


async def show(call: PageCall) -> Html:
    """Show one consumer: its ranges, its events, and what went wrong."""
    consumer = _named(await _states(call), call.path["name"])
    letters = await service.dead_letters(call.db, consumer=consumer.name, limit=5)
    return await call.render(
        "operations/consumer.html",
        consumer=consumer,
        letters=letters.items,
        state=words.CONSUMERS[consumer.state],
        mode=words.MODES[consumer.mode],
        lasting=words.lasting,
    )


async def ask(call: PageCall) -> Html:
    """Ask before a consumer is paused, resumed or started over."""
    return await _dialog(call, _verb(call), Form(Backfilling))


async def count(call: PageCall, query: CountQuery) -> Html:
    """Say how many events the consumer would be offered again."""
    number, part = await service.ahead(call.db, _since(call, query.since))
    return await call.render("operations/consumer_count.html", number=number, part=part)


async def change(call: PageCall) -> Html | Redirect:
    """Pause a consumer, let it go on, or start it over."""
    name, verb = call.path["name"], _verb(call)
    try:
        if verb == "backfill":
            since = _since(call, decode(Backfilling, call.form).since)
            await service.backfill(call.db, call.actor, name, since)
        else:
            await getattr(service, verb)(call.db, call.actor, name)
    except FormError as error:
        return await _dialog(call, verb, error.form, 422)
    except Conflict as error:
        return await _dialog(call, verb, Form(Backfilling, problem=error.message), 409)
    return call.redirect(f"/consumers/{name}", toast=_DONE[verb])


async def _dialog(call: PageCall, verb: str, form: Form, status: int = 200) -> Html:
    consumer = _named(await _states(call), call.path["name"])
    number, part = await service.ahead(call.db) if verb == "rebuild" else (None, False)
    return await call.render(
        "operations/consumer_ask.html",
        status=status,
        verb=verb,
        form=form,
        consumer=consumer,
        number=number,
        part=part,
    )


async def _states(call: PageCall) -> list[ConsumerState]:
    loaded = call.host.platform.hooks.implementers("on_events_recorded")
    return await service.consumers(call.db, loaded=loaded, locale=call.locale)


def _named(states: list[ConsumerState], name: str) -> ConsumerState:
    for each in states:
        if each.name == name:
            return each
    raise NotFound(text("There is no consumer {name}", name=name))


def _verb(call: PageCall) -> str:
    if (verb := call.path["verb"]) not in _DONE:
        raise NotFound(text("There is no action {key}", key=verb))
    return verb


def _since(call: PageCall, day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), call.zone)
