"""Who a customer is: name, home, how they came and what they are known by."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

from zhike_sample.story.chances import Table
from zhike_sample.words.goods import LINES
from zhike_sample.words.people import DOUBLE, SINGLE, SURNAMES
from zhike_sample.words.places import CHANNELS, CITIES, MARKETPLACES, MINI, SITE, City

CITY = Table((city, city.weight) for city in CITIES)
_SHOPPED = Table((city, city.weight) for city in CITIES if city.shops)


def phone_of(number: int) -> str:
    """Return a phone number that nobody has: no operator's begin with 154. 7919 spreads them without repetition."""
    return f"1540{number * 7_919 % 10_000_000:07d}"


def name_of(chance: Random, gender: str) -> str:
    """Return the name of a person."""
    surname = chance.choice(SURNAMES)
    if chance.random() < 0.16:
        return surname + chance.choice(SINGLE[gender])
    first, second = DOUBLE[gender]
    return surname + chance.choice(first) + chance.choice(second)


def channel_of(chance: Random, progress: float) -> str:
    """Return by which way a customer comes who joins when so much of the story is over, from 0 to 1."""
    weights = [before + (after - before) * progress for before, after in CHANNELS.values()]
    return chance.choices(list(CHANNELS), weights)[0]


class Person:
    """A consumer.

    Args:
        number: Counted from 1; no two have the same.
        channel: How they came.
        chance: Where chance comes from.
        year: The year at the end of the story.
    """

    def __init__(self, number: int, channel: str, chance: Random, year: int) -> None:
        self.number, self.channel = number, channel
        self.gender = "女" if chance.random() < 0.63 else "男"
        self.name = name_of(chance, self.gender)
        self.city: City = (_SHOPPED if channel == "门店" else CITY).draw(chance)
        self.age = min(72, max(19, int(chance.gauss(35, 9))))
        self.birthday = date(year - self.age, 1, 1) + timedelta(days=chance.randrange(365))
        self.likes = sorted(set(chance.choices(LINES, k=2)), key=LINES.index)
        self.phone = phone_of(number)
        self.member = channel not in MARKETPLACES
        self.tells_birthday = chance.random() < 0.7

    def become(self, other: Person) -> None:
        """Be the same person as another one, who came by another way."""
        self.gender, self.name, self.city = other.gender, other.name, other.city
        self.birthday, self.tells_birthday, self.likes = other.birthday, other.tells_birthday, other.likes

    def identities(self, chance: Random) -> dict[str, str]:
        """Return what they are known by from the day they join: first of all what most of their events carry."""
        if not self.member:
            known = {MARKETPLACES[self.channel]: f"{chance.getrandbits(36):09x}{self.number}"}
            return known | ({"phone": self.phone} if chance.random() < 0.8 else {})
        known = {"external_id": f"QH{self.number:07d}", "phone": self.phone}
        if self.channel == MINI and chance.random() < 0.6:
            known["wecom_unionid"] = f"o{chance.getrandbits(80):020x}"
        if self.channel == SITE or chance.random() < 0.25:
            known["email"] = f"qh{self.number:07d}@example.com"
        return known

    def traits(self) -> dict[str, Any]:
        """Return what is said of them when they join."""
        traits: dict[str, Any] = {
            "name": self.name,
            "city": self.city.name,
            "province": self.city.province,
            "stage": "prospect",
            "first_channel": self.channel,
        }
        if self.member:
            traits |= {"gender": {"女": "female", "男": "male"}[self.gender], "member_level": "normal", "points": 100}
            traits["preferences"] = self.likes
            if self.tells_birthday:
                traits["birthday"] = self.birthday.isoformat()
        return traits
