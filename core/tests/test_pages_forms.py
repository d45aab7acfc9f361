"""Forms are made from structs; what was typed comes back with its errors; files are read in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from zhike.errors import BadRequest, TooLarge, UnsupportedType
from zhike.ui import FormError, asked
from zhike.ui.forms import Form, decode
from zhike.ui.upload import read_form


class Coupon(msgspec.Struct, kw_only=True):
    name: Annotated[str, asked("Name", help="Shown to staff", max_length=5)]
    count: Annotated[int, asked("Count", ge=1, le=9)] = 3
    share: Annotated[Decimal | None, asked("Share")] = None
    kind: Annotated[Literal["a", "b"], asked("Kind", options={"a": "First", "b": "Second"})] = "b"
    until: date | None = None
    tags: Annotated[list[str], asked("Tags", kind="tags")] = []
    several: list[Literal["x", "y"]] = []
    on: bool = True
    note: Annotated[str, asked("Note", kind="textarea")] = ""
    rule: Annotated[dict[str, Any] | None, asked("Rule", kind="condition")] = None


def test_a_form_shows_the_defaults_and_how_each_is_asked_for() -> None:
    form = Form(Coupon)
    shown = {field.name: (field.kind, field.value, field.required) for field in form.fields}
    assert shown == {
        "name": ("text", "", True),
        "count": ("integer", "3", False),
        "share": ("number", "", False),
        "kind": ("select", "b", False),
        "until": ("date", "", False),
        "tags": ("tags", [], False),
        "several": ("multi", [], False),
        "on": ("switch", True, False),
        "note": ("textarea", "", False),
        "rule": ("condition", "", False),
    }
    assert form["count"].limits == {"min": 1, "max": 9}
    assert form["name"].limits == {"maxlength": 5}
    assert str(form["name"].help) == "Shown to staff"
    assert [(value, str(label)) for value, label in form["kind"].options] == [("a", "First"), ("b", "Second")]
    assert [value for value, _ in form["several"].options] == ["x", "y"]


def test_what_was_typed_becomes_the_struct() -> None:
    typed = {
        "name": [" 茶 "], "count": ["7"], "share": ["0.5"], "kind": ["a"], "until": ["2026-02-28"],
        "rule": ['{"of":[1]}'],
        "several": ["x", "y"], "tags": ["红", ""], "on": ["on"], "note": [" two\nlines "], "csrf_token": ["0"],
    }  # fmt: skip
    assert decode(Coupon, typed) == Coupon(
        name="茶", count=7, share=Decimal("0.5"), kind="a", until=date(2026, 2, 28), several=["x", "y"], tags=["红"],
        on=True, note=" two\nlines ", rule={"of": [1]},
    )  # fmt: skip
    assert decode(Coupon, {"name": ["x"], "share": [""], "until": [""]}).on is False


def test_a_switch_that_is_off_is_not_sent_at_all() -> None:
    assert decode(Coupon, {"name": ["x"]}).on is False
    assert decode(Coupon, {"name": ["x"], "on": ["on"]}).on is True


@pytest.mark.parametrize(
    ("name", "typed", "error"),
    [
        ("name", "", "This is needed"),
        ("name", "sixsix", "At most 5 characters"),
        ("count", "0", "At least 1"),
        ("count", "10", "At most 9"),
        ("count", "two", "A whole number is expected"),
        ("share", "half", "A number is expected"),
        ("kind", "c", "One of the choices is expected"),
        ("rule", "{", "This does not fit"),
        ("rule", "[]", "This does not fit"),
        ("until", "2026-02-30", "A date is expected, such as 2026-01-31"),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_lost(name: str, typed: str, error: str) -> None:
    given = {"name": ["茶"], "note": ["kept"], "on": ["on"], name: [typed]}
    with pytest.raises(FormError) as caught:
        decode(Coupon, given)
    form = caught.value.form
    assert {field.name: str(field.error) for field in form.fields if field.error} == {name: error}
    assert form[name].value == typed
    assert form["note"].value == "kept"
    assert form["on"].value is True


class Address(msgspec.Struct, kw_only=True):
    city: Annotated[str, asked("City", max_length=5)]
    how: Annotated[str | None, asked("How", kind="select", options={"air": "By air", "sea": "By sea"})] = None


class Parcel(msgspec.Struct, kw_only=True):
    colour: Annotated[str, asked("Colour", kind="palette", options={"": "Usual", "red": "Red"})] = ""
    to: Annotated[Address | None, asked("Send it")] = None
    rule: Annotated[Any, asked("Rule", kind="condition")] = None


def test_a_struct_inside_a_struct_is_switched_on_with_its_own_fields() -> None:
    form = Form(Parcel, Parcel(to=Address(city="上海", how="rail")))
    assert (form["to"].kind, form["to"].on, form["rule"].on) == ("group", True, False)
    assert [value for value, _ in form["colour"].options] == ["", "red"]
    inside = form["to"].form
    assert inside is not None
    assert (inside["city"].name, inside["city"].value) == ("to.city", "上海")
    assert [value for value, _ in inside["how"].options] == ["air", "sea", "rail"]
    typed = {"to.on": ["", "1"], "to.city": ["北京"], "rule.on": [""], "rule": ["{"]}
    assert decode(Parcel, typed) == Parcel(to=Address(city="北京"))
    assert decode(Parcel, {**typed, "to.on": [""]}) == Parcel()
    with pytest.raises(FormError) as caught:
        decode(Parcel, {**typed, "to.city": ["sixsix"], "rule.on": ["1"]})
    form = caught.value.form
    inside = form["to"].form
    assert inside is not None
    assert (inside["city"].value, str(inside["city"].error)) == ("sixsix", "At most 5 characters")
    assert (form["rule"].value, str(form["rule"].error)) == ("{", "This does not fit")


def test_what_somebody_else_saved_is_told_apart() -> None:
    mine = Form(Parcel, Parcel(colour="red", rule={"a": 1, "b": 2}, to=Address(city="上海")))
    theirs = Form(Parcel, Parcel(rule={"b": 2, "a": 1}, to=Address(city="北京")))
    assert [field.name for field in mine.differing(theirs)] == ["colour", "to"]
    assert [field.name for field in mine.differing(Form(Parcel))] == ["colour", "to", "rule"]
    assert mine.differing(mine) == []


class Patience(msgspec.Struct, kw_only=True):
    idle: Annotated[float, asked("Idle", kind="duration", ge=60, le=86_400)] = 8 * 3_600
    most: Annotated[int | None, asked("Most", kind="duration")] = None


@pytest.mark.parametrize(
    ("seconds", "held"),
    [(86_400, "1 86400"), (5_400, "90 60"), (0.5, "0.5 1"), (61.0, "61 1"), (0, "0 1")],
)
def test_a_length_of_time_is_a_number_of_the_greatest_unit_that_fits(seconds: float, held: str) -> None:
    form = Form(Patience, Patience(idle=seconds))
    assert (form["idle"].kind, form["idle"].value, form["most"].value) == ("duration", held, "")
    number, unit = held.split()
    typed = {"idle": [number], "idle.unit": [unit], "most": ["1.5"], "most.unit": ["3600"]}
    if 60 <= seconds <= 86_400:
        assert decode(Patience, typed) == Patience(idle=seconds, most=5_400)
    else:
        with pytest.raises(FormError):
            decode(Patience, typed)


@pytest.mark.parametrize(
    ("typed", "unit", "error"),
    [
        ("30", "1", "At least 1 min"),
        ("2", "86400", "At most 1 d"),
        ("half", "60", "A number is expected"),
        ("1e9", "60", "A number is expected"),
        ("-3", "60", "A number is expected"),
        ("3", "7", "At least 1 min"),  # no unit of ours: seconds
    ],
)
def test_a_length_that_does_not_fit_is_told_in_units(typed: str, unit: str, error: str) -> None:
    with pytest.raises(FormError) as caught:
        decode(Patience, {"idle": [typed], "idle.unit": [unit]})
    form = caught.value.form
    assert (form["idle"].value.split()[0], str(form["idle"].error)) == (typed, error)


def body(*pieces: bytes, cut: bool = False) -> Any:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(left)

    return receive


MULTIPART = {b"content-type": b"multipart/form-data; boundary=xyz"}
HEAD = (
    b'--xyz\r\nContent-Disposition: form-data; name="kind"\r\n\r\nevents\r\n--xyz\r\n'
    b'Content-Disposition: form-data; name="file"; filename="C:\\temp\\\xe5\xae\xa2.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n"
)


async def pieces_of(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_a_file_is_read_in_pieces_after_the_fields(size: int) -> None:
    whole = HEAD + b"a,b\r\n--xy\r\n1,2" + b"\r\n--xyz--\r\n"
    sent = [whole[at : at + size] for at in range(0, len(whole), size)]
    fields, upload = await read_form(body(*sent), MULTIPART)
    assert fields == {"kind": ["events"]}
    assert upload is not None
    assert (upload.name, upload.media_type) == ("客.csv", "text/csv")
    assert await pieces_of(upload.pieces) == b"a,b\r\n--xy\r\n1,2"


@pytest.mark.parametrize("cut", [True, False])
async def test_a_file_that_is_cut_off_is_an_error(cut: bool) -> None:
    _, upload = await read_form(body(HEAD + b"a,b", b"1,2", cut=cut), MULTIPART)
    assert upload is not None
    with pytest.raises(BadRequest):
        await pieces_of(upload.pieces)


@pytest.mark.parametrize(
    ("headers", "sent", "error"),
    [
        ({b"content-type": b"application/json"}, b"{}", UnsupportedType),
        ({b"content-type": b"multipart/form-data"}, b"--x", BadRequest),
        (MULTIPART, b"no boundary at all", BadRequest),
        ({}, b"a=%ff", BadRequest),
        ({}, b"a=" + b"x" * 3_000_000, TooLarge),
        ({}, b"&".join([b"a=1"] * 5_001), BadRequest),
    ],
)
async def test_what_is_no_form_is_refused(headers: dict[bytes, bytes], sent: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await read_form(body(sent), headers)
