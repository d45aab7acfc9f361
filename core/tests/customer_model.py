"""Customers, identities, events and merges as they should be, kept in memory as plainly as can be."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from zhike.customers.identities import order
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
STRONG = ("external_id", "phone", "email", "member_no")
FIELDS = ("kind", "name", "phone", "email", "company", "stage")
Pair = tuple[str, str]
Word = tuple[Any, tuple[str, int] | None]
"""A field's value, and the source and instant of who said so."""


class Taking(NamedTuple):
    """A field's word before a merge, and the one it took."""

    before: Word
    taken: Word


class Merge:
    """A merge that took place, of one loser.

    Args:
        winner: Who remained.
        loser: Who became part of them.
        group: What is undone together.
    """

    def __init__(self, winner: int, loser: int, group: int) -> None:
        self.winner = winner
        self.loser = loser
        self.group = group
        self.taken: dict[str, Taking] = {}
        self.undone = False


class Model:
    """What is known after events that come one by one; customers are numbered as they are created.

    Whose an identity or an event is follows from its home, the customer it was first given to, and from who was merged
    into whom.
    """

    def __init__(self) -> None:
        self.home: dict[Pair, int] = {}
        self.fields: list[dict[str, Any]] = []
        self.provenance: list[dict[str, tuple[str, int]]] = []
        self.merged: dict[int, int] = {}
        self.merges: list[Merge] = []
        self.candidates: set[tuple[int, int]] = set()
        self.separate: set[tuple[int, int]] = set()
        self.events: dict[str, tuple[CheckedEvent, int]] = {}
        self.shards: dict[str, int] = {}

    @property
    def owner(self) -> dict[Pair, int]:
        """Whose every identity is."""
        return {pair: self.root(home) for pair, home in self.home.items()}

    def root(self, customer: int) -> int:
        """Return who a customer is now."""
        return self.root(self.merged[customer]) if customer in self.merged else customer

    def take(self, event: CheckedEvent) -> bool:
        """Store an event, unless its message id is known."""
        if event.message_id in self.events:
            return False
        known = [pair for pair in event.identities if pair in self.home]
        if known:
            home = self.home[known[0]]
        else:
            home = len(self.fields)
            self.fields.append({"kind": "person"})
            self.provenance.append({})
        customer = self.root(home)
        for pair in event.identities:
            if pair not in self.home:
                self._attach(customer, home, pair)
            elif (other := self.root(self.home[pair])) != customer:
                self._meet(customer, other, pair)
        for field, value in (event.traits or {}).items():
            instant = int(event.occurred_at.timestamp() * 1000)
            if self.provenance[customer].get(field, ("", 0))[1] <= instant:
                self._put(customer, field, (value, (event.source, instant)))
        self.events[event.message_id] = (event, home)
        return True

    def commit(self) -> None:
        """End a batch: whose an event is then says in which shard it stays."""
        for message_id, (_, home) in self.events.items():
            self.shards.setdefault(message_id, self.root(home))

    def merge(self, winner: int, losers: list[int]) -> bool:
        """Merge customers because somebody says so; false if they are one already."""
        winner = self.root(winner)
        roots = list(dict.fromkeys(self.root(loser) for loser in losers if self.root(loser) != winner))
        group = len(self.merges)
        for loser in roots:
            self._merge(winner, loser, group)
        for loser in roots:
            others = {low + high - loser for low, high in self.separate if loser in (low, high)}
            self.separate |= {_pair(winner, other) for other in others - {winner, *roots}}
        return bool(roots)

    def unmerge(self, group: int) -> bool:
        """Undo what was merged together; false if that was done before, or the winner is no customer any more."""
        undone = [merge for merge in self.merges if merge.group == group]
        winner = undone[0].winner
        if undone[0].undone or winner in self.merged:
            return False
        for merge in reversed(undone):
            del self.merged[merge.loser]
            merge.undone = True
            self.separate.add(_pair(winner, merge.loser))
            for field, taking in merge.taken.items():
                if self._word(winner, field) == taking.taken:
                    self._put(winner, field, taking.before)
                else:
                    self._forget(merge, field, taking)
        return True

    def stats(self) -> dict[tuple[int, str, str], tuple[int, int, datetime, datetime]]:
        """Return the figures of every customer: count, sum, first and last instant by name and currency."""
        groups = defaultdict(list)
        for event, home in self.events.values():
            for name in (event.name, "*"):
                groups[self.root(home), name, event.currency or ""].append(event)
        return {
            key: (
                len(events),
                sum(event.amount or 0 for event in events),
                min(event.occurred_at for event in events),
                max(event.occurred_at for event in events),
            )
            for key, events in groups.items()
        }

    def _strong(self, customer: int) -> set[str]:
        return {ns for (ns, _), owner in self.owner.items() if owner == customer and ns in STRONG}

    def _attach(self, customer: int, home: int, pair: Pair) -> None:
        namespace, value = pair
        if namespace in self._strong(customer):
            return
        self.home[pair] = home
        if namespace in {"phone", "email"} and namespace not in self.provenance[customer]:
            self.fields[customer].setdefault(namespace, value)

    def _meet(self, customer: int, other: int, pair: Pair) -> None:
        if _pair(customer, other) in self.separate:
            return
        if pair[0] in STRONG or self._strong(other):
            self.candidates.add(_pair(customer, other))
            return
        self._merge(customer, other, len(self.merges))

    def _merge(self, winner: int, loser: int, group: int) -> None:
        self.merged[loser] = winner
        merge = Merge(winner, loser, group)
        self.merges.append(merge)
        mine, theirs = self.provenance[winner], self.provenance[loser]
        for field, value in self.fields[loser].items():
            if value is None or self.fields[winner].get(field) is not None:
                continue
            if field not in mine or (field in theirs and mine[field][1] <= theirs[field][1]):
                merge.taken[field] = Taking(self._word(winner, field), self._word(loser, field))
                self._put(winner, field, self._word(loser, field))

    def _forget(self, merge: Merge, field: str, taking: Taking) -> None:
        """Have the later merge that replaced a word find what was there before it."""
        for later in self.merges[self.merges.index(merge) + 1 :]:
            ours = later.winner == merge.winner and not later.undone and later.group != merge.group
            if ours and field in later.taken and later.taken[field].before == taking.taken:
                later.taken[field] = Taking(taking.before, later.taken[field].taken)
                return

    def _word(self, customer: int, field: str) -> Word:
        return self.fields[customer].get(field), self.provenance[customer].get(field)

    def _put(self, customer: int, field: str, word: Word) -> None:
        value, said = word
        if value is None:
            self.fields[customer].pop(field, None)
        else:
            self.fields[customer][field] = value
        if said is None:
            self.provenance[customer].pop(field, None)
        else:
            self.provenance[customer][field] = said


