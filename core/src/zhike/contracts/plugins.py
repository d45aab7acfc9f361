"""What else a plugin adds: commands, fields of conditions, rows about customers, and how it is doing."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zhike.contracts._names import Label, Name


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A subcommand of `zhike`.

    Args:
        name: Its word on the command line.
        target: The click command, as `module:attribute`; imported when it is called.
        summary: One line for `zhike --help`.
    """

    name: Name
    target: str
    summary: str


class ConditionField(msgspec.Struct, frozen=True, kw_only=True):
    """Something that conditions can ask about customers, and where the answers stand.

    Args:
        key: Such as `tags` or `rfm.class`; it begins with the plugin's name or a noun the plugin claims.
        label: Name for people.
        type: What a value is.
        relation: A table or view of the plugin with the columns `customer_id` (a whole number, with an index) and
            `value`. A customer without a row, or with null, has no value.
        changed_by: Names of the event types after which the value may be another one. They are recorded with the
            change itself: an event that the plugin has yet to react to comes too early.
        ops: The operators that are offered; all that fit the type when left out.
        many: Whether a customer may have several rows, whose values are asked for one by one.
        history: Whether the relation has `valid_from` and `valid_to` too (null while it lasts), both with time zone,
            so that `for` can ask how long something has held. Rows of one customer that are about single values
            do not overlap.
    """

    key: Name
    label: Label
    type: Literal["text", "number", "boolean", "instant"]
    relation: Annotated[str, Meta(pattern=r"\A[a-z_][a-z0-9_]{0,62}\Z")]
    changed_by: Annotated[tuple[Name, ...], Meta(min_length=1)]
    ops: tuple[str, ...] = ()
    many: bool = False
    history: bool = False


class CustomerRows(msgspec.Struct, frozen=True, kw_only=True):
    """A table with rows about customers, which the core moves, exports and erases also while the plugin is off.

    Args:
        table: Its name, which begins with the plugin's.
        column: The column that holds the customer's id.
        on_merge: `move` to the winner (a row that would break a unique key there is deleted), `delete`, `null`,
            `keep` with the loser until the merge is undone, or `hook` when only `merge_customer_data` can do it.
        on_erase: `delete`, `null`, or `hook` for `erase_customer_data`.
        derived: A boolean column that is true for rows which only follow from others (a tag by rule). They go with a
            customer whom an import has made, when it is undone; any other row keeps that customer.
    """

    table: Name
    column: Name = "customer_id"
    on_merge: Literal["move", "delete", "null", "keep", "hook"] = "move"
    on_erase: Literal["delete", "null", "hook"] = "delete"
    derived: Name | None = None


class HealthItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a plugin says about how it is doing.

    Args:
        key: A stable word for programs.
        ok: Whether it is fine.
        detail: What is wrong, or a figure, for people.
    """

    key: str
    ok: bool
    detail: Label = ""
