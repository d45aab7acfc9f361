"""The customers for whom something crossed the edge of a time window between two instants.

Only they can have come to satisfy a condition, or ceased to, while nothing happened: an event left a window, or its
time came; the age of one reached a number of days; a date became an anniversary; a relation's row began or ceased to
be valid. They are found by scans of ranges, and no row per customer is kept for it. Some may be among them for whom
nothing changed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from zhike.conditions.checked import Checked, EventTest, FieldTest, Leaf, Measure, Moment, Relation, TrendTest, leaves
from zhike.conditions.compiler.context import Context
from zhike.conditions.compiler.fields import left_sql
from zhike.conditions.compiler.measures import rows_sql
from zhike.conditions.compiler.passage import EARLIEST, Passage, Span, merged
from zhike.conditions.dependencies import TIMED
from zhike.conditions.durations import Duration

_NOBODY = "SELECT id FROM customer WHERE false"


def compile_edges(checked: Checked, t0: datetime, t1: datetime, zone: ZoneInfo) -> tuple[str, list[Any]]:
    """Return the statement over the ids of customers for whom something crossed an edge between two instants.

    Whoever evaluates these customers anew at one of the two, having evaluated everybody at any instant from the one
    to the other, has what a full evaluation finds. Where the clock has been set back meanwhile, that takes the
    earliest and the latest instant since.

    Args:
        checked: The condition.
        t0: An aware instant.
        t1: Another one, before or after it.
        zone: The deployment's zone.

    Returns:
        The SQL, whose rows have the one column `customer_id` without duplicates, and the values of its places.
    """
    passage = Passage(t0, t1, zone)
    context = Context(Moment(passage.end, zone.key))
    scans = _Scans(passage, context)
    for leaf in leaves(checked):
        scans.add(leaf)
    return scans.statement(), context.params.values


class _Scans:
    """Collects what has to be scanned.

    Args:
        passage: The time in which edges are crossed.
        context: The statement's; its now is the end of that time.
    """

    def __init__(self, passage: Passage, context: Context) -> None:
        self._passage = passage
        self._context = context
        self._events: dict[str, list[Span]] = {}
        self._others: dict[str, None] = {}

    def statement(self) -> str:
        """Return the statement of all scans; each customer is in it once."""
        scans = [self._event_scan(rows, spans) for rows, spans in self._events.items()] + list(self._others)
        return f"SELECT DISTINCT customer_id FROM ({' UNION ALL '.join(scans) or _NOBODY}) AS crossed (customer_id)"

    def add(self, leaf: Leaf) -> None:
        """Add what a leaf needs."""
        now, before = self._passage.now, self._passage.before
        match leaf:
            case FieldTest(field=Relation() as relation):
                self._add_relation(leaf, relation)
            case FieldTest():
                if crossed := self._crossed(leaf):
                    self._others[f"SELECT id FROM customer WHERE {crossed}"] = None
            case EventTest(within=None):
                self._add_events(leaf.measure, [now, *self._ages(leaf)], since=None)
            case EventTest(within=Duration() as within):
                begin = before(within)
                self._add_events(leaf.measure, [now, begin, *self._ages(leaf)], since=begin)
            case TrendTest(within=within):
                begin = before(within, windows=2)
                self._add_events(leaf.measure, [now, before(within), begin], since=begin)

    def _ages(self, test: EventTest) -> list[Span]:
        return self._passage.ages(test.comparison) if test.measure.name.startswith("days_since") else []

    def _add_events(self, measure: Measure, edges: list[Span], since: Span | None) -> None:
        where = measure.where
        tests = [] if where is None else [leaf for leaf in leaves(where) if isinstance(leaf, FieldTest)]
        timed = [crossed for test in tests if (crossed := self._crossed(test))]
        if any(test.comparison.op in TIMED for test in tests):
            # Whether it holds for an event is not the same at all instants in between.
            measure = msgspec.structs.replace(measure, where=None)
        rows = rows_sql(measure, self._context, windowed=True)
        self._events.setdefault(rows, []).extend(edges)
        if timed:
            span = (EARLIEST if since is None else since[0], self._passage.end)
            self._events.setdefault(f"{rows} AND ({' OR '.join(timed)})", []).append(span)

    def _event_scan(self, rows: str, spans: list[Span]) -> str:
        ends = [self._bind(tuple(side), "timestamptz[]") for side in zip(*merged(spans), strict=True)]
        # With OFFSET each span is looked up in the index by itself.
        return (
            f"SELECT span.customer_id FROM unnest({', '.join(ends)}) AS edge (low, high), LATERAL (SELECT customer_id"
            f" FROM event WHERE {rows} AND occurred_at > edge.low AND occurred_at <= edge.high OFFSET 0) AS span"
        )

    def _add_relation(self, test: FieldTest, relation: Relation) -> None:
        if crossed := self._crossed(test):
            self._others[f"SELECT customer_id FROM {relation.table} WHERE {crossed}"] = None
        if not relation.history:
            return
        spans = [self._passage.now]
        if test.held_for is not None:
            spans.append(self._passage.before(test.held_for))
        for column in ("valid_from", "valid_to"):
            self._others[f"SELECT customer_id FROM {relation.table} WHERE {self._within(column, spans)}"] = None
        if test.held_for is not None and relation.many and test.comparison.negated:
            known = self._within("created_at", spans[1:])
            self._others[f"SELECT id FROM customer WHERE {known}"] = None

    def _crossed(self, test: FieldTest) -> str:
        """Return the predicate that a field's instant crossed an edge of its test; empty when none can have."""
        comparison = test.comparison
        if comparison.op == "within_last":
            spans = [self._passage.now, self._passage.before(comparison.values[0])]
            return self._within(self._instant(test), spans)
        if comparison.op == "anniversary":
            dates = self._passage.anniversaries(comparison.values[0] if comparison.values else None)
            if dates:
                zone, near = self._bind(self._context.zone.key, "text"), tuple(f"{date:04}" for date in dates)
                return f"to_char({self._instant(test)} AT TIME ZONE {zone}, 'MMDD') = ANY({self._bind(near, 'text[]')})"
        return ""

    def _instant(self, test: FieldTest) -> str:
        if isinstance(test.field, Relation):
            return "value"
        return left_sql(test.field, "instant", self._context, presence=False)

    def _within(self, instant: str, spans: list[Span]) -> str:
        """Return the predicate that an instant is in one of some spans, or at the begin of one."""
        ends = [[self._bind(end, "timestamptz") for end in span] for span in merged(spans)]
        return f"({' OR '.join(f'{instant} BETWEEN {low} AND {high}' for low, high in ends)})"

    def _bind(self, value: Any, type_: str) -> str:
        return self._context.params.bind(value, type_)
