"""The part of a page's address after the question mark, as a struct."""

from __future__ import annotations

import functools
import typing
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec

from zhike.errors import BadRequest
from zhike.i18n import text

Query = TypeVar("Query", bound=msgspec.Struct)


def parse(query: str, struct: type[Query]) -> Query:
    """Return the parameters of an address.

    Those that are empty count as left out, those that are unknown are passed over: links come from everywhere.

    Args:
        query: What stands after the question mark.
        struct: The parameters; those that are lists may come several times, of others the last one counts.

    Raises:
        BadRequest: If it is not readable, or a value does not fit; the message names it.
    """
    try:
        given = parse_qs(query, errors="strict", max_num_fields=500)
    except ValueError:
        raise BadRequest(text("The query is not readable; expected percent-encoded UTF-8")) from None
    hints = _hints(struct)
    values = {}
    for field in msgspec.structs.fields(struct):
        if field.encode_name not in given:
            continue
        texts = given[field.encode_name]
        value = texts if _many(hints[field.name]) else texts[-1]
        try:
            values[field.name] = msgspec.convert(value, hints[field.name], strict=False)
        except msgspec.ValidationError:
            shown = texts[-1][:100]
            raise BadRequest(
                text("{name} is {value!r}, which does not fit", name=field.encode_name, value=shown)
            ) from None
    try:
        return struct(**values)
    except TypeError:
        needed = ", ".join(field.encode_name for field in msgspec.structs.fields(struct) if field.required)
        raise BadRequest(text("The address lacks what it must have: {names}", names=needed)) from None


@functools.cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(struct, include_extras=True)


def _many(hint: object) -> bool:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _many(typing.get_args(hint)[0])
    return origin in {list, tuple}
