"""Makes the sample company's events: 18 months of customers who join, look, buy, come back or stay away."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from zhike._host.demo import words

DAYS = 548
CUSTOMERS = 2_000
COMPANY_SHARE = 0.05

Item = dict[str, Any]


def events(anchor: date, zone: ZoneInfo, *, customers: int = CUSTOMERS, seed: int = 2024) -> list[Item]:
    """Make the events of a company, about 15 for each customer, as `POST /events` takes them.

    Args:
        anchor: The day after the last one with events.
        zone: The company's time zone.
        customers: How many customers there are.
        seed: The same arguments always give the same events.

    Returns:
        The events in the order they happened.
    """
    chance = Random(seed)  # noqa: S311  # sample data, not a secret
    calendar = _Calendar(anchor, zone, chance)
    made = itertools.chain.from_iterable(
        _Customer(number, calendar, chance).events() for number in range(1, customers + 1)
    )
    return sorted(made, key=lambda item: (item["occurred_at"], item["message_id"]))


class _Calendar:
    """The days of the company, some busier than others.

    Args:
        anchor: The day after the last.
        zone: The company's time zone.
        chance: Where randomness comes from.
    """

    def __init__(self, anchor: date, zone: ZoneInfo, chance: Random) -> None:
        self._zone = zone
        self._chance = chance
        self.days = [anchor - timedelta(days=DAYS - place) for place in range(DAYS)]
        self._weights = [_busy(day) for day in self.days]

    def pick(self, first: int, count: int, last: int = DAYS) -> list[int]:
        """Return `count` days from `first` to before `last` in order, busy ones more often."""
        return sorted(self._chance.choices(range(first, last), self._weights[first:last], k=count))

    def moment(self, day: int) -> datetime:
        """Return an instant of a day, most often in the evening."""
        hour = self._chance.choices(range(24), (1,) * 7 + (3, 5, 7, 8, 8, 9, 8, 7, 7, 7, 8, 9, 11, 14, 14, 9, 4))[0]
        clock = time(hour, self._chance.randrange(60), self._chance.randrange(60))
        return datetime.combine(self.days[day], clock, self._zone)


def _busy(day: date) -> float:
    weight = 1.3 if day.weekday() >= 5 else 1.0
    if day.month == 11 and day.day <= 11:
        return weight * (9 if day.day == 11 else 3)
    if day.month == 6 and day.day <= 18:
        return weight * (5 if day.day == 18 else 2)
    return weight * (1.5 if day.month in {1, 9} else 1.0)


class _Customer:
    """One customer's life with the company.

    Args:
        number: Counted from 1.
        calendar: The company's days.
        chance: Where randomness comes from.
    """

    def __init__(self, number: int, calendar: _Calendar, chance: Random) -> None:
        self._number, self._calendar, self._chance = number, calendar, chance
        self._serial = itertools.count(1)
        self._is_company = chance.random() < COMPANY_SHARE
        # No operator has numbers that begin with 154; 7919 spreads them without repetition.
        self._phone = f"1540{number * 7_919 % 10_000_000:07d}"
        self._identities = {"external_id": f"QH{number:06d}"}
        self._has_phone = chance.random() < 0.9
        self._has_email = chance.random() < 0.35
        # Most buy once or twice, some a dozen times; the time they stay ends for some.
        self._keenness = min(12, int(chance.paretovariate(1.15)))
        joined = calendar.pick(0, 1, DAYS - 7)[0]
        self._days = (joined, max(joined + 7, DAYS if chance.random() < 0.55 else chance.randint(joined, DAYS)))

    def events(self) -> Iterator[Item]:
        """Yield everything the customer did."""
        chance, calendar = self._chance, self._calendar
        first, last = self._days
        yield from self._before_joining(first)
        yield self._joined(first)
        for day in calendar.pick(first, 3 + 3 * self._keenness, last):
            yield self._event("app.login" if chance.random() < 0.55 else "page.viewed", day, **self._visit())
        if chance.random() < 0.85:
            for day in calendar.pick(first, self._keenness + chance.randrange(2), last):
                yield from self._order(day)
        if chance.random() < 0.2:
            day = calendar.pick(first, 1, last)[0]
            yield self._event("service.contacted", day, properties={"topic": chance.choice(words.TOPICS)})

    def _before_joining(self, first: int) -> Iterator[Item]:
        """Some look around before anybody knows them; joining tells who the visitor was."""
        if first == 0 or self._chance.random() > 0.15:
            return
        device = {"device_id": f"demo-device-{self._number}"}
        for day in self._calendar.pick(max(0, first - 14), 2, first):
            yield self._event("page.viewed", day, identities=device, **self._visit())
        self._identities |= device

    def _joined(self, first: int) -> Item:
        identities = dict(self._identities)
        # The device belongs to the account from now on, but says nothing more about it.
        self._identities.pop("device_id", None)
        if self._has_phone:
            identities["phone"] = self._phone
        if self._has_email:
            identities["email"] = f"{identities['external_id'].lower()}@example.com"
        channel = self._one_of(words.CHANNELS)
        return self._event("member.joined", first, identities=identities, traits=self._traits(), source=channel)

    def _traits(self) -> Item:
        chance = self._chance
        gender = "女" if chance.random() < 0.62 else "男"
        traits: Item = {
            "name": chance.choice(words.SURNAMES) + chance.choice(words.GIVEN[gender].split()),
            "city": self._one_of(words.CITIES),
        }
        if self._is_company:
            stem, kind = chance.choice(words.COMPANY_STEMS.split()), chance.choice(words.COMPANY_KINDS)
            return {**traits, "company": f"{traits['city']}{stem}{kind}（示例）"}
        birthday = date(1965, 1, 1) + timedelta(days=chance.randrange(40 * 365))
        return {**traits, "gender": gender, "birthday": birthday.isoformat()}

    def _visit(self) -> Item:
        product, line, _ = self._chance.choice(words.PRODUCTS)
        return {"source": self._one_of(words.CHANNELS), "properties": {"product": product, "line": line}}

    def _order(self, day: int) -> Iterator[Item]:
        chance = self._chance
        product, line, price = chance.choice(words.PRODUCTS)
        quantity = chance.randint(10, 80) if self._is_company else chance.choice((1, 1, 1, 2, 2, 3))
        fen = price * quantity * chance.choice((100, 100, 95, 90, 85)) // 100
        source = self._one_of(words.CHANNELS)
        order = {"product": product, "line": line, "quantity": quantity}
        # The till of a shop knows only the phone.
        known = {"phone": self._phone} if source == "门店" and self._has_phone else None
        paid = self._event("order.paid", day, identities=known, source=source, properties=order, amount=_yuan(fen))
        yield paid
        after = min(day + chance.randint(2, 12), DAYS - 1)
        if after > day and chance.random() < 0.25:
            yield self._event("review.posted", after, properties={"product": product, "stars": chance.randint(2, 5)})
        elif after > day and chance.random() < 0.06:
            yield self._event("order.refunded", after, properties=order, amount=_yuan(fen))

    def _event(self, name: str, day: int, *, identities: Item | None = None, **more: Any) -> Item:
        moment = self._calendar.moment(day)
        if name != "member.joined" and day == self._days[0]:
            # Nothing of a customer comes before the event that introduces them.
            moment = moment.replace(hour=23)
        elif name == "member.joined":
            moment = moment.replace(hour=min(moment.hour, 22))
        return {
            "name": name,
            "message_id": f"demo:{self._number}:{next(self._serial)}",
            "occurred_at": moment.isoformat(),
            "identities": identities or dict(self._identities),
            **more,
        }

    def _one_of(self, weighted: dict[str, int]) -> str:
        return self._chance.choices(list(weighted), list(weighted.values()))[0]


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
