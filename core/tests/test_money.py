"""Money: decimals in major units become whole minor units, exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhike.money import EXPONENTS, BadAmount, to_major, to_minor

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.30", "CNY", 1230),
        ("-0.01", "CNY", -1),
        ("5.00", "JPY", 5),
        ("1e3", "JPY", 1000),
        ("1.2345", "CLF", 12345),
        ("1.234", "BHD", 1234),
        ("0", "CNY", 0),
        ("0.10" + "0" * 5_000, "CNY", 10),
        ("92233720368547758.07", "CNY", LARGEST),
    ],
)
def test_exact_amounts(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    "amount",
    [
        *("0.001", "1e-400", "1e-999999999", "0.30000000000000000000000000000000000000004", "92233720368547758.08"),
        *("1e400", "1e999999999", "9" * 10_000, "0." + "1" * 10_000, "NaN", "-Infinity", "sNaN"),
    ],
)
def test_what_cannot_be_stored_exactly_is_refused(amount: str) -> None:
    with pytest.raises(BadAmount) as caught:
        to_minor(Decimal(amount), "CNY")
    assert caught.value.code == "amount"
    assert "expected" in str(caught.value)


def test_a_yen_has_no_sen() -> None:
    with pytest.raises(BadAmount, match="at most 0 decimal places for JPY"):
        to_minor(Decimal("5.5"), "JPY")


@pytest.mark.parametrize("currency", ["cny", "RMB", "", "XXX", "BTC"])
def test_unknown_currencies_are_refused(currency: str) -> None:
    with pytest.raises(BadAmount) as caught:
        to_minor(Decimal(1), currency)
    assert caught.value.code == "currency"


@given(st.integers(-LARGEST, LARGEST), st.sampled_from(sorted(EXPONENTS)))
def test_there_and_back(minor: int, currency: str) -> None:
    major = to_major(minor, currency)
    assert to_minor(major, currency) == minor
    assert -major.as_tuple().exponent == EXPONENTS[currency]


def test_the_table_agrees_with_babel_where_babel_follows_the_standard() -> None:
    from babel.core import get_global

    fractions = get_global("currency_fractions")
    differing = {code for code, digits in EXPONENTS.items() if fractions.get(code, fractions["DEFAULT"])[0] != digits}
    # CLDR says how prices are written, ISO 4217 what the minor unit is; these coins are no longer used.
    assert differing == {*("AFN", "ALL", "IQD", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER")}
