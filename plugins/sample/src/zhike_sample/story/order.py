"""An order from the first look to the review, and what may go wrong with it."""

from __future__ import annotations

from random import Random
from typing import Any

from zhike_sample.story.chances import Table
from zhike_sample.story.days import Days
from zhike_sample.story.diary import Diary
from zhike_sample.words.goods import COUPONS, PRAISE, PRODUCTS, REASONS, Product
from zhike_sample.words.places import CARRIERS, SHOP

_DAY, _HOUR = 86_400, 3_600
_BASKET = {
    month: Table((product, product.weight * (2 if month in product.peak else 1)) for product in PRODUCTS)
    for month in range(1, 13)
}
_QUANTITY = Table([(1, 74), (2, 19), (3, 7)])
_SIZE = Table([(1, 52), (2, 28), (3, 14), (4, 6)])
_STARS = Table([(5, 62), (4, 22), (3, 8), (2, 4), (1, 4)])


def basket(chance: Random, month: int, likes: list[str]) -> list[tuple[Product, int]]:
    """Return what somebody buys, rather of the lines they like."""
    found: dict[Product, int] = {}
    for _ in range(_SIZE.draw(chance)):
        product = _BASKET[month].draw(chance)
        if product.line not in likes and chance.random() < 0.4:
            product = _BASKET[month].draw(chance)
        found.setdefault(product, _QUANTITY.draw(chance))
    return list(found.items())


def look(diary: Diary, at: int, product: Product, source: str) -> None:
    """Note that somebody has looked at a product."""
    diary.add(at, "page.viewed", source, {"page": "商品详情", "sku": product.sku, **_of(product)})


class Order:
    """An order of a consumer.

    Args:
        diary: The consumer's.
        days: The days of the story.
        chance: Where chance comes from.
        number: Tells it from all other orders.
        channel: By which way.
    """

    def __init__(self, diary: Diary, days: Days, chance: Random, number: str, channel: str) -> None:
        self.diary, self.days, self.chance, self.number, self.channel = diary, days, chance, number, channel
        self.fen = 0

    def online(self, day: int, likes: list[str]) -> int | None:
        """Tell of an order on the net; return when it was paid, or None if it never was."""
        chance, diary, channel = self.chance, self.diary, self.channel
        bought = basket(chance, self.days.days[day].month, likes)
        at = self.days.at(chance, day)
        for product, _ in bought:
            for place in range(chance.choice((1, 1, 2, 3))):
                look(diary, at - chance.randint(60, 6 * _HOUR if place else 900), product, channel)
            diary.add(at - chance.randint(20, 60), "cart.added", channel, {"sku": product.sku, **_of(product)})
        order = self._facts(bought, coupon=chance.random() < (0.6 if self.days.rush[day] else 0.22))
        if not diary.add(at, "order.created", channel, order, amount=self.fen):
            return None
        if chance.random() < 0.09:
            diary.add(at + 1800, "order.cancelled", channel, {"order_no": self.number, "reason": "超时未支付"})
            return None
        paid = at + chance.randint(15, 600)
        diary.add(paid, "order.paid", channel, order, amount=self.fen)
        if "coupon" in order:
            used = {"coupon": order["coupon"], "order_no": self.number}
            diary.add(paid, "coupon.used", channel, used)
        self._deliver(paid, bought)
        return paid

    def at_till(self, day: int, shop: str, likes: list[str], phone: str) -> int | None:
        """Tell of an order in a shop, whose till knows the phone only; return when it was paid."""
        bought = basket(self.chance, self.days.days[day].month, likes)
        at = self.days.at(self.chance, day, "shop")
        order = self._facts(bought, coupon=False) | {"shop": shop}
        if not self.diary.add(at, "order.paid", SHOP, order, amount=self.fen, identities={"phone": phone}):
            return None
        if self.chance.random() < 0.03:
            self._refund(at + self.chance.randint(1, 7) * _DAY)
        return at

    def _facts(self, bought: list[tuple[Product, int]], *, coupon: bool) -> dict[str, Any]:
        total = sum(product.price * quantity for product, quantity in bought)
        facts: dict[str, Any] = {
            "order_no": self.number,
            "items": [{"sku": each.sku, **_of(each), "price": each.price, "quantity": n} for each, n in bought],
        }
        if coupon:
            facts["coupon"] = self.chance.choice(list(COUPONS))
            facts["discount"] = min(COUPONS[facts["coupon"]], total // 3)
        share = self.chance.choice((100, 100, 100, 95, 90, 88))
        self.fen = (total - facts.get("discount", 0)) * share
        return facts

    def _deliver(self, paid: int, bought: list[tuple[Product, int]]) -> None:
        chance, diary, number = self.chance, self.diary, self.number
        shipped = paid + chance.randint(5, 40) * _HOUR
        while self.days.rest[day := self.days.day_of(shipped)] and day < self.days.today:
            shipped += _DAY  # nobody packs parcels at the new year
        parcel = {"order_no": number, "carrier": chance.choice(CARRIERS)}
        if not diary.add(shipped, "order.shipped", self.channel, parcel):
            return
        received = shipped + chance.randint(20, 90) * _HOUR
        diary.add(received, "order.received", self.channel, {"order_no": number})
        if chance.random() < 0.3:
            stars = _STARS.draw(chance)
            review = {"order_no": number, "product": bought[0][0].name, "stars": stars}
            review["text"] = chance.choice(PRAISE[stars])
            diary.add(received + chance.randint(2, 240) * _HOUR, "review.posted", self.channel, review)
        elif chance.random() < 0.075:
            self._refund(received + chance.randint(4, 160) * _HOUR)

    def _refund(self, at: int) -> None:
        why = {"order_no": self.number, "reason": self.chance.choice(REASONS)}
        self.diary.add(at, "order.refunded", self.channel, why, amount=self.fen)


def _of(product: Product) -> dict[str, str]:
    return {"product": product.name, "line": product.line}
