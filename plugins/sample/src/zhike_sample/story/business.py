"""The life of a company that buys, and of the people there whom the sales staff know."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from zhike_sample.story.chances import Table
from zhike_sample.story.days import Days
from zhike_sample.story.diary import Diary
from zhike_sample.story.person import CITY, name_of, phone_of
from zhike_sample.words.goods import PRODUCTS
from zhike_sample.words.people import COMPANIES, STEMS, TITLES
from zhike_sample.words.places import DIRECT

_DAY, _HOUR = 86_400, 3_600
_KIND = Table(((kind, industry, factor), weight) for kind, industry, weight, factor in COMPANIES)
_HEADCOUNT = Table([("1-20", 40), ("21-100", 34), ("101-500", 18), ("500+", 8)])
_FIRST_PHONE = 3_000_000
# So many companies have a name of one stem. If all had, most of a large story's would seem to be there several times.
_SINGLE = 220
_PLANS = ("客房布草更新", "新店开业采购", "员工福利礼盒", "样板间软装", "年度集采", "节日礼赠")


class Contact(NamedTuple):
    """A person at a company.

    Args:
        external_id: What they are known by.
        company: The company's external id.
        kind: What they are to it.
        title: Their job.
    """

    external_id: str
    company: str
    kind: str
    title: str


class Business:
    """A company that buys.

    Args:
        number: Counted from 1.
        days: The days of the story.
        seed: The same seed gives the same story.
    """

    def __init__(self, number: int, days: Days, seed: str) -> None:
        self.days, self.number = days, number
        self.chance = chance = Random(f"{seed}/b{number}")  # noqa: S311  # sample data, not a secret
        kind, self.industry, self.factor = _KIND.draw(chance)
        self.city = CITY.draw(chance)
        stem = chance.choice(STEMS) + (chance.choice(STEMS) if number > _SINGLE else "")
        self.name = f"{self.city.name}{stem}{kind}"
        self.external_id = f"QB{number:05d}"
        self.diary = Diary(f"b{number}", {"external_id": self.external_id}, days.now)
        self.contacts = [
            Contact(
                f"QC{number:05d}{place}",
                self.external_id,
                "decision_maker" if place == 0 else "contact",
                title,
            )
            for place, title in enumerate(chance.sample(TITLES, chance.choice((1, 2, 2, 3))))
        ]

    def live(self) -> list[Diary]:
        """Return what the company and its people did."""
        chance, days = self.chance, self.days
        lead = days.office_day(int(chance.random() ** 1.2 * days.today))
        at = days.at(chance, lead, "office")
        self.diary.add(at, "lead.created", DIRECT, {"from": self._source()}, traits=self._traits())
        people = [self._meet(contact, at + place * 600) for place, contact in enumerate(self.contacts)]
        at = self._next(at, 3, 12)
        self.diary.add(at, "visit.made", DIRECT, {"with": self.contacts[0].title, "about": chance.choice(_PLANS)})
        if chance.random() < 0.78:
            at = self._next(at, 3, 15)
            worth = int(chance.triangular(8_000, 160_000, 22_000) * self.factor) * 100
            self.diary.add(at, "quote.sent", DIRECT, {"quote_no": f"BJ{self.number:05d}"}, amount=worth)
            self.diary.note(at, stage="opportunity")
            if chance.random() < 0.76:
                self._buy(self._next(at, 5, 35), worth)
        return [self.diary, *people]

    def _source(self) -> str:
        return self.chance.choice(("展会", "官网询盘", "老客户介绍", "电话拓展", "门店转介"))

    def _traits(self) -> dict[str, Any]:
        return {
            "kind": "company",
            "name": self.name,
            "city": self.city.name,
            "province": self.city.province,
            "industry": self.industry,
            "headcount": _HEADCOUNT.draw(self.chance),
            "billing_account": f"示例银行 {self.chance.randrange(10**12):012d}",
            "first_channel": DIRECT,
            "stage": "lead",
        }

    def _meet(self, contact: Contact, at: int) -> Diary:
        """Tell how the sales staff got to know somebody there, and what that person did."""
        chance, days = self.chance, self.days
        diary = Diary(contact.external_id, {"external_id": contact.external_id}, days.now)
        number = _FIRST_PHONE + self.number * 10 + int(contact.external_id[-1])
        known = {**diary.identities, "phone": phone_of(number)}
        if chance.random() < 0.7:
            known["email"] = f"{contact.external_id.lower()}@example.com"
        gender = "女" if chance.random() < 0.5 else "男"
        traits = {"name": name_of(chance, gender), "company": self.name, "city": self.city.name}
        traits |= {"gender": {"女": "female", "男": "male"}[gender], "province": self.city.province}
        diary.add(at, "card.exchanged", DIRECT, {"title": contact.title}, traits=traits, identities=known)
        while (at := self._next(at, 20, 110)) <= days.now:
            if chance.random() < 0.6:
                diary.add(at, "call.made", DIRECT, {"minutes": chance.randint(2, 25), "about": chance.choice(_PLANS)})
            else:
                diary.add(
                    at, "service.contacted", "客服中心", {"topic": chance.choice(("发票", "配送进度", "产品咨询"))}
                )
        return diary

    def _buy(self, at: int, worth: int) -> None:
        """Tell of the contract and of the orders upon it."""
        chance, diary = self.chance, self.diary
        years = chance.choice((1, 1, 1, 2))
        diary.add(at, "contract.signed", DIRECT, {"contract_no": f"HT{self.number:05d}", "years": years}, amount=worth)
        diary.note(at, stage="active")
        orders = 0
        pause = chance.choice((25, 35, 50, 70))
        leaves = self.days.now + _DAY if chance.random() < 0.75 else at + chance.randint(60, 300) * _DAY
        while (at := self._next(at, pause // 2, pause * 2)) <= min(leaves, self.days.now):
            orders += 1
            self._order(at, orders, worth)
            if orders == 4:
                diary.note(at, stage="loyal")
            if chance.random() < 0.3:
                diary.add(self._next(at, 5, 20), "visit.made", DIRECT, {"about": "回访"})
        if at > leaves:
            diary.note(leaves + 90 * _DAY, stage="lost")

    def _order(self, at: int, place: int, worth: int) -> None:
        chance, diary = self.chance, self.diary
        product = chance.choice(PRODUCTS)
        quantity = max(10, int(worth / 100 / product.price * chance.uniform(0.08, 0.3)))
        fen = product.price * quantity * 82
        number = f"QB{self.number:05d}{place:03d}"
        item = {"sku": product.sku, "product": product.name, "line": product.line, "quantity": quantity}
        order = {"order_no": number, "items": [item | {"price": product.price}], "contract_no": f"HT{self.number:05d}"}
        diary.add(at, "order.created", DIRECT, order, amount=fen)
        # Companies pay upon the invoice.
        diary.add(self._next(at, 2, 20), "order.paid", DIRECT, order, amount=fen)
        diary.add(self._next(at, 2, 5), "order.shipped", DIRECT, {"order_no": number, "carrier": "专线物流"})
        if chance.random() < 0.04:
            returned = self._next(at, 21, 30)
            diary.add(returned, "order.refunded", DIRECT, {"order_no": number, "reason": "部分破损"}, amount=fen // 10)

    def _next(self, at: int, least: int, most: int) -> int:
        """Return an office hour so many days after an instant; what is after the story stays there."""
        day = self.days.day_of(at) + self.chance.randint(least, most)
        if day > self.days.today:
            return self.days.now + 2 * _DAY
        return max(at + 60, self.days.at(self.chance, self.days.office_day(day), "office"))
