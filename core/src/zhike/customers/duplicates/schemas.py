"""What the API of duplicates takes and answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zhike.api import MAX_ID, Id, PageQuery
from zhike.customers.service import Customer

State = Literal["open", "later", "distinct"]
Score = Annotated[int, Meta(ge=0, le=99)]
_Rule = Annotated[str, Meta(max_length=50)] | None


class Reason(Struct, frozen=True):
    """Why two customers may be one.

    Args:
        rule: For programs: what ingest has found, or the name of a rule.
        text: For people, in the reader's language.
    """

    rule: str
    text: str


class Pair(Struct, frozen=True, kw_only=True):
    """Two customers who may be one.

    Args:
        id: Its id.
        customer_ids: The two, the older one first.
        customers: Both as the caller is shown them.
        reason: How it came up: `strong_identity`, `weak_identity`, `many_events` or `refused` (a plugin cannot merge
            them) by an event, `unmerged`, or `detected`.
        namespace: Of the identity that an event named; null where the caller does not see any of it.
        reasons: What they have in common, in words.
        score: How sure that makes it, up to 99.
        state: `open`, put off for `later`, or `distinct`: they are two.
        decided_by: Who said so, or null.
        decided_at: When.
        created_at: When it was seen first.
    """

    id: int
    customer_ids: tuple[int, int]
    customers: list[Customer]
    reason: str
    namespace: str | None
    reasons: list[Reason]
    score: int
    state: State
    decided_by: str | None
    decided_at: datetime | None
    created_at: datetime


class PairsQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of the list.

    Args:
        state: What has been said of them.
        min_score: The least score.
        rule: Only pairs for which this rule holds, or with this reason.
        customer_id: Only pairs with this customer.
    """

    state: State = "open"
    min_score: Score = 0
    rule: _Rule = None
    customer_id: Id | None = None


class Scan(Struct, frozen=True):
    """How far the comparison of all customers is.

    Args:
        running: Whether it is under way.
        compared: How many customers were compared.
        started_at: When it began, or null if there was none.
        ended_at: When it ended, or null.
    """

    running: bool
    compared: int
    started_at: datetime | None
    ended_at: datetime | None


class Counts(Struct, frozen=True, kw_only=True):
    """How many pairs there are of which the caller may merge both.

    Args:
        open: Nobody has decided on them.
        later: Put off.
        distinct: They are two.
        at_least: Of the open ones those with at least this score.
        crowded: Rule to how many groups of customers it does not look into, since too many have the same in common.
        scan: The comparison of all customers.
    """

    open: int
    later: int
    distinct: int
    at_least: dict[int, int]
    crowded: dict[str, int]
    scan: Scan


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a pair.

    Args:
        decision: `merge` them; they are `distinct`, for ever; decide `later`; or `open` it again.
        winner: Who remains of a merge; who is better known when absent.
        fields: Of which customer a field's value is taken, as `POST /customers/merge` has it.
        mixed: Whether a person and a company may be merged.
    """

    decision: Literal["merge", "distinct", "later", "open"]
    winner: Id | None = None
    fields: Annotated[dict[str, Annotated[int, Meta(ge=1, le=MAX_ID)]], Meta(max_length=200)] = {}
    mixed: bool = False


class Decided(Struct, frozen=True):
    """What has become of a pair.

    Args:
        id: Its id.
        state: How it is now.
        merge_id: What undoes the merge, or null if there was none.
    """

    id: int
    state: Literal["open", "later", "distinct", "merged"]
    merge_id: int | None = None


class Acceptance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which open pairs are to be merged at once.

    Args:
        min_score: The least score.
        rule: Only pairs for which this rule holds.
        expected: How many there are, as the answer without it says; nothing is merged while it is absent.
        limit: Most pairs of this request; the rest takes further ones.
    """

    min_score: Annotated[int, Meta(ge=50, le=99)]
    rule: _Rule = None
    expected: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class Accepted(Struct, frozen=True):
    """What has become of pairs that were to be merged at once.

    Args:
        left: How many such pairs there are now.
        merged: The merges, as `POST /customers/unmerge` takes them.
        put_off: Pairs that could not be merged: they are for later now.
    """

    left: int
    merged: list[int]
    put_off: list[int]
