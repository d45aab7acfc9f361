"""Ids made here: message ids ascend, cursors work only where they were made."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhike.errors import BadRequest
from zhike.ids import decode_cursor, encode_cursor, new_message_id

KEY = b"k" * 32


def test_message_ids_are_uuids_of_version_7_that_ascend() -> None:
    ids = [new_message_id() for _ in range(1_000)]
    assert {UUID(id_).version for id_ in ids} == {7}
    assert sorted(ids) == ids
    assert len(set(ids)) == 1_000


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=50))
def test_cursors_come_back(number: int, words: str) -> None:
    cursor = encode_cursor((number, words), KEY, scope="customers")
    assert decode_cursor(cursor, KEY, tuple[int, str], scope="customers") == (number, words)
    assert cursor.isascii()
    assert set("+/=") & set(cursor) == set()


def test_cursors_hold_instants() -> None:
    at = datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert decode_cursor(encode_cursor((at, 7), KEY), KEY, tuple[datetime, int]) == (at, 7)


CURSOR = encode_cursor((1, "a"), KEY, scope="customers")


@pytest.mark.parametrize(
    ("cursor", "key", "scope"),
    [
        (CURSOR, b"another key", "customers"),
        (CURSOR, KEY, "events"),
        (CURSOR, KEY, ""),
        (CURSOR[:-1] + ("A" if CURSOR[-1] != "A" else "B"), KEY, "customers"),
        (CURSOR[:10], KEY, "customers"),
        ("", KEY, "customers"),
        ("é" * 10, KEY, "customers"),
        ("' OR 1=1 --", KEY, "customers"),
        ("A" * 100_000, KEY, "customers"),
        ("\ud800", KEY, "customers"),
    ],
)
def test_a_cursor_from_elsewhere_is_refused(cursor: str, key: bytes, scope: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_cursor(cursor, key, tuple[int, str], scope=scope)
    assert caught.value.code == "cursor"


def test_a_cursor_of_another_shape_is_refused() -> None:
    with pytest.raises(BadRequest):
        decode_cursor(encode_cursor(("a",), KEY), KEY, tuple[int])
