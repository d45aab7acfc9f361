"""What the explorer's address asks for, as the log is asked for it."""

from __future__ import annotations

from datetime import MAXYEAR, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from zhike.api import Id
from zhike.errors import BadRequest
from zhike.events.explorer import LogWanted
from zhike.events.filtering import EventsWanted
from zhike.i18n import text

_Words = Annotated[str, Meta(max_length=200)]


class Narrowing(msgspec.Struct, frozen=True, kw_only=True):
    """What narrows a list of events, in its address.

    Args:
        q: Words in an event.
        names: Its type.
        kind: What customers did, or what we did.
        source: Where it comes from.
        when_from: The first day.
        when_to: The last day.
    """

    q: _Words = ""
    names: Annotated[str, Meta(max_length=5_000)] = ""
    kind: Literal["behaviour", "platform", ""] = ""
    source: _Words = ""
    when_from: date | None = None
    when_to: date | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that are set, for links."""
        given = msgspec.structs.asdict(self).items()
        return {name: str(value) for name, value in given if value and name != "cursor"}

    def asked(self, zone: ZoneInfo) -> dict[str, Any]:
        """Return what `EventsWanted` takes; days are those of a zone."""
        return {
            "names": self.names or None,
            "kind": self.kind or None,
            "source": self.source or None,
            "q": self.q.strip() or None,
            "since": None if self.when_from is None else _begin(self.when_from, zone),
            "until": None if self.when_to is None else _begin(_next(self.when_to), zone),
        }


class ExplorerQuery(Narrowing, frozen=True, kw_only=True):
    """The explorer's address.

    Args:
        customer_id: Only events of this customer.
        identity: Only of who has this identity; a phone number where no kind is named.
        live: Whether new events are shown as they come in.
        cursor: Where the page begins.
    """

    customer_id: Id | None = None
    identity: Annotated[str, Meta(max_length=250)] = ""
    live: Literal["1", ""] = ""
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    def wanted(self, zone: ZoneInfo, limit: int) -> LogWanted:
        """Return what the log is asked for.

        Raises:
            BadRequest: If the identity is none.
        """
        identity = self.identity.strip()
        if identity and ":" not in identity:
            identity = f"phone:{identity}"
        given = self.asked(zone) | {"customer_id": self.customer_id, "identity": identity or None, "limit": limit}
        try:
            return msgspec.convert(given | {"cursor": self.cursor}, LogWanted)
        except msgspec.ValidationError:
            raise BadRequest(
                text("An identity is a kind and a value, such as phone:13800138000 or external_id:C-1001")
            ) from None


def plain(query: Narrowing, zone: ZoneInfo) -> EventsWanted:
    """Return what a list of events is asked for."""
    return msgspec.convert(query.asked(zone), EventsWanted)


def _begin(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _next(day: date) -> date:
    return day + timedelta(days=1) if day.year < MAXYEAR else day
