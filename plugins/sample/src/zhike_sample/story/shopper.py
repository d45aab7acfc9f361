"""The life of a consumer: they look around, join, buy, come back or stay away."""

from __future__ import annotations

import itertools
from random import Random

from zhike_sample.story.chances import Table
from zhike_sample.story.days import Days
from zhike_sample.story.diary import Diary
from zhike_sample.story.order import Order, basket, look
from zhike_sample.story.person import Person, channel_of
from zhike_sample.words.goods import CAMPAIGNS, TOPICS
from zhike_sample.words.places import CITIES, DOUYIN, MARKETPLACES, MINI, SHOP, SITE

_DAY, _HOUR = 86_400, 3_600
_TOPIC = Table(TOPICS.items())
_ASKED_BY = Table([("在线客服", 62), ("电话", 24), ("企业微信", 14)])
_SHOPS = {shop: city for city in CITIES for shop in city.shops}
# From so many fen on, in all.
LEVELS = ((500_000, "black"), (200_000, "gold"), (80_000, "silver"))
_TAKEN_OVER = 24
"""Days at the beginning in which customers come over from the system before."""
ASLEEP, GONE = 100, 240
"""Days after the last order upon which a customer counts as dormant and as lost."""


class Shopper:
    """A consumer and what they did.

    Args:
        number: Counted from 1.
        days: The days of the story.
        seed: The same seed gives the same story.
        like: Another consumer who is the same person.
        channel: How they came, if that is to be said.
    """

    def __init__(
        self, number: int, days: Days, seed: str, like: Person | None = None, channel: str | None = None
    ) -> None:
        self.days = days
        self.chance = chance = Random(f"{seed}/{number}")  # noqa: S311  # sample data, not a secret
        # The company was there before: many come over from the old system in the first weeks.
        self.joined = days.pick(chance, 0, _TAKEN_OVER if chance.random() < 0.32 else days.today)
        channel = channel or channel_of(chance, self.joined / days.today)
        self.person = Person(number, channel, chance, days.days[-1].year)
        if like is not None:
            self.person.become(like)
        stays = chance.random() < 0.62
        self.last = days.today if stays else min(days.today, self.joined + int(chance.expovariate(1 / 130)) + 5)
        # What somebody would buy in the whole time, and what becomes of that in the time they are there.
        share = (self.last - self.joined + 20) / days.today
        self.keenness = min(18.0, 1.25 * chance.paretovariate(0.85)) * share**0.8
        self.diary = Diary(str(number), self._usual(chance), days.now)
        self.level, self.spent = "normal", 0

    def live(self) -> Diary:
        """Return all they did."""
        start = self._join()
        paid = self._buy(start)
        self._visit(start)
        self._age(paid)
        self._contact(paid)
        return self.diary

    def _usual(self, chance: Random) -> dict[str, str]:
        self.known = self.person.identities(chance)
        first = next(iter(self.known.items()))
        return dict([first])

    def _join(self) -> int:
        """Tell how they came; return when."""
        chance, person, days = self.chance, self.person, self.days
        at = days.at(chance, self.joined, "shop" if person.channel == SHOP else "")
        identities = dict(self.known)
        if person.channel in {MINI, SITE} and chance.random() < 0.35:
            namespace = "anonymous_id" if person.channel == SITE else "device_id"
            device = {namespace: f"sample-{chance.getrandbits(40):010x}"}
            for _ in range(chance.randint(2, 6)):
                before = at - chance.randint(600, 12 * _DAY)
                self._look(max(before, days.at(chance, 0)), identities=device)
            identities |= device
        how = {"invited_by": "好友推荐"} if chance.random() < 0.12 else {}
        name = "store.followed" if person.channel in MARKETPLACES else "member.joined"
        self.diary.add(at, name, person.channel, how, traits=person.traits(), identities=identities)
        if person.member:
            self.diary.add(at + 60, "coupon.received", person.channel, {"coupon": "新人券"})
        return at

    def _buy(self, start: int) -> list[int]:
        """Tell of their orders; return when they were paid, in order."""
        chance, person, days = self.chance, self.person, self.days
        first = days.day_of(start) + 1
        if chance.random() < 0.1 or first > self.last:
            return []
        count = max(1, int(self.keenness + chance.random()))
        paid = []
        for place, day in enumerate(sorted(days.pick(chance, first, self.last) for _ in range(count))):
            channel = person.channel
            if person.member and chance.random() < 0.22:
                channel = SHOP if person.city.shops and chance.random() < 0.5 else MINI
            order = Order(self.diary, days, chance, f"QH{days.days[day]:%y%m%d}{person.number:06d}{place:02d}", channel)
            if channel == SHOP:
                shops = person.city.shops or tuple(_SHOPS)
                at = order.at_till(day, chance.choice(shops), person.likes, person.phone)
            else:
                at = order.online(day, person.likes)
            if at is not None:
                paid.append(at)
                self._rise(at, order.fen)
        return paid

    def _rise(self, at: int, fen: int) -> None:
        """Tell what an order makes of the member."""
        self.spent += fen
        level = next((name for least, name in LEVELS if self.spent >= least), "normal")
        if self.person.member and level != self.level:
            facts = {"from": self.level, "to": level}
            traits = {"member_level": level, "points": self.spent // 100}
            self.diary.add(at + _HOUR, "member.level_changed", self.person.channel, facts, traits=traits)
            self.level = level

    def _visit(self, start: int) -> None:
        """Tell of visits without an order, and of what they were sent."""
        chance, days, person = self.chance, self.days, self.person
        first = min(days.day_of(start) + 1, self.last)
        for _ in range(int(2 * min(self.keenness, 7) + chance.random() * 3 * (1 + self.keenness))):
            day = days.pick(chance, first, self.last)
            at = days.at(chance, day)
            if person.member and chance.random() < 0.5:
                self.diary.add(
                    at, "app.login", person.channel, {"client": "小程序" if chance.random() < 0.8 else "官网"}
                )
            for _ in range(chance.choice((1, 1, 2, 3))):
                self._look(at + chance.randint(5, 1500))
            if person.channel in {MINI, SITE} and chance.random() < 0.02:
                self._change_device(at)
            if chance.random() < 0.12:
                [(product, quantity), *_] = basket(chance, days.days[day].month, person.likes)
                facts = {"sku": product.sku, "product": product.name, "line": product.line, "quantity": quantity}
                self.diary.add(at + 1600, "cart.added", person.channel, facts)
            campaign = CAMPAIGNS.get(days.days[day].month)
            if campaign and chance.random() < 0.14:
                medium = "短信" if chance.random() < 0.4 else "直播间" if person.channel == DOUYIN else "公众号推文"
                self.diary.add(at - 30, "campaign.clicked", person.channel, {"campaign": campaign, "medium": medium})
            elif person.member and chance.random() < 0.05:
                self.diary.add(at, "coupon.received", person.channel, {"coupon": "满 199 减 30"})

    def _change_device(self, at: int) -> None:
        """Tell of a look around on a new device, upon which they log in there: the visitor turns out to be them."""
        device = {"device_id": f"sample-n{self.chance.getrandbits(40):010x}"}
        self._look(at - self.chance.randint(600, 5 * _DAY), identities=device)
        facts = {"client": "小程序"}
        self.diary.add(at - 60, "app.login", self.person.channel, facts, identities={**self.diary.identities, **device})

    def _look(self, at: int, identities: dict[str, str] | None = None) -> None:
        month = self.days.days[self.days.day_of(at)].month
        [(product, _), *_] = basket(self.chance, month, self.person.likes)
        if identities is None:
            look(self.diary, at, product, self.person.channel)
        else:
            facts = {"page": "商品详情", "sku": product.sku, "product": product.name, "line": product.line}
            self.diary.add(at, "page.viewed", self.person.channel, facts, identities=identities)

    def _age(self, paid: list[int]) -> None:
        """Note which stages they went through."""
        known = "prospect"
        for orders, (at, after) in enumerate(itertools.pairwise([*sorted(paid), self.days.now + _DAY]), 1):
            stages = [(at + 2 * _HOUR, "new" if orders == 1 else "loyal" if orders >= 5 else "active")]
            stages += [(at + days * _DAY, stage) for days, stage in ((ASLEEP, "dormant"), (GONE, "lost"))]
            for since, stage in stages:
                if stage != known and since < after:
                    self.diary.note(since, stage=stage)
                    known = stage

    def _contact(self, paid: list[int]) -> None:
        """Tell of questions and complaints."""
        for at in paid:
            if self.chance.random() < 0.1:
                asked = at + self.chance.randint(1, 200) * _HOUR
                facts = {"topic": _TOPIC.draw(self.chance), "by": _ASKED_BY.draw(self.chance)}
                facts["result"] = "已解决" if self.chance.random() < 0.9 else "跟进中"
                self.diary.add(asked, "service.contacted", "客服中心", facts)
