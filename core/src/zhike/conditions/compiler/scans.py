"""One reading of a customer's events for all that several conditions measure over events of the same names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from zhike.conditions.checked import Checked, EventTest, TrendTest, leaves
from zhike.conditions.compiler.context import Context
from zhike.conditions.compiler.measures import Value, names_sql

Names = tuple[str, ...]
"""Of the events that are measured, as `Measure.events`: empty for all behaviours."""


class Scan:
    """A reading whose columns are the measures.

    Args:
        alias: Its name in the statement.
        names: The events it reads.
        among: Ids of the customers whose events are read; for others all measures are missing.
    """

    def __init__(self, alias: str, names: Names, among: tuple[int, ...]) -> None:
        self._alias, self._names, self._among = alias, names, among
        self._columns: dict[str, str] = {}
        self._since: list[datetime | None] = []

    def column(self, value: Value, since: datetime | None) -> Value:
        """Return a measure as it is read here.

        Args:
            value: Its aggregate over `event`, which picks the rows it needs itself.
            since: Before which it needs none; None if it may need all.
        """
        self._since.append(since)
        dividend, divisor = (
            each and f"{self._alias}.{self._columns.setdefault(each, f'm{len(self._columns)}')}"
            for each in (value.dividend, value.divisor)
        )
        return Value(dividend, divisor)

    def sql(self, context: Context) -> str:
        """Return the join that reads, or "" if nothing is measured."""
        if not self._columns:
            return ""
        columns = ", ".join(f"{sql} AS {name}" for sql, name in self._columns.items())
        parts = [
            "event.customer_id = customer.id",
            f"customer.id = ANY({context.params.bind(self._among, 'bigint[]')})",
            names_sql(self._names, context, "event.name") if self._names else "event.behaviour",
            context.window(None),
        ]
        known = [each for each in self._since if each is not None]
        if len(known) == len(self._since):
            parts.append(f"event.occurred_at > {context.params.bind(min(known), 'timestamptz')}")
        return f" CROSS JOIN LATERAL (SELECT {columns} FROM event WHERE {' AND '.join(parts)}) AS {self._alias}"


NOTHING: Mapping[Names, Scan] = {}
"""For statements whose leaves read apart."""


def scans_of(asked: Sequence[tuple[Checked, Sequence[int]]]) -> dict[Names, Scan]:
    """Return the readings that are worth it: of events that are measured more than once.

    Args:
        asked: Conditions, each with the ids of the customers it is asked about.
    """
    times: Counter[Names] = Counter()
    among: dict[Names, dict[int, None]] = defaultdict(dict)
    for checked, ids in asked:
        for leaf in leaves(checked):
            if isinstance(leaf, EventTest | TrendTest):
                times[leaf.measure.events] += 1
                among[leaf.measure.events] |= dict.fromkeys(ids)
    shared = [names for names, n in times.items() if n > 1]
    return {names: Scan(f"seen{place}", names, tuple(among[names])) for place, names in enumerate(shared, 1)}
