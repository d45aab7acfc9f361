"""Checks every event passes before it is stored, whichever way it came in."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from zhike import wire
from zhike.contracts import EventType
from zhike.customers.fields import CustomerFields
from zhike.customers.identities import NORMALISERS, BadIdentity, order
from zhike.customers.sealing import is_sealed
from zhike.customers.values import BadValue
from zhike.events.properties import BadProperties, from_json
from zhike.events.schemas import (
    COLUMN_TRAITS,
    KINDS,
    MAX_TEXT_BYTES,
    MAX_TRAIT_CHARACTERS,
    MAX_TRAIT_ITEMS,
    MAX_TRAIT_KEY,
    MAX_TRAITS,
    PLATFORM_EVENTS,
    RESERVED_TRAITS,
    CheckedEvent,
    IncomingEvent,
    Rejection,
)
from zhike.i18n import Text, text
from zhike.ids import new_message_id
from zhike.money import EXPONENTS, BadAmount, to_minor
from zhike.settings import Settings

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=24)

_SPECIAL_TRAITS = RESERVED_TRAITS | COLUMN_TRAITS | {"kind"}
# A text of so many characters may have more than 200 bytes.
_MANY = MAX_TEXT_BYTES // 4
_CACHED = 10_000

_plans: dict[tuple[str, ...], list[tuple[str, Callable[[str], str]]]] = {}


class BadItem(Exception):
    """One event cannot be taken.

    Args:
        code: A stable word for programs.
        field: Path inside the event; "" for the event as a whole.
        detail: What is wrong and what was expected.
    """

    def __init__(self, code: str, field: str, detail: Text) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.detail = detail

    def rejection(self, index: int) -> Rejection:
        """Return what the sender is told about the item at `index`."""
        where = f"events[{index}].{self.field}" if self.field else f"events[{index}]"
        return Rejection(index, self.code, text("{where}: {detail}", where=where, detail=self.detail))


class KnownTypes:
    """What is registered about event types, as the checks of incoming events need it.

    Args:
        registered: Event types by name.
        fields: The fields of customers, which traits have to fit; None where any trait will do.
    """

    def __init__(self, registered: Mapping[str, EventType], fields: CustomerFields | None = None) -> None:
        self.fields = fields
        ours = [name for name, registration in registered.items() if registration.kind == "platform"]
        self.reserved = PLATFORM_EVENTS.union(ours)
        self.payloads = {name: known.payload for name, known in registered.items() if known.payload is not None}
        self.good_names: set[str] = set()


UNREGISTERED = KnownTypes({})
"""For want of plugins: only what the core records itself is known."""


def check_event(item: IncomingEvent, index: int, *, now: datetime, settings: Settings) -> CheckedEvent | Rejection:
    """Check one event that a program made instead of a decoder; nothing about it is taken for granted.

    Args:
        item: The event; its properties are JSON.
        index: Its number, for the messages.
        now: The present instant, aware.
        settings: The deployment's zone and currency are used.
    """
    accepted, rejected = check_items([(index, item, None)], now=now, settings=settings, careful=True)
    return accepted[0] if accepted else rejected[0]


def check_items(
    rows: Iterable[tuple[int, IncomingEvent, str | None]],
    *,
    now: datetime,
    settings: Settings,
    careful: bool,
    read: Callable[[Raw], str] = from_json,
    types: KnownTypes = UNREGISTERED,
) -> tuple[list[CheckedEvent], list[Rejection]]:
    """Check many events.

    How many events a process takes in a second is decided here: a call costs as much as several lines.

    Args:
        rows: Index, event and, where they are known to be good, its properties as JSON text.
        now: The present instant, aware.
        settings: The deployment's zone and currency are used.
        careful: Whether texts may hold NUL, lone surrogates or more than the types of `IncomingEvent` allow.
        read: Checks properties that are not known to be good and returns their JSON text.
        types: The registered event types.
    """
    accepted, rejected = list[CheckedEvent](), list[Rejection]()
    now = now.astimezone(UTC)
    zone, latest, good_names, payloads = settings.zone, now + AHEAD, types.good_names, types.payloads
    fields = types.fields if types.fields and types.fields.checked else None
    for index, item, json in rows:
        try:
            name = item.name
            if name not in good_names:
                _check_name(name, types)
            message_id = item.message_id
            if message_id is None:
                message_id = new_message_id()
            elif careful or len(message_id) > _MANY:
                check_text("message_id", message_id)
            occurred_at = item.occurred_at or now
            if occurred_at.tzinfo is not UTC or not EARLIEST <= occurred_at <= latest:
                occurred_at = instant(occurred_at, zone, latest)
            traits = item.traits
            if traits and (careful or not _SPECIAL_TRAITS.isdisjoint(traits)):
                _check_traits(traits, careful)
            if traits and fields and not fields.checked.keys().isdisjoint(traits):
                traits = fit_traits(traits, fields)
            minor, amount, currency = None, item.amount, item.currency
            if amount is not None or currency is not None:
                minor, currency = money(amount, currency, settings.currency)
            source = item.source or ""
            if careful or len(source) > _MANY:
                check_text("source", source, least=0)
            identities, properties = _identities(item.identities), json or read(item.properties)
            if name in payloads:
                check_payload(properties.encode(), payloads[name])
            event = CheckedEvent(
                index, name, message_id, occurred_at, identities, traits, minor, currency, properties, source
            )
            accepted.append(event)
        except (BadItem, BadProperties) as error:
            bad = error if isinstance(error, BadItem) else BadItem("properties", "properties", error.message)
            rejected.append(bad.rejection(index))
    return accepted, rejected


def check_payload(given: bytes, expected: Any, field: str = "properties") -> None:
    """Check properties, or the payload of a job, against the type that was registered for them.

    Args:
        given: JSON.
        expected: A type that msgspec knows.
        field: What they are called.

    Raises:
        BadItem: With the field as its code; it names the property.
    """
    try:
        wire.decoder("json", expected).decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        found = wire.fault(error, given, expected)
        raise BadItem(field, f"{field}.{found.path}".rstrip("."), found.detail) from None


def _check_name(name: str, types: KnownTypes) -> None:
    check_text("name", name)
    if name in types.reserved:
        raise BadItem("reserved_name", "name", text("{name} is recorded by Zhike itself", name=name))
    if not all(character in "._-:" or unicodedata.category(character)[0] in "LMN" for character in name):
        raise BadItem("name", "name", text("expected letters, digits and . _ - : only, got {name!r}", name=name))
    if len(types.good_names) < _CACHED:
        types.good_names.add(name)


def check_text(field: str, value: str, least: int = 1) -> None:
    """Check that a text can be stored and has `least` to 200 bytes; raises `BadItem`."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadItem(field, field, text("lone surrogates are no text")) from None
    if not least <= size <= MAX_TEXT_BYTES:
        raise BadItem(
            field,
            field,
            text("expected {least} to {limit} bytes, got {size}", least=least, limit=MAX_TEXT_BYTES, size=size),
        )
    if "\0" in value:
        raise BadItem(field, field, text("the character NUL (\\u0000) cannot be stored"))


