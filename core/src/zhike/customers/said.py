"""Checks what is said of a customer by hand or by another system, as events are checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET
from msgspec.structs import asdict

from zhike import wire
from zhike.access.masking import HIDDEN, field_of, masked_fields, rules_of
from zhike.customers.field import BUILT_IN, STAFF
from zhike.customers.identities import BadIdentity, normalise, order
from zhike.customers.traits import OWN
from zhike.errors import BadRequest
from zhike.events.checks import BadItem, check_text, check_traits
from zhike.i18n import text
from zhike.wire import Fault

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.customers.resolve import Pair
    from zhike.customers.schemas import BulkSet, CustomerSaid
    from zhike.orm import Connection
    from zhike.platform import Platform

_USER = "SELECT id FROM app_user WHERE id = $1 AND disabled_at IS NULL"
_TEAM = "SELECT id FROM team WHERE id = $1 FOR KEY SHARE"
# Nobody's number or address looks like this, but what is shown of them to whoever may not see them.
_NEVER_STARRED = frozenset({"phone", "email"})


class Said(NamedTuple):
    """What is said of a customer, checked.

    Args:
        traits: Column or attribute to its value as it is stored; None takes it away.
        own: `owner` and `team`, those that are said.
        source: Who says so.
    """

    traits: dict[str, Any]
    own: dict[str, int | None]
    source: str


def said_of(platform: Platform, actor: Actor, said: CustomerSaid | BulkSet) -> Said:
    """Return what is said of customers, checked but for whether owner and team exist.

    Args:
        platform: Its `customer_fields` have been renewed.
        actor: Who says it.
        said: As it was sent.

    Raises:
        BadRequest: With the code `trait`, if a value does not fit its field, or `masked`, if it is what stands for a
            value that the actor does not see.
    """
    given = {name: value for name, value in asdict(said).items() if value is not UNSET}
    attributes = given.get("attributes", {})
    for key in BUILT_IN.keys() & attributes.keys():
        raise wire.refuse(Fault(f"attributes.{key}", text("this is no attribute but a field of the customer itself")))
    traits = {name: value for name, value in given.items() if name in BUILT_IN} | attributes
    starred = masked_fields(actor) | _NEVER_STARRED
    for name, value in traits.items():
        field = name if name in BUILT_IN else f"attributes.{name}"
        if field in starred and isinstance(value, str) and (HIDDEN in value or "***@" in value):
            wrong = text("this stands for a value that is not shown, and is none itself")
            raise BadRequest(text("{where}: {detail}", where=field, detail=wrong), code="masked")
    source = given.get("source", STAFF)
    try:
        check_text("source", source)
        checked = check_traits(traits, platform.customer_fields)
    except BadItem as bad:
        name = bad.field.removeprefix("traits.")
        field = name if name in BUILT_IN or name == bad.field else f"attributes.{name}"
        raise BadRequest(text("{where}: {detail}", where=field, detail=bad.detail), code=bad.code) from None
    return Said(checked, {name: given[name] for name in OWN if name in given}, source)


def pairs_of(given: Mapping[str, str | list[str]], field: str) -> list[Pair]:
    """Return identities in their normal form, the strongest first, each once.

    Args:
        given: Namespace to a value or several.
        field: What they are called in the request.

    Raises:
        BadRequest: With the code `identity`, if one cannot be one of its namespace.
    """
    pairs = []
    for namespace, values in given.items():
        for value in [values] if isinstance(values, str) else values:
            try:
                pairs.append((namespace, normalise(namespace, value)))
            except BadIdentity as error:
                where = f"{field}.{namespace[:50]}"
                raise BadIdentity(text("{where}: {detail}", where=where, detail=error.message)) from None
    return sorted(dict.fromkeys(pairs), key=lambda pair: order(pair[0]))


def require_nameable(actor: Actor, pairs: Iterable[Pair]) -> None:
    """Refuse identities that `actor` does not see whole: what comes of naming one tells whose it is.

    A whole phone number that is masked may be named, as in a search; whoever lets it be named audits that.

    Raises:
        BadRequest: With the code `masked`.
    """
    rules = rules_of(actor)
    for namespace, _ in pairs:
        rule = rules.get(field := field_of(namespace))
        if rule is not None and (namespace, rule) != ("phone", "mask"):
            wrong = text("your role does not see these whole, and cannot name any")
            raise BadRequest(text("{where}: {detail}", where=field, detail=wrong), code="masked")


async def check_own(connection: Connection, own: Mapping[str, int | None]) -> None:
    """Check that owner and team exist.

    Raises:
        BadRequest: If one does not; the message begins with the field.
    """
    if (owner := own.get("owner")) is not None and await connection.fetchval(_USER, owner) is None:
        raise wire.refuse(Fault("owner", text("there is no active user {id}", id=owner)))
    if (team := own.get("team")) is not None and await connection.fetchval(_TEAM, team) is None:
        raise wire.refuse(Fault("team", text("there is no team {id}", id=team)))
