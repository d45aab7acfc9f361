"""Identities: which namespaces there are, how they rank, and the one normal form of every value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from zhike.errors import BadRequest
from zhike.i18n import Text, text

STRONG = (
    "external_id",
    "phone",
    "email",
    "uscc",
    "wecom_external_userid",
    "wecom_unionid",
    "dingtalk_userid",
)
"""Known namespaces that prove who a customer is, the most trusted first; unknown namespaces follow them."""

WEAK = ("device_id", "anonymous_id")
"""Namespaces that several people may share; they rank below all others."""

LABELS: Mapping[str, Text] = {
    "external_id": text("Customer number"),
    "phone": text("Phone"),
    "email": text("E-mail"),
    "uscc": text("Unified social credit code"),
    "wecom_external_userid": text("WeCom contact"),
    "wecom_unionid": text("WeChat (unionid)"),
    "dingtalk_userid": text("DingTalk"),
    "device_id": text("Device"),
    "anonymous_id": text("Visitor"),
    "douyin_id": text("Douyin"),
    "jd_id": text("JD"),
    "taobao_id": text("Taobao"),
    "tmall_id": text("Tmall"),
    "wechat_openid": text("WeChat (openid)"),
    "xiaohongshu_id": text("Xiaohongshu"),
    "youzan_id": text("Youzan"),
}
"""What the namespaces are called that the core knows, and those that shops usually bring; others as they are."""

MAX_BYTES = 200
_UNKNOWN_RANK = 100
_RANKS = {name: rank for rank, name in enumerate(STRONG)} | {name: 1_000 + rank for rank, name in enumerate(WEAK)}
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,49}")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})

# Every number of this form is a mainland mobile number or will be one: new segments are handed out months
# before the metadata of phonenumbers has them, so it is not asked about these.
_MOBILE = re.compile(r"(?:\+86|0086|86|0)?(1[3-9][0-9]{9})")
_PHONE = re.compile(r"\+?[0-9]{5,20}")
# Punctuation, and the invisible marks that come along when a number is copied from an address book.
_PHONE_NOISE = dict.fromkeys(
    [*map(ord, " \t\r\n-‐–—−.()/"), *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF]
)
_SHORTEST_MAINLAND = 9

# An address this short keeps by itself the limits of RFC 5321: 64 for the local part, 63 for a label of the
# domain.
_SHORT_EMAIL = 64
_USUAL_EMAIL = re.compile(r"[a-z0-9_%+-]++(?:\.[a-z0-9_%+-]++)*+@(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)++[a-z]++")
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]++(?:\.[\w!#$%&'*+/=?^`{|}~-]++)*+")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


class BadIdentity(BadRequest):
    """A namespace or value that cannot identify anybody."""

    default_code = "identity"


def rank(namespace: str) -> int:
    """Return a namespace's rank, 0 for the strongest; unknown ones share a rank and are ordered by name."""
    return _RANKS.get(namespace, _UNKNOWN_RANK)


def order(namespace: str) -> tuple[int, str]:
    """Return the key that sorts namespaces from the strongest to the weakest."""
    return (_RANKS.get(namespace, _UNKNOWN_RANK), namespace)


def is_strong(namespace: str) -> bool:
    """Say whether one value of the namespace belongs to one customer only."""
    return namespace not in WEAK


def normalise(namespace: str, value: str) -> str:
    """Return the one form in which a value is stored and compared.

    Args:
        namespace: Such as `phone`; any name of lower-case ASCII letters, digits and `_`, up to 50 characters.
        value: As it was given.

    Returns:
        E.164 for a phone, lower case with an ASCII domain for an e-mail address, upper case for a
        统一社会信用代码, for all others the text in NFC without space around it. What is normal stays as it
        is.

    Raises:
        BadIdentity: If the value cannot be one of its namespace; the message does not show the value.
    """
    return NORMALISERS[namespace](value)


def plain(value: str) -> str:
    """Return a value of a namespace without rules of its own: NFC, trimmed, case and leading zeros kept.

    Raises:
        BadIdentity: If it is empty, over 200 bytes or has control characters.
    """
    value = value.strip()
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
    if not value.isprintable() and any(unicodedata.category(character) in _CONTROL for character in value):
        raise BadIdentity(text("expected a text without control characters"))
    size = len(value) if value.isascii() else len(value.encode())
    if not 0 < size <= MAX_BYTES:
        raise BadIdentity(text("expected a text of 1 to {limit} bytes, got {size}", limit=MAX_BYTES, size=size))
    return value