def instant(occurred_at: datetime, zone: tzinfo, latest: datetime) -> datetime:
    """Return a time in UTC, no later than `latest`; one without offset is in `zone`; raises `BadItem`."""
    try:
        found = (occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        found = None
    if found is None or not EARLIEST <= found <= latest:
        raise BadItem(
            "occurred_at",
            "occurred_at",
            text(
                "{time} is out of range; expected a time from 1970 to {latest} (24 hours ahead)",
                time=occurred_at.isoformat(),
                latest=latest.isoformat(timespec="seconds"),
            ),
        )
    return found


def _identities(given: dict[str, str]) -> list[tuple[str, str]]:
    """Return the identities normalised, the strongest first."""
    try:
        if len(given) == 1:
            namespace = next(iter(given))
            return [(namespace, NORMALISERS[namespace](given[namespace]))]
        names = tuple(given)
        plan = _plans.get(names) or _plan(names)
        return [(namespace, normal(given[namespace])) for namespace, normal in plan]
    except BadIdentity:
        # One is bad, blank or missing; which one is found out only now that it matters.
        pairs = [(namespace, _identity(namespace, value)) for namespace, value in given.items() if value.strip()]
    if not pairs:
        raise BadItem(
            "no_identity", "identities", text("expected at least one, such as {example}", example='{"phone": "…"}')
        )
    return sorted(pairs, key=lambda pair: order(pair[0]))


def _plan(names: tuple[str, ...]) -> list[tuple[str, Callable[[str], str]]]:
    """Return the order in which these namespaces are stored, each with its normaliser."""
    if not names:
        raise BadIdentity(text("expected at least one identity"))
    plan = [(name, NORMALISERS[name]) for name in sorted(names, key=order)]
    if len(_plans) < _CACHED:
        _plans[names] = plan
    return plan


def _identity(namespace: str, value: str) -> str:
    try:
        return NORMALISERS[namespace](value)
    except BadIdentity as error:
        raise BadItem("identity", f"identities.{namespace[:50]}", error.message) from None


def money(amount: Decimal | None, currency: str | None, default: str) -> tuple[int | None, str | None]:
    """Return minor units and currency, which is `default` when None; both None without amount; raises `BadItem`."""
    if amount is None:
        if currency not in EXPONENTS:
            raise BadItem(
                "currency", "currency", text("expected an ISO 4217 code such as CNY, got {value!r}", value=currency)
            )
        return None, None
    currency = currency or default
    try:
        return to_minor(amount, currency), currency
    except BadAmount as error:
        raise BadItem(error.code, error.code, error.message) from None


def _check_traits(traits: dict[str, Any], careful: bool) -> None:
    for name in _SPECIAL_TRAITS.intersection(traits):
        value = traits[name]
        if name in RESERVED_TRAITS:
            raise BadItem("trait", f"traits.{name}", text("no event can set it; expected another name"))
        if name == "kind" and value not in KINDS:
            raise BadItem("trait", "traits.kind", text("expected person or company, got {value!r}", value=value))
        if name in COLUMN_TRAITS and not isinstance(value, str | None):
            raise BadItem("trait", f"traits.{name}", text("expected text, got {value!r}", value=value))
    if not careful:
        return
    if len(traits) > MAX_TRAITS:
        raise BadItem(
            "trait", "traits", text("expected at most {limit} traits, got {size}", limit=MAX_TRAITS, size=len(traits))
        )
    for name, value in traits.items():
        fault = _text_fault(name, MAX_TRAIT_KEY) if name else text("a trait needs a name")
        # A plugin gives back what stands for the value of an encrypted field.
        fault = fault or (None if is_sealed(value) else _trait_fault(value))
        if fault:
            raise BadItem("trait", f"traits.{name[:MAX_TRAIT_KEY]}", fault)


def check_traits(traits: dict[str, Any], fields: CustomerFields) -> dict[str, Any]:
    """Return traits that come without an event as they are stored; raises `BadItem`."""
    _check_traits(traits, careful=True)
    return fit_traits(traits, fields)


def fit_traits(traits: dict[str, Any], fields: CustomerFields) -> dict[str, Any]:
    """Return traits as they are stored: checked by their fields, and sealed if these are encrypted.

    Args:
        traits: Names that may be traits, with any values.
        fields: The installation's.

    Raises:
        BadItem: With the code `trait`, if one does not fit its field.
    """
    fitted = dict(traits)
    for key in fields.checked.keys() & traits.keys():
        try:
            fitted[key] = fields.fitted(key, traits[key])
        except BadValue as error:
            raise BadItem("trait", f"traits.{key}", error.message) from None
    return fitted


def _trait_fault(value: object, inside: bool = False) -> Text | None:
    match value:
        case None | bool():
            return None
        case str():
            return _text_fault(value, MAX_TRAIT_CHARACTERS)
        case int() | float() | Decimal():
            # A double is as wide as the columns and programs that read it; NaN and infinity are not JSON.
            whole = isinstance(value, int)
            good = -(2**63) <= value < 2**63 if whole else math.isfinite(value)
            return None if good else text("the number is out of range")
        case list() if not inside and len(value) <= MAX_TRAIT_ITEMS:
            return next(filter(None, (_trait_fault(element, inside=True) for element in value)), None)
        case list() if not inside:
            return text("expected at most {limit} elements, got {size}", limit=MAX_TRAIT_ITEMS, size=len(value))
    return text("expected text, number, boolean, null or a list of these, got {kind}", kind=type(value).__name__)


def _text_fault(value: str, limit: int) -> Text | None:
    if len(value) > limit:
        return text("expected at most {limit} characters, got {size}", limit=limit, size=len(value))
    if "\0" in value:
        return text("the character NUL (\\u0000) cannot be stored")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return text("lone surrogates are no text")
    return None
