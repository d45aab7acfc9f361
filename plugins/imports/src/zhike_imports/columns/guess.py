"""What columns probably mean, from their names and their first values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from zhike_imports.columns import amounts, dates, vocabulary
from zhike_imports.columns.mapping import TARGETS, Kind, Mapping, Target, parse_option

_SAMPLED = 200
EXPORTED_ID = "zhike_id"
EXPORTED = ("identity:", "attribute:")
"""How columns of our own exports begin, which say themselves what they are."""
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}[:：时]\d{1,2}.*")
_ID_NAME = re.compile(
    r"(?:id|no|code|sku|zip|postcode|phone|mobile|tel|编号|单号|编码|代码|号码|邮编|号|电话|手机)$",
    re.IGNORECASE,
)


class Sample(msgspec.Struct, frozen=True):
    """The first rows of a file.

    Args:
        columns: Column names in the file's order.
        values: For each column its values that are not empty.
        typed: Whether the file itself tells numbers from texts, as JSON does.
    """

    columns: tuple[str, ...]
    values: dict[str, list[str]]
    typed: bool = False


def number_columns(sample: Sample) -> frozenset[str]:
    """Return the columns that hold plain numbers only and are not called like an id.

    `00123`, `1e3` and what has more than 15 digits are no plain numbers: such a column stays text.
    """
    return frozenset(
        column
        for column in sample.columns
        if not sample.typed
        and sample.values[column]
        and not _ID_NAME.search(column.strip())
        and all(is_number(value) for value in sample.values[column])
    )


def is_number(value: str) -> bool:
    """Say whether a text is a number that JSON writes in the same way and every reader keeps exactly."""
    return _NUMBER.fullmatch(value) is not None and sum(map(str.isdigit, value)) <= 15


def guess(sample: Sample, *, event: str | None, zone: ZoneInfo) -> Mapping:
    """Guess every column's target.

    A name alone makes an identity; a time and an amount need values that can be read as such. What is not
    recognised becomes a property under its own name.

    Args:
        sample: The file's first rows.
        event: The event name of `--event`, or None.
        zone: The deployment's zone.

    Returns:
        A target for each column.
    """
    by_name: dict[str, str] = {}
    for column in sample.columns:
        by_name.setdefault(_plain(column), column)
    chosen: Mapping = {}

    def take(names: str, target: Target, fits: Callable[[str], bool] = lambda column: True) -> None:
        column = next((by_name[n] for n in names.split() if n in by_name and fits(by_name[n])), None)
        if column is not None and column not in chosen:
            chosen[column] = target

    for namespace, names in vocabulary.IDENTITIES.items():
        take(names, Target("identity", namespace))
    take(
        vocabulary.TIMES,
        Target("occurred_at"),
        lambda column: _mostly(sample.values[column], lambda v: dates.read(v, zone)),
    )
    take(vocabulary.AMOUNTS, Target("amount"), lambda column: _mostly(sample.values[column], _any_amount))
    for kind, names in vocabulary.OTHERS.items():
        if kind != "name" or event is None:
            take(names, Target(kind))
    if any(target.kind == "occurred_at" for target in chosen.values()):
        take(vocabulary.CLOCKS, Target("occurred_at"), lambda column: _is_clock(sample.values[column]))
    take(vocabulary.CUSTOMER_NAMES + (" name" if event is not None else ""), Target("trait", "name"))
    if event is None and not any(target.kind == "name" for target in chosen.values()):
        take("name", Target("name"))
    for column in vocabulary.REJECT_COLUMNS:
        if column in sample.columns:
            chosen[column] = Target("ignore")
    return complete("events", chosen, sample)


def guess_customers(sample: Sample) -> Mapping:
    """Guess every column's target in a file of customers, by its name alone.

    What is not recognised becomes an attribute under its own name.
    """
    by_name: dict[str, str] = {}
    for column in sample.columns:
        by_name.setdefault(_plain(column), column)
    numbers = number_columns(sample)
    wanted = {f"identity:{key}": names for key, names in vocabulary.IDENTITIES.items() if key not in {"phone", "email"}}
    wanted |= vocabulary.CUSTOMERS | vocabulary.CUSTOMER_ATTRIBUTES
    chosen: Mapping = {column: Target("ignore") for column in vocabulary.REJECT_COLUMNS if column in sample.columns}
    for column in sample.columns:
        if column == EXPORTED_ID:
            chosen[column] = Target("ignore")
        elif column.startswith(EXPORTED):
            chosen[column] = parse_option("customers", f"{column}={column}", sample.columns, numbers=numbers)[1]
    for target, names in wanted.items():
        found = next((by_name[name] for name in names.split() if name in by_name), None)
        if found is not None and found not in chosen:
            chosen[found] = parse_option("customers", f"{found}={target}", sample.columns, numbers=numbers)[1]
    return complete("customers", chosen, sample)


def complete(kind: Kind, chosen: Mapping, sample: Sample) -> Mapping:
    """Return `chosen` in the file's order with the other columns as properties or attributes of their own names."""
    numbers = number_columns(sample)
    rest = {
        column: Target(TARGETS[kind].rest, column, number=True if column in numbers else None)
        for column in sample.columns
        if column not in chosen
    }
    return {**{column: chosen.get(column) or rest[column] for column in sample.columns}, **chosen}


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.()（）]+", "", name.casefold())


def _mostly(values: Sequence[str], read: Callable[[str], object]) -> bool:
    good = 0
    for value in values[:_SAMPLED]:
        try:
            read(value)
            good += 1
        except ValueError:
            continue
    return good > 0 and good * 2 >= len(values[:_SAMPLED])


def _any_amount(value: str) -> object:
    currency = next((meant[0] for sign, meant in amounts.SIGNS.items() if sign in value.upper()), "CNY")
    return amounts.read(value, currency)


def _is_clock(values: Sequence[str]) -> bool:
    return bool(values) and all(_CLOCK.fullmatch(value) for value in values[:_SAMPLED])
