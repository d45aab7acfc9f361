"""What tasks are called for people: their statuses and priorities, how they come again, and who did something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from zhike.access.roles import CUSTOMERS_READ
from zhike.contracts import Recurrence, Task
from zhike.customers.service import Customer, many
from zhike.i18n import Text, text
from zhike.ui import PageCall


class Badge(msgspec.Struct, frozen=True):
    """A word in a coloured box.

    Args:
        label: The word.
        color: Name of one of the kit's colours.
    """

    label: Text
    color: str


STATUSES: Mapping[str, Badge] = {
    "open": Badge(text("To do"), "blue"),
    "in_progress": Badge(text("In progress"), "purple"),
    "done": Badge(text("Done"), "green"),
    "cancelled": Badge(text("Cancelled"), "gray"),
}
PRIORITIES: Mapping[str, Badge] = {
    "urgent": Badge(text("Urgent"), "red"),
    "high": Badge(text("High"), "orange"),
    "normal": Badge(text("Normal"), "gray"),
    "low": Badge(text("Low"), "gray"),
}
WEEKDAYS = (
    *(text("Monday"), text("Tuesday"), text("Wednesday"), text("Thursday")),
    *(text("Friday"), text("Saturday"), text("Sunday")),
)
_EVERY: Mapping[str, tuple[Text, Text]] = {
    "day": (text("Every day"), text("Every {n} days")),
    "working_day": (text("Every working day"), text("Every {n} working days")),
    "week": (text("Every week"), text("Every {n} weeks")),
    "month": (text("Every month"), text("Every {n} months")),
    "quarter": (text("Every quarter"), text("Every {n} quarters")),
    "year": (text("Every year"), text("Every {n} years")),
}
NTH: Mapping[int, Text] = {
    1: text("The first"),
    2: text("The second"),
    3: text("The third"),
    4: text("The fourth"),
    -1: text("The last"),
}
_CLOSED: Mapping[str, Text] = {
    "next": text("moved to the next working day"),
    "previous": text("moved to the working day before"),
}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A task as lists and cards show it.

    Args:
        task: The task.
        customer: What its customer is called, or None for none, or none that the reader sees.
        status: Its status.
        priority: Its priority.
    """

    task: Task
    customer: Text | str | None
    status: Badge
    priority: Badge

    @property
    def id(self) -> int:
        """Id of the task."""
        return self.task.id

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/tasks/{self.task.id}"


async def shown(call: PageCall, tasks: Sequence[Task]) -> list[Shown]:
    """Return tasks with the names of their customers, as far as the reader sees these."""
    ids = {each.customer_id for each in tasks if each.customer_id is not None}
    customers = await many(call.db, call.actor, ids) if call.may(CUSTOMERS_READ) else {}
    return [
        Shown(
            task=each,
            customer=called(customers.get(each.customer_id or 0)),
            status=STATUSES[each.status],
            priority=PRIORITIES[each.priority],
        )
        for each in tasks
    ]


def called(customer: Customer | None) -> Text | str | None:
    """Return what a customer is called; None for none."""
    return None if customer is None else customer.name or text("Customer {id}", id=customer.id)


def repeats(rule: Recurrence, locale: str) -> str:
    """Return how a task comes again, in a line."""
    once, often = _EVERY[rule.every]
    parts = [once if rule.interval == 1 else Text(often.msgid, {"n": rule.interval})]
    days = joined((WEEKDAYS[number - 1] for number in rule.weekdays), locale)
    if rule.nth is not None:
        parts.append(text("{nth} {weekday}", nth=NTH[rule.nth].render(locale), weekday=days))
    elif days:
        parts.append(text("on {days}", days=days))
    if rule.closed in _CLOSED:
        parts.append(_CLOSED[rule.closed])
    if rule.until is not None:
        parts.append(text("until {date}", date=rule.until.isoformat()))
    return joined(parts, locale)


def joined(words: Iterable[Text], locale: str) -> str:
    """Return some words as a list in a language."""
    return text("{what}", what=list(words)).render(locale)


def who(call: PageCall, origin: str) -> Text | str:
    """Return who did something, by the origin that is stored of it."""
    kind, _, name = origin.partition(":")
    if kind == "user" and name.isdigit():
        return call.host.ui.people.users.get(int(name)) or text("User {id}", id=name)
    if kind == "plugin":
        return text("The plugin {name}", name=name)
    return text("A program") if kind == "token" else text("Zhike")


def local(at: datetime | None, zone: ZoneInfo) -> str:
    """Return an instant as a field for date and time holds it; "" for none."""
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%dT%H:%M}"
