"""The story of the sample company: always the same, invented throughout, and worth looking at."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from zhike_sample.story.days import NEW_YEARS, Days
from zhike_sample.story.lives import GROUP, Chapter, businesses, chapters
from zhike_sample.words.places import CHANNELS, DIRECT

NOW = datetime(2026, 11, 22, 21, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
SIZE = 700


@cache
def chapter(size: int = SIZE, seed: str = "a") -> Chapter:
    [only] = chapters(Days(NOW), size, seed)
    return only


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    items = [json.loads(entry.json) for entry in chapter().entries]
    for item in items:
        item["at"] = datetime.fromisoformat(item["occurred_at"].replace("Z", "+00:00")).astimezone(NOW.tzinfo)
    return items


def test_the_same_arguments_give_the_same_story() -> None:
    [again] = chapters(Days(NOW), SIZE, "a")
    assert again == chapter()
    assert chapter(seed="b").entries != chapter().entries


def test_it_spans_eighteen_months_that_end_now(events: list[dict[str, Any]]) -> None:
    moments = [item["at"] for item in events]
    assert moments == sorted(moments)
    assert timedelta(545) < NOW - moments[0] < timedelta(549)
    assert timedelta(0) <= NOW - moments[-1] < timedelta(hours=12)
    assert len({item["message_id"] for item in events}) == len(events)


def test_a_customer_has_about_forty_events(events: list[dict[str, Any]]) -> None:
    assert 40 * SIZE < len(events) < 60 * SIZE


def test_it_has_seasons_and_grows(events: list[dict[str, Any]]) -> None:
    orders = Counter(item["at"].date() for item in events if item["name"] == "order.created")
    usual = sum(orders.values()) / 548
    for year in (2025, 2026):
        assert orders[date(year, 11, 11)] > 3 * usual
    assert orders[date(2026, 6, 18)] > 2 * usual
    [new_year] = [day for day in NEW_YEARS if day.year == 2026]
    holidays = [orders[new_year + timedelta(day)] for day in range(-2, 7)]
    assert sum(holidays) < 0.6 * usual * len(holidays)
    assert not any(
        item["name"] == "order.shipped" and new_year <= item["at"].date() < new_year + timedelta(6)
        for item in events
        if item["source"] != DIRECT
    )
    before, after = (sum(orders[day] for day in orders if (day.year, day.month) == (year, 10)) for year in (2025, 2026))
    assert after > 1.3 * before


def test_each_order_is_told_from_the_cart_to_the_door(events: list[dict[str, Any]]) -> None:
    steps = defaultdict(list)
    for item in events:
        # Companies pay upon the invoice, which may come after the parcel.
        if item["name"].startswith("order.") and item["source"] != DIRECT:
            steps[item["properties"]["order_no"]].append(item["name"])
    whole = ("order.created", "order.paid", "order.shipped", "order.received")
    told = [tuple(name for name in names if name in whole) for names in steps.values()]
    assert all(names == whole[: len(names)] or names == ("order.paid",) for names in told)
    kinds = Counter(item["name"] for item in events)
    assert kinds["page.viewed"] > kinds["cart.added"] > kinds["order.created"] > kinds["order.cancelled"] > 0
    assert 0.02 < kinds["order.refunded"] / kinds["order.paid"] < 0.1
    assert kinds["contract.signed"] > 5
    assert all(float(item["amount"]) > 0 for item in events if item["name"] in whole[:2])


def test_customers_come_by_every_channel(events: list[dict[str, Any]]) -> None:
    assert {*CHANNELS, DIRECT, "客服中心"} == {item["source"] for item in events}
    assert {note.traits["stage"] for note in chapter().notes} >= {"new", "active", "loyal", "dormant", "lost"}


def test_nobody_real_can_be_reached(events: list[dict[str, Any]]) -> None:
    phones = {item["identities"]["phone"] for item in events if "phone" in item["identities"]}
    emails = {item["identities"]["email"] for item in events if "email" in item["identities"]}
    # No operator in China has numbers that begin with 154; example.com is reserved by RFC 2606.
    assert all(re.fullmatch(r"154\d{8}", phone) for phone in phones)
    assert all(email.endswith("@example.com") for email in emails)
    assert len(phones) > SIZE / 2


def test_a_large_company_is_told_in_parts() -> None:
    days = Days(NOW)
    companies = list(businesses(days, 2 * GROUP))
    assert len({each.external_id for each in companies}) == len(companies) > 500


def test_few_of_many_companies_seem_to_be_the_same() -> None:
    companies = list(businesses(Days(NOW), 100_000))
    alike = Counter(each.name.removeprefix(each.city.name) for each in companies)
    assert sum(number * (number - 1) // 2 for number in alike.values()) < len(companies)


@pytest.mark.parametrize("now", [NOW.replace(hour=0, minute=0), datetime(2045, 1, 5, 9, tzinfo=ZoneInfo("UTC"))])
def test_it_can_end_at_any_instant_anywhere(now: datetime) -> None:
    [only] = chapters(Days(now), 60)
    assert max(entry.at for entry in only.entries) <= now.timestamp()