def _pair(one: int, other: int) -> tuple[int, int]:
    return (min(one, other), max(one, other))


def pairs_of(chosen: dict[str, str]) -> list[tuple[str, str]]:
    """Return identities from the strongest to the weakest."""
    return [(namespace, chosen[namespace]) for namespace in sorted(chosen, key=order)]


IDENTITIES = st.dictionaries(
    st.sampled_from([*STRONG, "device_id", "anonymous_id"]),
    st.sampled_from(["a", "b", "c"]),
    min_size=1,
    max_size=3,
).map(pairs_of)
TRAITS = st.none() | st.dictionaries(
    st.sampled_from(["name", "phone", "city", "age"]), st.sampled_from([None, "x", "y"]), max_size=2
)
EVENTS = st.builds(
    CheckedEvent,
    index=st.just(0),
    name=st.sampled_from(["order.paid", "page.view"]),
    message_id=st.integers(0, 60).map(str),
    occurred_at=st.integers(0, 5).map(lambda hours: NOW - timedelta(hours=hours * 7)),
    identities=IDENTITIES,
    traits=TRAITS,
    source=st.sampled_from(["", "web"]),
)
MONEY = st.sampled_from([(None, None), (None, None), (1200, "CNY"), (-5, "CNY"), (7, "USD")])
BATCHES = st.lists(
    st.lists(
        st.tuples(EVENTS, MONEY).map(
            lambda drawn: msgspec.structs.replace(drawn[0], amount=drawn[1][0], currency=drawn[1][1])
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=6,
)

EMPTY = (
    "TRUNCATE customer, identity, duplicate_candidate, customer_merge, customer_merge_row, customer_settling,"
    " log_batch, event, customer_event_stat, event_type, customer_search, job RESTART IDENTITY"
)
"""SQL that forgets everybody."""


async def check(database: Database, model: Model, *, settled: bool = True) -> None:
    """Compare what is stored with the model; events may stand elsewhere unless all is `settled`."""
    async with database.connection() as connection:
        customers = await connection.fetch("SELECT * FROM customer ORDER BY id")
        # Ids are drawn in the order of creation.
        number = {row["id"]: place for place, row in enumerate(customers)}
        identities = await connection.fetch("SELECT * FROM identity")
        stats = await connection.fetch("SELECT * FROM customer_event_stat")
        events = await connection.fetch("SELECT * FROM event WHERE behaviour")
        merges = await connection.fetch("SELECT * FROM customer_merge ORDER BY id")
        batches = await connection.fetch("SELECT names, shards, size FROM log_batch ORDER BY batch_id")
        logged = await connection.fetch(
            "SELECT array_agg(DISTINCT name ORDER BY name) AS names, bit_or(1::bigint << shard) AS shards,"
            " count(*)::int AS size FROM event GROUP BY batch_id ORDER BY batch_id"
        )
    assert len(customers) == len(model.fields)
    assert {number[row["id"]]: number[row["merged_into"]] for row in customers if row["merged_into"]} == model.merged
    for row, fields in zip(customers, model.fields, strict=True):
        stored = {field: row[field] for field in FIELDS} | msgspec.json.decode(row["attributes"])
        assert {k: v for k, v in stored.items() if v is not None} == {k: v for k, v in fields.items() if v is not None}
    assert {(row["namespace"], row["value"]): number[row["customer_id"]] for row in identities} == model.owner
    assert {(row["namespace"], row["value"]): number[row["home_customer_id"]] for row in identities} == model.home
    assert [(number[row["loser_id"]], number[row["winner_id"]], row["unmerged_at"] is not None) for row in merges] == [
        (merge.loser, merge.winner, merge.undone) for merge in model.merges
    ]
    assert {
        row["message_id"]: (
            number[row["customer_id"]] if settled else None,
            number[row["home_customer_id"]],
            row["shard"],
        )
        for row in events
    } == {
        message_id: (model.root(home) if settled else None, home, customers[model.shards[message_id]]["id"] % 64)
        for message_id, (_, home) in model.events.items()
    }
    assert {
        (number[row["customer_id"]], row["name"], row["currency"]): tuple(row)[3:] for row in stats
    } == model.stats()
    assert list(map(tuple, batches)) == list(map(tuple, logged))
