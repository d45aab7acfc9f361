"""Dates, amounts and columns: what is read, what is refused, what is guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from zhike import settings
from zhike.errors import Refused
from zhike_imports.columns import amounts, dates
from zhike_imports.columns.mapping import described
from zhike_imports.run.plan import prepare
from zhike_imports.schemas import Options, Plan

SHANGHAI = ZoneInfo("Asia/Shanghai")
CONFIG = settings.load(Path("unused"), {})


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("19970101", "1996-12-31T16:00:00"),
        ("1997-01-01", "1996-12-31T16:00:00"),
        ("1997/1/1", "1996-12-31T16:00:00"),
        ("1997.01.01", "1996-12-31T16:00:00"),
        ("1997-01-01 12:30", "1997-01-01T04:30:00"),
        ("1997/1/1 9:05:07", "1997-01-01T01:05:07"),
        ("1997-01-01T12:30:00Z", "1997-01-01T12:30:00"),
        ("1997-01-01T12:30:00.123456789+08:00", "1997-01-01T04:30:00.123456"),
        ("1997-01-01 12:30:00 +0000", "1997-01-01T12:30:00"),
        ("2024年1月5日", "2024-01-04T16:00:00"),
        ("2024年01月05日 8时30分", "2024-01-05T00:30:00"),
        ("2024年1月5日12:30:01", "2024-01-05T04:30:01"),
        ("202401051230", "2024-01-05T04:30:00"),
        ("20240105123001", "2024-01-05T04:30:01"),
        ("1700000000", "2023-11-14T22:13:20"),
        ("1700000000123", "2023-11-14T22:13:20.123"),
        # Summer time was in force in China on that day.
        ("1988-07-01", "1988-06-30T15:00:00"),
    ],
)
def test_dates_of_one_meaning_are_read(value: str, instant: str) -> None:
    assert dates.read(value, SHANGHAI) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    ["01/02/2024", "5/1/24", "20241301", "2024-02-30", "2024-1/5", "1997", "2700000000", "yesterday",
     "2024-01-05 25:00", "2024-01-05 12", "0001-01-01", "１９９７０１０１", "2024-01-05T12:00+99:00", "12:30"],
)  # fmt: skip
def test_other_dates_are_refused(value: str) -> None:
    with pytest.raises(dates.BadDate):
        dates.read(value, SHANGHAI)


@pytest.mark.parametrize(
    ("value", "currency", "number"),
    [
        ("0.00", "CNY", "0.00"),
        ("-12.5", "CNY", "-12.5"),
        ("1,234.50", "CNY", "1234.50"),
        ("¥12.00", "CNY", "12.00"),
        ("￥ 1,200", "CNY", "1200"),
        ("-¥3", "CNY", "-3"),
        ("12元", "CNY", "12"),
        ("CNY 12", "CNY", "12"),
        ("$9.99", "USD", "9.99"),
        ("0.1", "CNY", "0.1"),
        ("12345678901234567.89", "CNY", "12345678901234567.89"),
    ],
)
def test_amounts_are_read_exactly(value: str, currency: str, number: str) -> None:
    assert amounts.read(value, currency) == Decimal(number)


@pytest.mark.parametrize(
    "value", ["$12", "1e3", "12,50", "1,23,456", "1.234,50", "NaN", "Infinity", "十二", "12 34", "--1", "9" * 40]
)
def test_other_amounts_are_refused(value: str) -> None:
    with pytest.raises(amounts.BadAmount):
        amounts.read(value, "CNY")


def plan(folder: Path, content: str, **options: object) -> Plan:
    path = folder / "rows.txt"
    path.write_text(content, encoding="utf-8")
    return prepare(path, Options(**options), CONFIG)  # type: ignore[arg-type]  # each test gives the right types


def mapped(folder: Path, content: str, **options: object) -> dict[str, str]:
    return described(plan(folder, content, **options).mapping)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "客户编号,手机号,姓名,支付时间,实付金额,商品数量,订单编号\n"
            "C1,15400000001,李静,2024年1月5日,￥12.00,3,20240105000012345678\n",
            {
                "客户编号": "identity:external_id",
                "手机号": "identity:phone",
                "姓名": "trait:name",
                "支付时间": "occurred_at",
                "实付金额": "amount",
                "商品数量": "number:商品数量",
                "订单编号": "property:订单编号",
            },
        ),
        (
            "Cust ID;Date;Time;Dollar-Value;sku;qty\n7;2024-01-05;12:30;1.00;0012;2\n",
            {
                "Cust ID": "identity:external_id",
                "Date": "occurred_at",
                "Time": "occurred_at",
                "Dollar-Value": "amount",
                "sku": "property:sku",
                "qty": "number:qty",
            },
        ),
        # A time that is no date and an amount that is no number are properties.
        (
            "user_id,created_at,time,total\n7,20240105,15,many\n",
            {
                "user_id": "identity:external_id",
                "created_at": "occurred_at",
                "time": "number:time",
                "total": "property:total",
            },
        ),
        # One value with a leading zero makes the whole column text.
        (
            "user_id,date,code2,size\n7,20240105,10,1\n8,20240105,010,2\n",
            {
                "user_id": "identity:external_id",
                "date": "occurred_at",
                "code2": "property:code2",
                "size": "number:size",
            },
        ),
        (
            '{"user_id":"7","date":"2024-01-05","amount":1.5,"basket":{"a":[1]}}\n',
            {"user_id": "identity:external_id", "date": "occurred_at", "amount": "amount", "basket": "property:basket"},
        ),
    ],
)  # fmt: skip
def test_columns_are_guessed(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    assert mapped(tmp_path, content, event="order.paid") == expected


def test_name_is_the_event_unless_the_events_are_named(tmp_path: Path) -> None:
    content = "user_id,date,name\n7,20240105,order.paid\n"
    assert mapped(tmp_path, content)["name"] == "name"
    assert mapped(tmp_path, content, event="order.paid")["name"] == "trait:name"


def test_a_given_mapping_is_not_mixed_with_guesses(tmp_path: Path) -> None:
    content = "a=b,date,amount,n,t\n7,20240105,1.00,5,6\n"
    maps = ("a=b=identity:crm", "date=occurred_at", "n=text:n", "t=trait:age")
    assert mapped(tmp_path, content, event="x", maps=maps) == {
        "a=b": "identity:crm",
        "date": "occurred_at",
        "amount": "number:amount",
        "n": "text:n",
        "t": "trait:age",
    }


@pytest.mark.parametrize(
    ("maps", "options", "what"),
    [
        (("date=occurred_at",), {}, "who the customer is"),
        (("u=identity:external_id",), {}, "when it happened"),
        (("u=identity:external_id", "date=occurred_at"), {"event": None}, "--event"),
        (("nobody=identity:external_id",), {}, "the columns are u, date, v"),
        (("u=identity",), {}, "names no target"),
        (("u=identity:a", "u=identity:b"), {}, "twice"),
        (("u=identity:a", "date=identity:a", "v=occurred_at"), {}, "'u' and 'date'"),
        (("u",), {}, "has no '='"),
        ((), {"key": ("nobody",)}, "--key"),
    ],
)
def test_a_mapping_that_makes_no_event_is_refused(
    tmp_path: Path, maps: tuple[str, ...], options: dict[str, object], what: str
) -> None:
    content = "u,date,v\n7,20240105,1\n" if maps else "user_id,date,v\n7,20240105,1\n"
    with pytest.raises(Refused) as caught:
        plan(tmp_path, content, **{"event": "order.paid", "maps": maps, **options})
    assert what in str(caught.value.message)
