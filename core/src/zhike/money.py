"""Exact money: decimals in major units outside, whole minor units inside."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact

from zhike.errors import BadRequest
from zhike.i18n import text

_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
    "GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL "
    "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK "
    "PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS "
    "TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS = {code: digits for digits, codes in _BY_DIGITS.items() for code in codes.split()}
"""Digits after the point by ISO 4217 code (the standard's list one, without codes that have no minor unit)."""

_SCALES = {code: Decimal(10**digits) for code, digits in EXPONENTS.items()}
_LARGEST = 2**63 - 1
_TOO_LARGE = 2**64
# Wide enough for what fits into 64 bits and zeros behind it; the default of 28 digits would round silently.
_EXACT = Context(prec=100, traps=[Inexact])


class BadAmount(BadRequest):
    """An amount or its currency cannot be used."""

    default_code = "amount"


def to_minor(amount: Decimal, currency: str) -> int:
    """Return `amount` in whole minor units.

    Args:
        amount: Major units, such as `Decimal("12.30")`.
        currency: ISO 4217 code, such as `CNY`.

    Raises:
        BadAmount: If the currency is unknown (code `currency`), or the amount is not finite, has more digits
            after the point than the currency, or does not fit into 64 bits.
    """
    scale = _SCALES.get(currency)
    if scale is None:
        raise BadAmount(text("expected an ISO 4217 code such as CNY, got {value!r}", value=currency), code="currency")
    minor, exact = _TOO_LARGE, True
    try:
        if amount.adjusted() < 20:  # else it is not written out digit by digit: 1e400 is no work for a server
            scaled = _EXACT.multiply(amount, scale)
            minor = int(scaled)
            exact = minor == scaled
    except Inexact:
        exact = False
    except (ValueError, OverflowError):  # NaN, infinity
        pass
    if not exact:
        raise BadAmount(
            text(
                "expected at most {digits} decimal places for {currency}",
                digits=EXPONENTS[currency],
                currency=currency,
            )
        )
    if not -_LARGEST <= minor <= _LARGEST:
        largest = to_major(_LARGEST, currency)
        raise BadAmount(text("expected an amount from -{largest} to {largest}", largest=f"{largest:f}"))
    return minor


def to_major(minor: int, currency: str) -> Decimal:
    """Return whole minor units as an exact decimal in major units, with as many places as the currency has.

    Args:
        minor: For example 1230.
        currency: ISO 4217 code; an unknown one counts as having two decimal places.
    """
    return Decimal(minor).scaleb(-EXPONENTS.get(currency, 2))
