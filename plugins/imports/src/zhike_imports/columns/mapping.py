"""What each column of a file means: parsed from `--map`, checked, and written the same way it is read."""

from __future__ import annotations

from collections.abc import Mapping as Mappings
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from zhike.errors import Refused
from zhike.i18n import text

Kind = Literal["events", "customers"]


class Targets(NamedTuple):
    """What columns can become in files of one kind.

    Args:
        single: Targets without a key.
        keyed: Those with one.
        rest: What columns become that nothing is said about.
        listed: All of them for people.
    """

    single: frozenset[str]
    keyed: frozenset[str]
    rest: str
    listed: str


TARGETS: Mappings[Kind, Targets] = {
    "events": Targets(
        frozenset({"amount", "currency", "name", "message_id", "source", "occurred_at", "ignore"}),
        frozenset({"identity", "trait", "property", "text", "number"}),
        "property",
        "identity:<namespace>, occurred_at, amount, currency, name, message_id, source, "
        "trait:<key>, property:<key>, text:<key>, number:<key>, ignore",
    ),
    "customers": Targets(
        frozenset(
            {"name", "phone", "email", "company", "kind", "stage", "owner", "team", "source"}
            | {"created_at", "updated_at", "ignore"}
        ),
        frozenset({"identity", "attribute", "text", "number", "date", "list"}),
        "attribute",
        "identity:<namespace>, name, phone, email, company, kind, stage, owner, team, source, created_at, updated_at, "
        "attribute:<key>, text:<key>, number:<key>, date:<key>, list:<key>, ignore",
    ),
}


class Target(msgspec.Struct, frozen=True):
    """What one column becomes.

    Args:
        kind: One of the words in `TARGETS`, but for `text` and `number`, which are kinds of properties or attributes.
        key: Namespace of an identity, key of a trait, property or attribute.
        number: Whether a trait's, property's or attribute's values that are numbers become JSON numbers (True) or
            stay text (False). None leaves them as the file has them: text, or in JSON Lines any JSON value.
    """

    kind: str
    key: str = ""
    number: bool | None = None

    def __str__(self) -> str:
        if self.kind in {"property", "attribute"} and self.number is not None:
            return f"{'number' if self.number else 'text'}:{self.key}"
        return f"{self.kind}:{self.key}" if self.key else self.kind


Mapping = dict[str, Target]
"""Column name to what it becomes, in the order of the file."""


def parse_option(kind: Kind, option: str, columns: Sequence[str], *, numbers: frozenset[str]) -> tuple[str, Target]:
    """Parse one `--map column=target`.

    Args:
        kind: What the file is of.
        option: As given; the column's name may itself contain `=`.
        columns: The file's columns.
        numbers: Columns whose values all look like numbers.

    Raises:
        Refused: If there is no such column or no such target.
    """
    places = [place for place, character in enumerate(option) if character == "="]
    if not places:
        raise Refused(
            text(
                "--map {option!r} has no '='; expected COLUMN=TARGET, TARGET one of {targets}",
                option=option,
                targets=TARGETS[kind].listed,
            )
        )
    place = next((place for place in places if option[:place].strip() in columns), places[0])
    column, target = option[:place].strip(), option[place + 1 :].strip()
    if columns and column not in columns:
        raise Refused(
            text(
                "there is no column {column!r}; the columns are {columns}",
                column=column,
                columns=", ".join(columns),
            )
        )
    return column, _target(TARGETS[kind], option, target, number=column in numbers)


def _target(targets: Targets, option: str, target: str, *, number: bool) -> Target:
    kind, colon, key = target.partition(":")
    key = key.strip()
    if kind in targets.keyed and colon and key:
        if kind in {"text", "number"}:
            return Target(targets.rest, key, number=kind == "number")
        return Target(kind, key, number=True if number and kind in {"trait", "property", "attribute"} else None)
    if not colon and kind in targets.single:
        return Target(kind)
    raise Refused(
        text("--map {option!r} names no target; expected one of {targets}", option=option, targets=targets.listed)
    )


def check(kind: Kind, mapping: Mapping, *, event: str | None) -> None:
    """Refuse a mapping from which no event or customer can be made.

    Args:
        kind: What the file is of.
        mapping: Every column's target.
        event: The event name of `--event`, or None.

    Raises:
        Refused: If it has no identity, or for events no time or name, or gives two columns to one place.
    """
    columns = ", ".join(mapping)
    kinds = [target.kind for target in mapping.values()]
    if not {"identity", *(("phone", "email") if kind == "customers" else ())}.intersection(kinds):
        raise Refused(
            text(
                "no column says who the customer is; say --map COLUMN=identity:external_id ({columns})",
                columns=columns,
            )
        )
    if kind == "events" and "occurred_at" not in kinds:
        raise Refused(
            text(
                "no column says when it happened; say --map COLUMN=occurred_at (columns: {columns})",
                columns=columns,
            )
        )
    if kind == "events" and event is None and "name" not in kinds:
        raise Refused(
            text(
                "nothing names the events; say --event order.paid or --map COLUMN=name (columns: {columns})",
                columns=columns,
            )
        )
    _refuse_doubles(mapping)


def _refuse_doubles(mapping: Mapping) -> None:
    seen: dict[tuple[str, str], str] = {}
    for column, target in mapping.items():
        if target.kind in {"ignore", "occurred_at"}:
            continue
        place = (target.kind, target.key)
        if place in seen:
            raise Refused(
                text(
                    "columns {first!r} and {second!r} are both mapped to {target}",
                    first=seen[place],
                    second=column,
                    target=target,
                )
            )
        seen[place] = column


def described(mapping: Mappings[str, Target]) -> dict[str, str]:
    """Return the mapping as texts, for people and for telling whether two runs are the same."""
    return {column: str(target) for column, target in mapping.items()}
