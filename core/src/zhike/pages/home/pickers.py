"""What pickers offer: customers, users, teams, roles, events and stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zhike.access import own_roles
from zhike.access.masking import hidden_fields, masked_fields
from zhike.access.roles import ADMIN_ROLES, CUSTOMERS_READ, EVENTS_READ
from zhike.contracts import Choosable, Picker
from zhike.customers import suggest
from zhike.customers.search.pinyin import UNKNOWN, readings, spellings
from zhike.errors import NotFound
from zhike.events import service as recorded
from zhike.events.sight import unseen
from zhike.i18n import say, text
from zhike.pages.home.profile import zones
from zhike.ui import PageCall

_MOST = 20
_MOST_TYPES = 500


async def pick(call: PageCall) -> dict[str, list[dict[str, object]]]:
    """Answer a picker with what fits what was typed, in the reader's language."""
    from urllib.parse import parse_qs

    given = parse_qs(call.address.partition("?")[2])
    kind, typed = (given.get(name, [""])[-1][:200] for name in ("kind", "q"))
    picker = call.host.platform.registry.pickers.get(kind)
    if picker is None or not (picker.permission is None or call.may(picker.permission)):
        raise NotFound(text("There is nothing to pick of the kind {kind}", kind=kind))
    found = await picker.find(call, typed, _MOST)
    return {
        "items": [
            {"value": each.value, "label": say(each.label, call.locale), "hint": say(each.hint, call.locale)}
            for each in found
        ]
    }


async def customers(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer customers as the search finds them."""
    hits = await suggest.suggest(call, typed, limit)
    return [
        Choosable(
            value=hit.id,
            label=hit.name or text("Customer {id}", id=hit.id),
            hint=" · ".join(filter(None, (hit.phone, hit.company))),
        )
        for hit in hits
    ]


async def users(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the members of staff."""
    return _named(call.host.ui.people.users, typed, limit)


async def teams(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the teams."""
    return _named(call.host.ui.people.teams, typed, limit)


async def roles(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the roles."""
    known = await own_roles.list_(call.db, call.host.platform.directory)
    offered = [Choosable(value=each.name, label=each.label or each.name) for each in known if each.archived_at is None]
    return _fitting(offered, typed, limit, call)


async def events(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the event types that the reader may see: those that are registered, and those that have come in."""
    registry = call.host.platform.registry
    hidden = unseen(call.actor, registry)
    came = (await recorded.types(call.db, call.actor, limit=_MOST_TYPES)).items
    offered = [
        Choosable(value=kind.name, label=kind.label, hint=kind.name)
        for kind in registry.event_types.values()
        if kind.name not in hidden
    ]
    offered += [
        Choosable(value=each.name, label=each.name)
        for each in came
        if each.name not in registry.event_types and each.name not in hidden
    ]
    return _fitting(offered, typed, limit, call)


async def stages(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the stages of customers."""
    if "stage" in masked_fields(call.actor) | hidden_fields(call.actor):
        return []
    field = (await call.host.platform.customer_fields.renew()).known.get("stage")
    choices = [choice for choice in (field.choices if field else ()) if not choice.archived]
    return _fitting([Choosable(value=each.key, label=each.label or each.key) for each in choices], typed, limit, call)


def _named(names: Mapping[int, str], typed: str, limit: int) -> list[Choosable]:
    known = typed.removeprefix("=") if typed.startswith("=") else None
    fold = typed.casefold()
    return [
        Choosable(value=key, label=name)
        for key, name in sorted(names.items(), key=lambda pair: pair[1])
        if (str(key) == known if known is not None else fold in _typed(name))
    ][:limit]


def _fitting(offered: Iterable[Choosable], typed: str, limit: int, call: PageCall) -> list[Choosable]:
    fold = typed.casefold()
    return [
        each
        for each in offered
        if fold in _typed(f"{each.value} {say(each.label, call.locale)} {say(each.hint, call.locale)}")
    ][:limit]


def _typed(shown: str) -> str:
    """Return a name with all that people type for it: its Han characters' pinyin and initials."""
    ways = spellings("".join(each for each in shown if UNKNOWN not in readings(each)))
    return " ".join([shown, *map("".join, ways), *("".join(each[0] for each in way) for way in ways)]).casefold()


PICKERS = (
    Picker(key="customer", find=customers, permission=CUSTOMERS_READ),
    Picker(key="user", find=users),
    Picker(key="team", find=teams),
    Picker(key="zone", find=zones),
    Picker(key="role", find=roles, permission=ADMIN_ROLES),
    Picker(key="event", find=events, permission=EVENTS_READ),
    Picker(key="stage", find=stages, permission=CUSTOMERS_READ),
)
