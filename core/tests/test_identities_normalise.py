"""One identity has one form, however it was typed."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhike.customers.identities import STRONG, WEAK, BadIdentity, is_strong, mask, normalise, order, rank

FULL_WIDTH = str.maketrans("0123456789+-() ", "０１２３４５６７８９＋－（）\u3000")


@pytest.mark.parametrize(
    ("given_value", "normal"),
    [
        ("13800138000", "+8613800138000"),
        ("138 0013 8000", "+8613800138000"),
        ("+86-138-0013-8000", "+8613800138000"),
        ("(+86) 138 0013 8000", "+8613800138000"),
        ("0086 13800138000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("013800138000", "+8613800138000"),
        ("１３８００１３８０００", "+8613800138000"),
        ("\u202d13800138000\u202c", "+8613800138000"),
        ("19900000000", "+8619900000000"),
        ("021-62345678", "+862162345678"),
        ("（021）6234 5678", "+862162345678"),
        ("+86 21 6234 5678", "+862162345678"),
        ("+86 (0)21 6234 5678", "+862162345678"),
        ("0755-26012345", "+8675526012345"),
        ("400-820-8820", "+864008208820"),
        ("+1 650 253 0000", "+16502530000"),
        ("001 650 253 0000", "+16502530000"),
        ("+852 9123 4567", "+85291234567"),
        ("+44 20 7946 0958", "+442079460958"),
        ("+39 06 698 12345", "+390669812345"),
    ],
)
def test_phones(given_value: str, normal: str) -> None:
    assert normalise("phone", given_value) == normal


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "abc", "95588", "10086", "110", "12345", "88888888888", "00000000000", "11111111111", "62345678"),
        *("021-62345678-801", "021-62345678 ext. 801", "021-62345678转801", "1-800-FLOWERS", "tel:+8613800138000"),
        *("138001380001", "1380013800", "+8613800138000x1", "++8613800138000", "+999 123456789", "1" * 10_000),
        *("١٣٨٠٠١٣٨٠٠٠", "138\x000138000", "13800138000\ud800", "12800138000", "+86 95588", "一三八"),
    ],
)
def test_what_is_no_phone(value: str) -> None:
    with pytest.raises(BadIdentity) as caught:
        normalise("phone", value)
    assert "expected one such as 13800138000" in str(caught.value)


def test_an_error_does_not_print_the_number() -> None:
    with pytest.raises(BadIdentity) as caught:
        normalise("phone", "139876543210")
    assert "139****3210" in str(caught.value)
    assert "87654" not in str(caught.value)
    assert mask("13800138000") == "138****8000"
    assert mask("95588") == "****"


mobiles = st.builds(
    "{}{:09d}".format, st.integers(13, 19), st.integers(0, 10**9 - 1)
)  # every number of the mainland's mobile plan


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """Return a mobile number and one way to write it."""
    digits = draw(mobiles)
    gap = draw(st.sampled_from(["", " ", "-", "\u00a0", "."]))
    grouped = gap.join([digits[:3], digits[3:7], digits[7:]])
    prefix = draw(st.sampled_from(["", "+86", "+86 ", "86", "0086", "0086-", "(+86)", "0"]))
    spelled = draw(st.sampled_from([" {} ", "{}", "{}\t"])).format(prefix + grouped)
    return digits, spelled.translate(FULL_WIDTH) if draw(st.booleans()) else spelled


@given(spellings())
def test_every_spelling_of_a_mobile_number_is_one_number(number: tuple[str, str]) -> None:
    digits, spelled = number
    assert normalise("phone", spelled) == "+86" + digits


@given(st.sampled_from(["CN", "US", "GB", "HK", "DE", "JP", "SG", "IT", "BR"]), st.data())
def test_foreign_numbers_normalise_alike_from_every_international_spelling(region: str, data: st.DataObject) -> None:
    import phonenumbers as library

    example = library.example_number_for_type(region, data.draw(st.sampled_from([0, 1])))
    forms = [library.format_number(example, style) for style in (0, 1)]
    assert {normalise("phone", form) for form in forms} == {forms[0]}


@pytest.mark.parametrize(
    ("given_value", "normal"),
    [
        (" Ann.Lee@Example.COM ", "ann.lee@example.com"),
        ("a@b.cn", "a@b.cn"),
        ("ｗａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ", "wang@example.com"),
        ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
        ("wang@例子。中国", "wang@xn--fsqu00a.xn--fiqs8s"),
        ("o'hara+tag@mail.example.org", "o'hara+tag@mail.example.org"),
        ("a" * 64 + "@" + "b" * 63 + ".com", "a" * 64 + "@" + "b" * 63 + ".com"),
    ],
)
def test_addresses(given_value: str, normal: str) -> None:
    assert normalise("email", given_value) == normal


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "@",
            "a@",
            "@b.cn",
            "a@b",
            "a b@c.cn",
            "a@b..cn",
            ".a@b.cn",
            "a.@b.cn",
            "a..b@c.cn",
            "a@-b.cn",
            "a@b-.cn",
        ),
        *(
            "a@b.1",
            "a@[127.0.0.1]",
            '"a b"@c.cn',
            "a@b.cn\nBcc: x@y.cn",
            "a\x00@b.cn",
            "a@b@c.cn",
            "a@b.cn.",
            "a@b_c.cn",
        ),
        *(
            "a" * 65 + "@b.cn",
            "a@" + "b" * 64 + ".cn",
            "a@" + "例" * 300 + ".cn",
            "a@" + "b." * 126 + "cn",
            "a\ud800@b.cn",
        ),
        *("a" * 50 + "@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + ".cn", "a" * 10_000_000),
    ],
)
def test_what_is_no_address(value: str) -> None:
    with pytest.raises(BadIdentity, match="expected an e-mail address"):
        normalise("email", value)


GOOD_CODE = "91110000600037341L"


@pytest.mark.parametrize(
    "value", [GOOD_CODE, GOOD_CODE.lower(), " 91110000 600037341L ", "９１１１００００６０００３７３４１Ｌ"]
)
def test_company_codes(value: str) -> None:
    assert normalise("uscc", value) == GOOD_CODE


@pytest.mark.parametrize(
    "value", ["", "91110000600037341M", "91110000600037341", GOOD_CODE + "1", "9111000060003734IL", "1" * 100_000, "\0"]
)
def test_what_is_no_company_code(value: str) -> None:
    with pytest.raises(BadIdentity, match="right check digit"):
        normalise("uscc", value)


@pytest.mark.parametrize("position", range(18))
def test_one_wrong_character_in_a_company_code_is_noticed(position: int) -> None:
    other = "2" if GOOD_CODE[position] != "2" else "3"
    with pytest.raises(BadIdentity):
        normalise("uscc", GOOD_CODE[:position] + other + GOOD_CODE[position + 1 :])


def test_external_ids_keep_zeros_and_case() -> None:
    assert normalise("external_id", " 00012aB ") == "00012aB"
    assert normalise("shop_member", "e\u0301") == "é"


@pytest.mark.parametrize(
    "value", ["", " ", "\u3000", "a\x00b", "a\nb", "a\x7fb", "a\x85b", "a\u2028b", "a\ud800", "a" * 201, "例" * 67]
)
def test_values_of_any_namespace(value: str) -> None:
    with pytest.raises(BadIdentity, match="expected a text"):
        normalise("external_id", value)


@pytest.mark.parametrize("value", ["a" * 200, "例" * 66, "a b", "x\u200dy", "'; DROP TABLE identity; --", "{{7*7}}"])
def test_odd_but_good_values(value: str) -> None:
    assert normalise("external_id", value) == value


@pytest.mark.parametrize("namespace", ["", "A", "1a", "a-b", "a b", "é", "a" * 51, "a\n", "_a", "a.b", "\0"])
def test_what_is_no_namespace(namespace: str) -> None:
    with pytest.raises(BadIdentity, match="is no namespace"):
        normalise(namespace, "x")


@given(st.sampled_from([*STRONG, *WEAK, "shop_member"]), st.text(max_size=40) | spellings().map(lambda pair: pair[1]))
def test_what_is_normal_stays(namespace: str, value: str) -> None:
    try:
        normal = normalise(namespace, value)
    except BadIdentity:
        return
    assert normalise(namespace, normal) == normal
    assert 0 < len(normal.encode()) <= 200


@given(
    st.text("abßİıſKΣ１ｱﾞ.ñéＡ\u0301\u00ad\u0307ǅ", min_size=1, max_size=12),
    st.text("abßİ例１Ａé。.\u00ad-", min_size=1, max_size=12),
)
def test_odd_letters_in_addresses_come_to_rest(local: str, domain: str) -> None:
    try:
        normal = normalise("email", f"{local}@{domain}.com")
    except BadIdentity:
        return
    assert normalise("email", normal) == normal


def test_every_letter_of_a_local_part_comes_to_rest() -> None:
    restless = []
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character)[0] in "LMN":
            try:
                normal = normalise("email", f"a{character}@b.cn")
            except BadIdentity:
                continue
            if normalise("email", normal) != normal:
                restless.append(hex(code))
    assert restless == []


def test_ranks() -> None:
    namespaces = ["anonymous_id", "zeta", "device_id", "email", "alpha", "external_id", "phone", "uscc"]
    assert sorted(namespaces, key=order) == [
        *("external_id", "phone", "email", "uscc", "alpha", "zeta", "device_id", "anonymous_id")
    ]
    assert [is_strong(namespace) for namespace in ("phone", "alpha", "device_id", "anonymous_id")] == [
        True,
        True,
        False,
        False,
    ]
    assert rank("external_id") < rank("phone") < rank("unheard_of") < rank("device_id") < rank("anonymous_id")
