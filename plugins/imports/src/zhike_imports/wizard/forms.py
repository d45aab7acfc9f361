"""What is said of a file on the page of its columns, as the import takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zhike.api import Id
from zhike.errors import BadRequest
from zhike.i18n import Text, text
from zhike_imports.columns.mapping import Kind
from zhike_imports.schemas import Options

Separator = Literal["", "comma", "tab", "semicolon", "bar", "blanks"]
SEPARATORS: Mapping[str, str | None] = {
    "": None,
    "comma": ",",
    "tab": "\t",
    "semicolon": ";",
    "bar": "|",
    "blanks": " ",
}
ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,49}")
_Short = Annotated[str, Meta(max_length=500)]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is read: what the page's address says of it.

    Args:
        kind: What it is of; None to find out.
        encoding: Its encoding; "" to find out.
        separator: What stands between two values.
        sheet: The sheet of a workbook.
        profile: The profile by which its columns are mapped.
        like: The import, or dry run, whose mapping is to be changed.
    """

    kind: Kind | None = None
    encoding: Literal["", "utf-8", "gb18030", "utf-16-le", "utf-16-be"] = ""
    separator: Separator = ""
    sheet: _Short = ""
    profile: Id | None = None
    like: Id | None = None

    @property
    def options(self) -> Options:
        """The same as an import takes it."""
        return Options(
            kind=self.kind or "events",
            encoding=self.encoding or None,
            delimiter=SEPARATORS[self.separator],
            sheet=self.sheet or None,
        )


def reading(options: Options) -> Reading:
    """Return how a file is read by what was said of it before."""
    names = {delimiter: name for name, delimiter in SEPARATORS.items()}
    known: dict[str, str] = {"separator": names.get(options.delimiter, ""), "sheet": options.sheet or ""}
    known["encoding"] = options.encoding if options.encoding in ENCODINGS else ""
    return msgspec.convert({"kind": options.kind, **known}, Reading)


def read_as(options: Options, how: Reading) -> Options:
    """Return what was said of files like this, read as the page's address says, as far as it does."""
    said = how.options
    return msgspec.structs.replace(
        options,
        encoding=said.encoding or options.encoding,
        delimiter=said.delimiter or options.delimiter,
        sheet=said.sheet or options.sheet,
    )


def columns(form: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the columns that a form shows.

    Raises:
        BadRequest: If they cannot be told.
    """
    try:
        return msgspec.json.decode((form.get("columns") or ["[]"])[-1], type=list[str])
    except msgspec.DecodeError:
        raise BadRequest(text("The form is not readable; load the page again")) from None


def chosen(form: Mapping[str, Sequence[str]], place: int, column: str) -> tuple[str, str]:
    """Return what the select of a column holds, and the name beside it."""
    value = (form.get(f"target_{place}") or ["ignore"])[-1]
    return value, (form.get(f"called_{place}") or [""])[-1].strip() or (column if value.endswith(":") else "")


def said(form: Mapping[str, Sequence[str]], how: Reading) -> tuple[Options, dict[str, Text]]:
    """Return what was said of a file, and what is wrong with it by column.

    Args:
        form: What was posted.
        how: How the file is read.
    """
    errors: dict[str, Text] = {}
    maps: list[str] = []
    names = columns(form)
    for place, column in enumerate(names):
        value, called = chosen(form, place, column)
        if value == "identity:" and not _NAMESPACE.fullmatch(called):
            errors[column] = text("Give it a short name of small letters, digits and _, such as erp_no")
        maps.append(f"{column}={value}{called if value.endswith(':') else ''}")
    keys = {int(each) for each in form.get("key", ()) if each.isdecimal()}
    options = msgspec.structs.replace(
        how.options,
        event=_one(form, "event") or None,
        maps=tuple(maps),
        key=tuple(column for place, column in enumerate(names) if place in keys),
        source=_one(form, "source"),
    )
    return options, errors


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    return (form.get(name) or [""])[-1].strip()[:200]
