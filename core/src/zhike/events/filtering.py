"""Which events of a timeline or of the log somebody wants to see: by type, kind, source, time and words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from zhike.access.actor import Actor
from zhike.access.masking import rules_of
from zhike.api import PageQuery, check_instant
from zhike.events.schemas import PLATFORM_EVENTS
from zhike.events.telling import names_called
from zhike.registry import Registry

MOST_NAMES = 50
"""Types that a query names at most."""
_Text = Annotated[str, Meta(min_length=1, max_length=200)] | None
_Instant = Annotated[datetime, Meta(tz=True)] | None


class EventsWanted(PageQuery, frozen=True, kw_only=True):
    """The query parameters of a list of events.

    Args:
        names: Names of event types, parted by commas.
        kind: Only `behaviour` or only `platform` events.
        source: Where they come from.
        since: Not before this instant.
        until: Before this instant.
        q: Words in the label or the name of the type, the source or the properties.
    """

    names: Annotated[str, Meta(min_length=1, max_length=5_000)] | None = None
    kind: Literal["behaviour", "platform"] | None = None
    source: _Text = None
    since: _Instant = None
    until: _Instant = None
    q: _Text = None

    @property
    def listed(self) -> list[str]:
        """The names by themselves."""
        return [name for each in (self.names or "").split(",")[:MOST_NAMES] if (name := each.strip())]


def narrowed(wanted: EventsWanted, actor: Actor, registry: Registry | None, locale: str, values: list[Any]) -> str:
    """Return the SQL predicate over `event AS e` that holds for the events that are wanted; "" for all.

    Whoever does not see all fields of customers whole finds nothing by the properties that quote them.

    Args:
        wanted: What is wanted.
        actor: Who reads.
        registry: Knows the types' labels.
        locale: The reader's language, in which types are called.
        values: What the statement binds after its first place; more is added to it.

    Raises:
        BadRequest: If an instant is out of range.
    """
    parts: list[str] = []

    def add(sql: str, *bound: Any) -> None:
        values.extend(bound)
        places = [f"${len(values) + 2 - len(bound) + number}" for number in range(len(bound))]
        parts.append("AND " + sql.format(*places))

    if names := wanted.listed:
        add("e.name = ANY ({}::text[])", names)
    if wanted.kind is not None:
        add("e.behaviour = {}", wanted.kind == "behaviour")
    if wanted.source is not None:
        add("e.source = {}", wanted.source)
    parts.append(within(wanted, values))
    if wanted.q is not None:
        quoting = sorted(PLATFORM_EVENTS) if rules_of(actor) else []
        called = [] if registry is None else names_called(registry, wanted.q, locale)
        add(
            "(e.name ILIKE {0} OR e.source ILIKE {0} OR e.name = ANY ({1}::text[])"
            " OR (e.behaviour OR e.name <> ALL ({2}::text[])) AND e.properties::text ILIKE {0})",
            f"%{_escaped(wanted.q)}%",
            called,
            quoting,
        )
    return " ".join(parts)


def within(wanted: EventsWanted, values: list[Any]) -> str:
    """Return the SQL predicate that holds for events of the time that is wanted; as `narrowed`."""
    sql = ""
    for name, instant, operator in (("since", wanted.since, ">="), ("until", wanted.until, "<")):
        if instant is not None:
            check_instant(name, instant)
            values.append(instant)
            sql += f" AND e.occurred_at {operator} ${len(values) + 1}"
    return sql


def _escaped(words: str) -> str:
    return words.strip().replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
