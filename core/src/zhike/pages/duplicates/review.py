"""The queue of pairs who may be one: looking through them, and deciding on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_MERGE
from zhike.api import Id
from zhike.customers.duplicates import api, deciding, queue
from zhike.customers.duplicates.rules import REASONS, RULES, visible_rules
from zhike.customers.duplicates.schemas import Counts, Decided, Decision, Pair, PairsQuery, State
from zhike.errors import BadRequest, Conflict, NotFound, ZhikeError
from zhike.i18n import Text, text
from zhike.pages.duplicates.sides import brief, name_of
from zhike.ui import Html, PageCall, Redirect

if TYPE_CHECKING:
    from zhike.customers.field import Field

LEAST = 50
"""Pairs that say less are shown only to those who ask for them."""
SCORES = tuple((str(score), text("Score {n} and more", n=score)) for score in (95, 90, 80, 70, 60, LEAST))
_PAGE = 20
_STATES: Mapping[str, Text] = {
    "open": text("To decide"),
    "later": text("For later"),
    "distinct": text("Two different ones"),
}
DONE: Mapping[str, Text] = {
    "merged": text("They are one now"),
    "distinct": text("Noted: these are two. They are not proposed again"),
    "later": text("Put off; they stand under “For later”"),
    "open": text("They stand among those to decide again"),
}


class QueueQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the queue.

    Args:
        state: What has been said of the pairs.
        score: The least score.
        rule: Only pairs for which this rule holds, or with this reason.
        customer: Only pairs with this customer.
        cursor: Where the page begins.
    """

    state: State = "open"
    score: Annotated[int, Meta(ge=0, le=99)] = LEAST
    rule: Annotated[str, Meta(max_length=50)] = ""
    customer: Id | None = None
    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def show(call: PageCall, query: QueueQuery) -> Html:
    """Show the pairs, the surest first."""
    wanted = PairsQuery(
        limit=_PAGE,
        cursor=query.cursor,
        state=query.state,
        min_score=query.score,
        rule=query.rule or None,
        customer_id=query.customer,
    )
    platform, actor = call.host.platform, call.actor
    page = await queue.list_(platform, actor, wanted, locale=call.locale, key=call.host.cursor_key)
    counts = await queue.counts(call.db, actor)
    fields = (await platform.customer_fields.renew()).known
    given = {"state": query.state, "score": query.score, "rule": query.rule, "customer": query.customer or ""}
    return await call.render(
        "duplicates/queue.html",
        fragment="queue",
        pairs=[_shown(call, pair, fields) for pair in page.items],
        counts=counts,
        tabs=tabs(counts, query.state),
        query=query,
        given=given,
        rules=_rules(call),
        scores=SCORES,
        older=page.next,
        whole=actor.scope(CUSTOMERS_MERGE) == "all",
        narrowed=bool(query.rule or query.customer or query.score > LEAST),
    )


async def decide(call: PageCall) -> Html:
    """Decide on a pair; what has become of it takes its place."""
    pair_id = call.id("pair_id")
    try:
        decision = msgspec.convert({"decision": call.field("decision")}, Decision)
    except msgspec.ValidationError:
        raise BadRequest(text("One of the choices is expected")) from None
    try:
        done = await deciding.decide(call.host.platform, call.actor, pair_id, decision)
    except NotFound:
        return await _decided(call, Decided(pair_id, "open"), text("Somebody else has decided on these two"))
    except Conflict as error:
        if error.code == "mixed":
            return await _decided(
                call, Decided(pair_id, "open"), text("One is a person, the other a company: look at the preview")
            )
        return await _decided(call, Decided(pair_id, "open"), error.message)
    except ZhikeError as error:
        if error.status >= 500:
            raise
        return await _decided(call, Decided(pair_id, "open"), error.message)
    return await _decided(call, done)


async def scan(call: PageCall) -> Redirect:
    """Have all customers compared anew."""
    await api.scan_customers(call)
    return call.redirect("/duplicates", toast=text("All customers are being compared; new pairs appear here"))


def _shown(call: PageCall, pair: Pair, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return a pair as its card draws it."""
    two = sorted(pair.customers, key=lambda each: each.id)
    return {"pair": pair, "names": [name_of(each) for each in two], "customers": two, "lines": brief(call, two, fields)}


def tabs(counts: Counts, active: str) -> list[dict[str, Any]]:
    """Return the parts of the page."""
    states: list[dict[str, Any]] = [
        {
            "label": label,
            "path": "/duplicates" if state == "open" else f"/duplicates?state={state}",
            "active": state == active,
            "count": getattr(counts, state),
        }
        for state, label in _STATES.items()
    ]
    merged = {"label": text("Merged"), "path": "/duplicates/merges", "active": active == "merged", "count": None}
    return [*states, merged]


async def _decided(call: PageCall, done: Decided, problem: Text | None = None) -> Html:
    return await call.render(
        "duplicates/decided.html", fragment="line", done=done, problem=problem, told=DONE[done.state]
    )


def _rules(call: PageCall) -> Sequence[tuple[str, Text]]:
    seen = visible_rules(call.actor)
    return [(name, rule.label) for name, rule in RULES.items() if name in seen] + list(REASONS.items())
