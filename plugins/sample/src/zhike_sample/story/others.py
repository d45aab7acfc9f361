"""Visitors whom nobody knows, and customers who are there twice."""

from __future__ import annotations

from random import Random

from zhike_sample.story.days import Days
from zhike_sample.story.diary import Diary
from zhike_sample.story.order import basket, look
from zhike_sample.story.shopper import Shopper
from zhike_sample.words.places import MARKETPLACES, MINI, SITE

_DAY = 86_400
_TWINS = 5_000_000
"""Numbers of those who are there twice begin here."""
_SHARE = 0.052


def visitor(number: int, days: Days, seed: str) -> Diary:
    """Return what somebody did who looked around and never said who they are."""
    chance = Random(f"{seed}/v{number}")  # noqa: S311  # sample data, not a secret
    source = SITE if chance.random() < 0.7 else MINI
    known = {"anonymous_id" if source == SITE else "device_id": f"sample-v{chance.getrandbits(36):09x}{number}"}
    diary = Diary(f"v{number}", known, days.now)
    day = days.pick(chance)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = days.at(chance, day)
        for place in range(chance.randint(1, 5)):
            [(product, quantity), *_] = basket(chance, days.days[day].month, [])
            look(diary, at + place * chance.randint(20, 90), product, source)
            if chance.random() < 0.08:
                facts = {"sku": product.sku, "product": product.name, "line": product.line, "quantity": quantity}
                diary.add(at + 600, "cart.added", source, facts)
        day = min(days.today, day + chance.randint(1, 9))
    return diary


def twin(shopper: Shopper, days: Days, seed: str) -> Diary | None:
    """Return what a member did under another name in the files, if they are there twice, as one in twenty is.

    Three kinds: somebody who also has an account at a marketplace, which comes out when the service asks; two who
    share a device; and somebody who joined again after a phone number was written down wrongly.
    """
    person, chance = shopper.person, Random(f"{seed}/t{shopper.person.number}")  # noqa: S311  # sample data
    if not person.member or chance.random() > _SHARE:
        return None
    kind = chance.choice(("marketplace", "device", "phone"))
    channel = chance.choice(list(MARKETPLACES)) if kind == "marketplace" else chance.choice((MINI, SITE))
    other = Shopper(_TWINS + person.number, days, seed, like=person, channel=channel)
    if kind == "phone":
        other.known["phone"] = _mistyped(person.phone, chance)
        other.known.pop("wecom_unionid", None)
    lived = other.live()
    after = min(days.now - 3_600, max(entry.at for diary in (lived, shopper.diary) for entry in diary.entries) + _DAY)
    if kind == "marketplace":
        both = {**shopper.diary.identities, **lived.identities}
        lived.add(after, "service.contacted", "客服中心", {"topic": "会员权益", "by": "在线客服"}, identities=both)
    elif kind == "device":
        device = {"device_id": f"sample-d{chance.getrandbits(40):010x}"}
        for place, diary in enumerate((shopper.diary, lived)):
            diary.add(after + place, "app.login", MINI, {"client": "小程序"}, identities={**diary.identities, **device})
    return lived


def _mistyped(phone: str, chance: Random) -> str:
    """Return a phone number with two neighbouring digits the wrong way round, or one digit wrong."""
    digits = list(phone)
    place = chance.randrange(5, 10)
    if digits[place] != digits[place + 1]:
        digits[place], digits[place + 1] = digits[place + 1], digits[place]
    else:
        digits[place] = str((int(digits[place]) + 1) % 10)
    return "".join(digits)
