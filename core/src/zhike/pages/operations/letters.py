"""Dead letters: events that a consumer could not take, offered again or given up."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.consumers import service
from zhike.errors import BadRequest, NotFound
from zhike.events.telling import label_of
from zhike.i18n import text
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.formats import label_of_plugin
from zhike.ui.forms import Form, decode
from zhike.ui.rendering import url
from zhike.ui.tables import Filter, Table, TableAction, TableColumn

_LIMIT = 50
_Name = Annotated[str, Meta(max_length=100)]
_COLUMNS = (
    TableColumn(key="event", label=text("Event"), kind="custom"),
    TableColumn(key="consumer", label=text("Consumer"), kind="custom"),
    TableColumn(key="error", label=text("What went wrong")),
    TableColumn(key="attempts", label=text("Attempts"), kind="number"),
    TableColumn(key="created_at", label=text("Set aside"), kind="instant"),
    TableColumn(key="queued", label=text("State"), kind="badge"),
)
_ACTIONS = (
    TableAction(label=text("Offer again"), icon="refresh", path="/deadletters/replay"),
    TableAction(label=text("Drop"), icon="trash", path="/deadletters/discard", danger=True),
)


class LettersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the list of dead letters.

    Args:
        consumer: Only those of this plugin.
        cursor: Where the page begins.
    """

    consumer: _Name = ""
    cursor: Annotated[str, Meta(max_length=2000)] | None = None


class AskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog about all dead letters of a consumer.

    Args:
        consumer: The plugin.
    """

    consumer: _Name


class Dropping(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked before dead letters are dropped.

    Args:
        reason: Why; it stands in the audit trail.
    """

    reason: Annotated[str, asked("Reason", help="It is kept in the audit trail", min_length=1, max_length=500)]


async def listed(call: PageCall, query: LettersQuery) -> Html:
    """List dead letters, the latest first."""
    page = await service.dead_letters(
        call.db, consumer=query.consumer or None, limit=_LIMIT, cursor=query.cursor, key=call.host.cursor_key
    )
    platform = call.host.platform
    rows = [
        msgspec.structs.asdict(each)
        | {
            "label": label_of(platform.registry, each.event_name, call.locale),
            "path": url("/events/event", id=each.message_id) if call.may("events.read") else "",
            "queued": {"label": text("Offered again"), "color": "blue"} if each.queued else None,
        }
        for each in page.items
    ]
    names = sorted({*platform.registry.consumers, *(each.consumer for each in page.items)})
    table = Table(
        id="deadletters",
        path="/deadletters",
        columns=_COLUMNS,
        rows=rows,
        query={"consumer": query.consumer} if query.consumer else {},
        newer="" if query.cursor else None,
        older=page.next,
        filters=[
            Filter(
                name="consumer",
                label=text("Consumer"),
                kind="select",
                options=[(each, label_of_plugin(call.host.platform, each)) for each in names],
            )
        ]
        if rows or query.consumer
        else (),
        actions=_ACTIONS if call.may("consumers.manage") else (),
        empty={
            "icon": "mail-check",
            "title": text("No dead letters"),
            "text": text("Every event was taken. One that a plugin fails at again and again is set aside here."),
        },
    )
    return await call.render("operations/letters.html", fragment="list", table=table, consumer=query.consumer)


async def ask(call: PageCall, query: AskQuery) -> Html:
    """Ask before all dead letters of a consumer are offered again or dropped."""
    return await _dialog(call, {"consumer": [query.consumer]})


async def ask_some(call: PageCall) -> Html:
    """Ask before the dead letters that are picked are offered again or dropped."""
    return await _dialog(call, {"ids": [str(each) for each in _ids(call) or ()]})


async def change(call: PageCall) -> Html | Redirect:
    """Offer dead letters again, or drop them."""
    ids = _ids(call) if call.form.get("ids") else None
    consumer = call.field("consumer") or None
    if _verb(call) == "replay":
        number = await service.replay(call.db, call.actor, ids, consumer)
        return call.redirect("/deadletters", toast=text("{n} dead {n:letter is|letters are} offered again", n=number))
    try:
        reason = decode(Dropping, call.form).reason
    except FormError as error:
        meant = {name: values for name, values in call.form.items() if name in {"ids", "consumer"}}
        return await _dialog(call, meant, error.form, 422)
    number = await service.discard(call.db, call.actor, ids, consumer, reason=reason)
    return call.redirect("/deadletters", toast=text("{n} dead {n:letter is|letters are} dropped", n=number))


async def _dialog(call: PageCall, meant: dict[str, Any], form: Form | None = None, status: int = 200) -> Html:
    form = form or Form(Dropping)
    return await call.render("operations/letters_ask.html", status=status, verb=_verb(call), meant=meant, form=form)


def _verb(call: PageCall) -> str:
    if (verb := call.path["verb"]) not in {"replay", "discard"}:
        raise NotFound(text("There is no action {key}", key=verb))
    return verb


def _ids(call: PageCall) -> list[int]:
    try:
        ids = [int(each) for each in call.form.get("ids", ())]
    except ValueError:
        ids = []
    if not 0 < len(ids) <= 1_000 or not all(0 < each < 2**63 for each in ids):
        raise BadRequest(text("Pick the dead letters that are meant"))
    return ids