def phone(value: str) -> str:
    """Return a phone number in E.164, read as a mainland one when no country is given.

    A number must be valid by the metadata of phonenumbers or have the form of a mainland mobile number.
    Numbers that are only possible (a right length in an unassigned range) are rejected: such values are
    mostly fillers like `88888888888` and would merge strangers. So are short service numbers and numbers with
    an extension.

    Args:
        value: Such as `138 0013 8000`, `+86-138-0013-8000`, `008613800138000`, `021-62345678`, `+1 650 253
            0000`.

    Raises:
        BadIdentity: If it is no such number; the message shows at most its first three and last four
            characters.
    """
    digits = value if len(value) == 11 else value[3:] if value.startswith("+86") else ""
    if len(digits) == 11 and "13" <= digits < "2" and digits.isdecimal() and digits.isascii():
        return "+86" + digits
    compact = unicodedata.normalize("NFKC", value).translate(_PHONE_NOISE)
    mobile = _MOBILE.fullmatch(compact)
    normal = "+86" + mobile[1] if mobile else _judged(compact)
    if normal is None:
        raise BadIdentity(
            text(
                "{masked} is no phone number; expected one such as 13800138000, 021-62345678 or +16502530000",
                masked=mask(compact),
            )
        )
    return normal


def email(value: str) -> str:
    """Return an e-mail address in lower case, its domain in ASCII form (IDNA 2003, RFC 3490).

    The local part is lowered too: no provider in use tells `Ann@` from `ann@`, and people type both.

    Raises:
        BadIdentity: If it is not of the form local@domain.tld (RFC 5321 without quoted local parts and IP
            literals), or over 200 bytes.
    """
    value = value.strip().lower()
    if len(value) <= _SHORT_EMAIL and _USUAL_EMAIL.fullmatch(value):
        return value
    if not value.isascii():
        value = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).lower()).strip()
    local, _, domain = value.rpartition("@")
    if not domain.isascii():
        try:
            # The codec is quadratic in old releases of Python, so the length comes first.
            domain = domain.encode("idna").decode("ascii").lower() if len(domain) <= 253 else ""
        except UnicodeError:
            domain = ""
    if (
        _DOMAIN.fullmatch(domain)
        and _LOCAL_PART.fullmatch(local)
        and len(local.encode()) <= 64
        and len(local.encode()) + 1 + len(domain) <= MAX_BYTES
    ):
        return f"{local}@{domain}"
    raise BadIdentity(text("expected an e-mail address such as name@example.com"))


def uscc(value: str) -> str:
    """Return a 统一社会信用代码 (GB 32100-2015) in upper case after testing its check digit.

    Raises:
        BadIdentity: If it has not 18 characters of that alphabet or the check digit is wrong.
    """
    from stdnum.cn import uscc as standard
    from stdnum.exceptions import ValidationError

    try:
        return str(standard.validate(unicodedata.normalize("NFKC", value)))
    except ValidationError:
        raise BadIdentity(
            text("expected a unified social credit code: 18 characters with a right check digit")
        ) from None


def mask(value: str) -> str:
    """Return an identity's value with its middle hidden, for messages: `138****8000`."""
    return f"{value[:3]}****{value[-4:]}" if len(value) >= 10 else "****"


def _judged(compact: str) -> str | None:
    """Return a number without punctuation in E.164, or None if phonenumbers does not call it valid."""
    if not _PHONE.fullmatch(compact):
        return None
    # Loaded late because most processes only ever see mainland mobile numbers.
    import phonenumbers

    try:
        number = phonenumbers.parse(compact, "CN")
    except phonenumbers.NumberParseException:
        return None
    national = phonenumbers.national_significant_number(number)
    if number.country_code == 86 and len(national) < _SHORTEST_MAINLAND:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


class _Normalisers(dict[str, Callable[[str], str]]):
    """The normaliser of every namespace; one without rules of its own gets `plain` if its name is right."""

    def __missing__(self, namespace: str) -> Callable[[str], str]:
        if not _NAMESPACE.fullmatch(namespace):
            raise BadIdentity(
                text(
                    "{namespace!r} is no namespace; expected at most 50 lower-case letters, digits and _",
                    namespace=namespace,
                )
            )
        return plain


NORMALISERS = _Normalisers({name: plain for name in (*STRONG, *WEAK)} | {"phone": phone, "email": email, "uscc": uscc})
"""The function that normalises a namespace's values; raises BadIdentity for what is no namespace."""
