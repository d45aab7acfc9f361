"""The bars: what each row measures, which way is better and what it has to reach at which scale."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

NEVER = math.inf
SLACK = 0.7  # ratios spread by 25 % on small machines: a run fails only below this share of a bar


class Skipped(Exception):
    """A row cannot be measured here; the message says why."""


class Bar(msgspec.Struct, frozen=True):
    """One row's bar.

    Args:
        what: The product's side against the limit's, in a few words.
        direction: Whether a higher or a lower value is better.
        full: The bar at scale 1.
        unit: What `product` and `limit` are given in.
        small: The bar at scales below 1, where it is another one.
        gates_from: The scale from which a run fails on it; at smaller ones it is only printed.
    """

    what: str
    direction: Literal["higher", "lower"]
    full: float
    unit: str
    small: float | None = None
    gates_from: float = 0

    def gates(self, scale: float) -> bool:
        """Return whether a run at `scale` fails on it."""
        return scale >= self.gates_from

    def at(self, scale: float) -> float:
        """Return the bar at `scale`."""
        return self.full if scale >= 1 or self.small is None else self.small


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured row, as written with `--json`.

    Args:
        id: The row's name in the list of bars.
        value: The median of the pairs' ratios product / limit; for memory in MB the median itself.
        bar: What the value has to reach.
        direction: Whether a higher or a lower value is better.
        low: The lowest of the pairs' values.
        high: The highest of them.
        pairs: How many interleaved pairs were run.
        product: The median of the product's side, in `unit`.
        limit: The median of the limit's side, in `unit`.
        unit: What the two are given in.
    """

    id: str
    value: float
    bar: float
    direction: Literal["higher", "lower"]
    low: float
    high: float
    pairs: int
    product: float
    limit: float
    unit: str

    @property
    def share(self) -> float:
        """How much of the bar is reached: 1 is exactly the bar, more is better in either direction."""
        return self.value / self.bar if self.direction == "higher" else self.bar / self.value

    @property
    def failed(self) -> bool:
        """Whether the row is so far below its bar that noise does not explain it."""
        return self.share < SLACK


BARS = {
    "I1": Bar("HTTP batch ingest / same SQL in process", "higher", 0.70, "events/s"),
    "I2": Bar("insert of 1000 event rows / raw unnest", "higher", 0.85, "rows/s"),
    "I3": Bar("insert of 1000 event rows / Piccolo insert", "higher", 3.5, "rows/s"),
    "I4": Bar("single-event POST / no-op POST, 64 connections", "higher", 0.40, "requests/s"),
    "I5": Bar("single-event POST grouped / one transaction each", "higher", 3, "requests/s"),
    "I6": Bar("decode and check 1000 over HTTP / bare ASGI, msgspec", "higher", 0.70, "events/s", gates_from=NEVER),
    "I7": Bar("replay of stored batches / fresh batches", "higher", 1.5, "events/s"),
    "I8": Bar("ingest, stats, log, 10 rules / identity and events alone", "higher", 0.35, "events/s"),
    "I10": Bar("web process's memory at the end / after 5 % of the events", "lower", 1.2, "MB"),
    "I11": Bar("import of customers / same SQL in process as I1", "higher", 0.5, "rows/s", gates_from=NEVER),
    "S6": Bar("time of ingest with stats / without", "lower", 1.6, "ms a batch"),
    "S1": Bar("condition for everybody / written by hand", "lower", 1.3, "ms"),
    "S2": Bar("condition on totals for everybody / sequential scan", "lower", 0.6, "ms", gates_from=1),
    # At small scales most of the few customers' millisecond is the statement's fixed cost.
    "S3a": Bar("changed customers, rule on totals / everybody", "lower", 1 / 25, "ms", small=1 / 15),
    "S3b": Bar("changed customers, rule on events / everybody", "lower", 1 / 5, "ms", small=1 / 4),
    "L1": Bar("log passed by 12 plugins / HTTP ingest", "higher", 5, "events/s"),
    "L2": Bar("worst delay beside an open transaction (limit: without)", "lower", 1, "s"),
    "L3": Bar("call of a hook nobody implements (limit: of nothing)", "lower", 1, "µs"),
    "Q2": Bar("worker in batches of 100 / arq", "higher", 5, "jobs/s"),
    "Q3": Bar("worker beside waiting timers / without any", "higher", 0.7, "jobs/s", gates_from=1),
    "Q5": Bar("wake-up for a job / LISTEN and NOTIFY", "lower", 20, "ms"),
    "Q6": Bar("lateness of timers / the worker's tick", "lower", 2, "ms"),
    "O1": Bar("customer by id / raw fetchrow", "higher", 0.50, "reads/s"),
    "O2": Bar("list of 100 customers over HTTP / raw fetch + encode", "higher", 0.5, "pages/s"),
    "D3": Bar("timeline of 50 events / sequential scan", "lower", 1 / 1000, "ms", small=1 / 60),
    "N1": Bar("customers by name, initials, digits, p95 / SELECT 1", "lower", 30, "ms"),
    "N2": Bar("merge of customers with 564 events / their raw UPDATE", "lower", 3, "ms"),
    "G1": Bar("HTTP ingest until 20 tag rules are evaluated / raw I1 limit", "higher", 0.15, "events/s"),
    "G2": Bar("worst lag of tag rules at 0.15 of I1's limit (limit: first half)", "lower", 5, "s"),
    "W1": Bar("page of the list of customers, p95 / SELECT 1", "lower", 120, "ms"),
    "W2": Bar("page of a customer and its parts, p95 / SELECT 1", "lower", 120, "ms"),
    "W3": Bar("home, tasks, events, duplicates, p95 / SELECT 1", "lower", 120, "ms"),
    "E1": Bar("first start with migrations / bare initdb + start", "lower", 4, "s"),
    "E2": Bar("warm start to the first 2xx / bare start + import", "lower", 2, "s"),
    "M1": Bar("web process's memory after start (limit: bare ASGI)", "lower", 150, "MB"),
    "M2": Bar("peak memory of an import (limit: interpreter)", "lower", 250, "MB"),
}


def judge(identifier: str, scale: float, ratios: list[float], product: float, limit: float) -> Row:
    """Return the row for a list of pair values.

    Args:
        identifier: A key of `BARS`.
        scale: The run's scale.
        ratios: One value a pair.
        product: The product's median, in the bar's unit.
        limit: The limit's median, in the bar's unit.
    """
    bar = BARS[identifier]
    return Row(
        id=identifier,
        value=middle(ratios),
        bar=bar.at(scale),
        direction=bar.direction,
        low=min(ratios),
        high=max(ratios),
        pairs=len(ratios),
        product=product,
        limit=limit,
        unit=bar.unit,
    )


def middle(values: list[float]) -> float:
    """Return the median."""
    ranked = sorted(values)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2
