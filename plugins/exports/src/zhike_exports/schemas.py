"""What an export can be asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Kind = Literal["customers", "events"]
Format = Literal["csv", "jsonl", "xlsx"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be exported.

    Args:
        format: CSV, a workbook (XLSX), or JSON Lines, which lose nothing.
        condition: Only the customers for whom it holds, or their events; everybody's without it.
        q: Only customers whom this search finds, as in `GET /customers?q=`, or their events.
        fields: The columns or members, in this order; all without it.
        since: Only events that occurred then or later; customers changed then or later.
        until: Only events that occurred before; customers changed before.
        bom: Whether a CSV file begins with the mark by which Excel knows UTF-8.
    """

    format: Format = "csv"
    condition: Any = None
    q: Annotated[str, Meta(max_length=1_000)] = ""
    fields: Annotated[tuple[str, ...], Meta(max_length=500)] = ()
    since: datetime | None = None
    until: datetime | None = None
    bom: bool = True


class WantedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `GET /exports/…`.

    Args:
        format: `csv`, `xlsx` or `jsonl`.
    """

    format: Format = "csv"


class Exported(msgspec.Struct):
    """How far an export is.

    Args:
        rows: Rows that were handed out.
        whole: Whether these are all.
    """

    rows: int = 0
    whole: bool = False
