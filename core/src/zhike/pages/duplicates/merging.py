"""Merging customers by hand: picking them, seeing what it would do, choosing field by field, doing it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.roles import CUSTOMERS_MERGE
from zhike.api import Id
from zhike.customers import merging, service
from zhike.customers.duplicates.deciding import better_known
from zhike.customers.field import STAFF
from zhike.customers.identities import LABELS
from zhike.customers.merging import MOST_LOSERS, MergeRequest
from zhike.customers.preview import Preview, preview
from zhike.errors import BadRequest, Conflict, Forbidden, NotFound, ZhikeError
from zhike.hooks import Rejected
from zhike.i18n import Text, text
from zhike.pages.duplicates.sides import KINDS, name_of, whole
from zhike.ui import Html, PageCall, Redirect
from zhike.work import begin

if TYPE_CHECKING:
    from zhike.customers.preview import Side

_FIELD = "field:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ON_MERGE: Mapping[str, Text] = {
    "move": text("go over"),
    "delete": text("are deleted"),
    "null": text("stay, with nobody"),
    "keep": text("stay where they are until the merge is undone"),
    "hook": text("are merged by the plugin"),
}
_TABLES: Mapping[str, Text] = {"task": text("Tasks"), "customer_relation": text("Relations")}


class MergeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the page.

    Args:
        others: Whom the customer is to be merged with.
        winner: Who remains; who is better known when absent.
        mixed: Whether a person and a company may be merged.
    """

    others: list[Id] = msgspec.field(default_factory=list, name="with")
    winner: Id | None = None
    mixed: bool = False


async def ask(call: PageCall, query: MergeQuery) -> Html:
    """Ask with whom, and show what a merge would do."""
    customer_id = call.id("customer_id")
    everybody = list(dict.fromkeys([customer_id, *query.others]))[: MOST_LOSERS + 1]
    winner = query.winner if query.winner in everybody else None
    return await _page(call, everybody, winner, query.mixed)


async def merge(call: PageCall) -> Html | Redirect:
    """Merge them as the page says."""
    customer_id = call.id("customer_id")
    try:
        winner = msgspec.convert(call.field("winner"), Id, strict=False)
        everybody = msgspec.convert(call.form.get("with", []), list[Id], strict=False)
        chosen = {
            name.removeprefix(_FIELD): msgspec.convert(values[-1], Id, strict=False)
            for name, values in call.form.items()
            if name.startswith(_FIELD) and values[-1] != call.field("default:" + name.removeprefix(_FIELD))
        }
        losers = [each for each in dict.fromkeys(everybody) if each != winner]
        mixed = bool(call.field("mixed"))
        body = {"winner": winner, "losers": losers, "fields": chosen, "mixed": mixed}
        request = msgspec.convert(body, MergeRequest)
    except msgspec.ValidationError:
        raise BadRequest(text("Those who are picked cannot be told; pick them again")) from None
    try:
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            merge_id, done = await merging.merge(work, call.actor, request)
    except (BadRequest, Conflict, Forbidden, Rejected) as error:
        ids = list(dict.fromkeys([customer_id, *everybody]))
        return await _page(call, ids, winner, mixed, error, chosen)
    told = text("{n} {n:customer|customers} became part of this one", n=len(done.losers))
    return call.redirect(f"/customers/{done.winner}", toast=told, undo=f"/merges/{merge_id}/undo")


async def _page(
    call: PageCall,
    everybody: list[int],
    winner: int | None,
    mixed: bool,
    problem: ZhikeError | None = None,
    chosen: Mapping[str, int] | None = None,
) -> Html:
    """Draw the page for some customers, the one it belongs to first."""
    platform, actor = call.host.platform, call.actor
    customer = await service.get(call.db, actor, everybody[0], permission=CUSTOMERS_MERGE)
    found: Preview | None = None
    if len(everybody) > 1:
        try:
            found = await _preview(call, everybody, winner, mixed)
        except (BadRequest, Conflict, NotFound) as error:
            problem = problem or error
    fields = (await platform.customer_fields.renew()).known
    sides = found.sides if found else []
    lines = whole(call, [each.customer for each in sides], fields) if found else []
    choices = {each.field: each for each in found.fields} if found else {}
    return await call.render(
        "duplicates/merge.html",
        fragment="merge",
        status=problem.status if problem is not None and problem.status in {409, 422} else 200 if not chosen else 422,
        customer=customer,
        name=name_of(customer),
        picked=[(str(each.customer.id), name_of(each.customer)) for each in sides if each.customer.id != customer.id],
        others=[each for each in everybody if each != everybody[0]],
        preview=found,
        names={each.customer.id: name_of(each.customer) for each in sides},
        kinds=KINDS,
        namespaces=LABELS,
        differing=[(line, choices[line.field]) for line in lines if line.field in choices],
        agreeing=[line for line in lines if line.field not in choices],
        sources={each.customer.id: _sources(each) for each in sides},
        consequences=[each.render(call.locale) for each in _consequences(found)] if found else [],
        on_merge=_ON_MERGE,
        tables=_TABLES,
        chosen=chosen or {},
        problem=problem.message if problem is not None else None,
        code=problem.code if problem is not None else "",
        mixed=mixed,
    )


async def _preview(call: PageCall, everybody: list[int], winner: int | None, mixed: bool) -> Preview:
    """Return the preview with `winner` first, or with who is better known where nobody was chosen."""
    if winner is None:
        async with call.db.connection() as connection:
            winner = await better_known(connection, everybody)
    first = winner or everybody[0]
    request = MergeRequest(winner=first, losers=[each for each in everybody if each != first], mixed=mixed)
    return await preview(call.host.platform, call.actor, request, locale=call.locale)


def _sources(side: Side) -> dict[str, dict[str, Any]]:
    """Return who said what a field is, and when, by field."""
    return {
        field: {"source": text("Staff") if source == STAFF else source, "at": _EPOCH + timedelta(milliseconds=at)}
        for field, (source, at) in side.provenance.items()
    }


def _consequences(found: Preview) -> list[Text]:
    losers = found.sides[1:]
    winner = name_of(found.sides[0].customer)
    lines = [text("{loser} becomes part of {winner}", loser=name_of(each.customer), winner=winner) for each in losers]
    identities = sum(len(values) for each in losers for values in each.customer.identities.values())
    events = sum(each.events for each in losers)
    lines.append(text("{n} {n:identity|identities} and {m} {m:behaviour|behaviours} go over", n=identities, m=events))
    lines.append(text("Old links and numbers lead to {winner} from then on", winner=winner))
    lines.append(text("It can be undone at any time"))
    return lines
