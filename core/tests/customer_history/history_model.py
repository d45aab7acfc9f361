"""The customer file as it should be, kept in memory as plainly as can be: what is stored follows from layers and homes.

A field is a pile of layers, each with who put it there; the uppermost counts. Undoing a merge or an import takes its
layers out, wherever they are. A layer that a merge has put there is whatever the loser says, so that an import that is
undone is undone there too. Whose an event or an identity is follows from its home, the customer it was first given to,
and from who is merged into whom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from zhike.customers.identities import order

WEAK = ("device_id", "anonymous_id")
OWN = ("owner", "team")
BUILT_IN = ("kind", "name", "phone", "email", "company", "stage")
RANKED = {"city": ("crm", "shop")}
"""Fields whose sources rank, the most trusted first."""
Pair = tuple[str, str]
By = tuple[Literal["merge", "import"], int] | None
"""Who put something there, if it can be undone."""
Verdict = Literal["accepted", "duplicate", "erased", "conflict"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Word(NamedTuple):
    """A value, and the source and instant (epoch milliseconds) of who said it."""

    value: Any
    said: tuple[str, int] | None


NOTHING = Word(None, None)


class Layer(NamedTuple):
    """What somebody has said, or what the customer `loser` says."""

    by: By
    word: Word
    loser: int | None = None


@dataclass
class Customer:
    """A customer by the number of its creation.

    Args:
        by: The import that made it.
        state: Whether it is still there.
        merged: The customer it was merged into.
        layers: Fields, the newest layer last.
        marks: Who caused the platform's events about it.
        stages: Stages with their beginnings.
    """

    by: By
    state: Literal["here", "erased", "deleted"] = "here"
    merged: int | None = None
    layers: dict[str, list[Layer]] = field(default_factory=lambda: defaultdict(list))
    marks: list[By] = field(default_factory=list)
    stages: list[tuple[str | None, datetime]] = field(default_factory=list)


@dataclass
class Identity:
    """Whose an identity was first, and who brought it."""

    home: int
    by: By


@dataclass
class Row:
    """A row of a plugin or a task."""

    table: str
    customer: int
    label: str


@dataclass
class Merge:
    """A merge of one loser; `group` is what is undone together, and `by` the import that brought it about."""

    winner: int
    loser: int
    group: int
    by: By = None
    undone: bool = False
    moved: list[Row] = field(default_factory=list)
    doubles: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Said:
    """An event, or with the name "" what a row of an import says of a customer."""

    name: str
    message_id: str
    occurred_at: datetime
    identities: Mapping[str, str]
    traits: Mapping[str, Any] = field(default_factory=dict)
    amount: int | None = None
    currency: str | None = None
    source: str = ""
    own: Mapping[str, int] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        """The identities, the strongest first."""
        return [(namespace, self.identities[namespace]) for namespace in sorted(self.identities, key=order)]


class Stored(NamedTuple):
    """An event that is stored."""

    said: Said
    home: int
    by: By
    place: int


class Model:
    """The customer file."""

    def __init__(self) -> None:
        self.customers: list[Customer] = []
        self.identities: dict[Pair, Identity] = {}
        self.events: dict[str, Stored] = {}
        self.rows: list[Row] = []
        self.merges: list[Merge] = []
        self.separate: set[tuple[int, int]] = set()
        self.erased: set[Pair] = set()
        self.erased_messages: set[str] = set()
        self.erasing: dict[int, list[int]] = {}
        self.known_rows: dict[str, int] = {}
        self.undone: set[int] = set()
        self._place = 0
        self._before: list[dict[str, Any]] = []

    # what is asked

    def root(self, customer: int) -> int:
        """Return who a customer is now."""
        merged = self.customers[customer].merged
        return customer if merged is None else self.root(merged)

    def here(self, customer: int) -> bool:
        """Say whether somebody can see a customer, or the one it is now."""
        return self.customers[self.root(customer)].state == "here"

    def owner(self, pair: Pair) -> int | None:
        """Return whose an identity is."""
        return self.root(self.identities[pair].home) if pair in self.identities else None

    def word(self, customer: int, name: str) -> Word:
        """Return the uppermost word of a field."""
        for layer in reversed(self.customers[customer].layers[name]):
            word = layer.word if layer.loser is None else self.word(layer.loser, name)
            if layer.loser is None or word != NOTHING:
                return word
        return Word("person", None) if name == "kind" else NOTHING

    def values(self, customer: int) -> dict[str, Any]:
        """Return the fields of a customer that have a value."""
        names = {*self.customers[customer].layers, "kind"}
        found = {name: self.word(customer, name).value for name in sorted(names)}
        return {name: value for name, value in found.items() if value is not None}

    def shown(self, customer: int) -> dict[str, Any]:
        """Return a customer as the API shows it, but for its id and times."""
        values = self.values(customer)
        shown = {name: values.pop(name, None) for name in (*BUILT_IN, *OWN)}
        identities = defaultdict(list)
        for pair in sorted(self.identities, key=lambda pair: (order(pair[0]), pair[1])):
            if self.owner(pair) == customer:
                identities[pair[0]].append(pair[1])
        return {**shown, "identities": dict(identities), "attributes": values}

    def timeline(self, customer: int) -> list[str]:
        """Return the message ids of a customer's behaviours, the latest first."""
        mine = [each for each in self.events.values() if self.root(each.home) == customer]
        mine.sort(key=lambda each: (each.said.occurred_at, each.place), reverse=True)
        return [each.said.message_id for each in mine]

    def stats(self) -> dict[tuple[int, str, str], tuple[int, int, datetime, datetime]]:
        """Return count, sum, first and last instant by customer, name or `*`, and currency; not of the erased."""
        groups: dict[tuple[int, str, str], list[Said]] = defaultdict(list)
        for each in self.events.values():
            if self.here(each.home):
                for name in (each.said.name, "*"):
                    groups[self.root(each.home), name, each.said.currency or ""].append(each.said)
        return {
            key: (
                len(said),
                sum(each.amount or 0 for each in said),
                min(each.occurred_at for each in said),
                max(each.occurred_at for each in said),
            )
            for key, said in groups.items()
        }

    # what happens; each is one transaction

    def begin(self) -> None:
        """Remember how everybody is before something happens."""
        self._before = [self.values(number) for number in range(len(self.customers))]

    def end(self, by: By, now: datetime, *, silent: bool = False) -> None:
        """Note what has changed since `begin`: stages, and the events that tell of it unless that is `silent`."""
        for number, customer in enumerate(self.customers):
            if customer.state != "here":
                continue
            stage = self.word(number, "stage").value
            if stage != (customer.stages[-1][0] if customer.stages else None):
                customer.stages.append((stage, now))
            if number >= len(self._before) or (
                customer.merged is None and not silent and self._before[number] != self.values(number)
            ):
                customer.marks.append(by)

    def take(self, batch: Sequence[Said], by: By = None) -> list[Verdict]:
        """Store events, or what rows say of customers; what is refused or known has no effect."""
        seen: set[str] = set()
        verdicts: list[Verdict] = []
        for said in batch:
            known = said.message_id in (self.events if said.name else self.known_rows) or said.message_id in seen
            seen.add(said.message_id)
            verdict = "duplicate" if known else self._verdict(said)
            if verdict == "accepted" and not self._take(said, by):
                verdict = "conflict"
            if verdict == "accepted" and not said.name and by:
                self.known_rows[said.message_id] = by[1]
            verdicts.append(verdict)
        return verdicts

    def write(self, customer: int, traits: Mapping[str, Any], own: Mapping[str, int | None], now: datetime) -> None:
        """Have staff say something of a customer."""
        self._say(customer, traits, "staff", now, None)
        for name, value in own.items():
            if self.word(customer, name).value != value:
                self._put(customer, name, Word(value, None), None)

    def give(self, customer: int, pairs: Iterable[Pair]) -> None:
        """Give a customer identities that are nobody's."""
        for pair in pairs:
            if pair not in self.identities:
                self.identities[pair] = Identity(customer, None)
                self._fill(customer, pair, None)
                self.customers[customer].marks.append(None)

    def make(self, by: By = None) -> int:
        """Make a customer and return its number."""
        self.customers.append(Customer(by))
        return len(self.customers) - 1

    def merge(self, winner: int, losers: Sequence[int], chosen: Mapping[str, int]) -> None:
        """Merge customers, none of them merged away."""
        group = len(self.merges)
        for loser in losers:
            merge = self._join(winner, loser, group, chosen)
            for name in OWN:
                theirs = self.word(loser, name)
                if theirs.value is not None and (
                    chosen[name] == loser if name in chosen else self.word(winner, name).value is None
                ):
                    self.customers[winner].layers[name].append(Layer(("merge", len(self.merges) - 1), NOTHING, loser))
            merge.group = group
        self._join_rows(winner, self.merges[group:])
        for loser in losers:
            others = {low + high - loser for low, high in self.separate if loser in (low, high)}
            self.separate |= {_pair(winner, other) for other in others - {winner, *losers}}
        self.customers[winner].marks += [None]

    def unmerge(self, group: int, *, said: bool = True) -> None:
        """Undo what was merged together; if somebody has said so, they stay two."""
        for number in reversed(range(len(self.merges))):
            merge = self.merges[number]
            if merge.group != group:
                continue
            merge.undone = True
            self.customers[merge.loser].merged = None
            self._strip(("merge", number))
            for row in merge.moved:
                if row.customer == merge.winner and any(each is row for each in self.rows):
                    row.customer = merge.loser
            # The same rows again, which earlier merges have moved.
            self.rows += [row for row in merge.doubles if row not in self.rows]
            if said:
                self.separate.add(_pair(merge.winner, merge.loser))
            self.customers[merge.loser].marks.append(None)
            self.customers[merge.winner].marks.append(None)

    def pin(self, table: str, customer: int, label: str) -> None:
        """Store a row about a customer; a table `pins_pin` has none twice."""
        row = Row(table, customer, label)
        if table == "task" or row not in self.rows:
            self.rows.append(row)

    def erase(self, customer: int, number: int) -> None:
        """Erase a customer with all who are part of it."""
        tree = [each for each in range(len(self.customers)) if self.root(each) == customer]
        gone = [pair for pair in self.identities if self.owner(pair) == customer]
        for pair in gone:
            del self.identities[pair]
        self.erased |= set(gone)
        for each in tree:
            self.customers[each].state = "erased"
            self.customers[each].layers.clear()
        self.erasing[number] = tree

    def erasure_done(self, number: int) -> None:
        """Delete what was left of an erased customer."""
        tree = set(self.erasing.pop(number))
        gone = [message_id for message_id, each in self.events.items() if each.home in tree]
        for message_id in gone:
            del self.events[message_id]
        self.erased_messages |= set(gone)
        self.rows = [row for row in self.rows if row.customer not in tree]

    def undo(self, number: int) -> None:
        """Undo an import."""
        by: By = ("import", number)
        while merge := next((each for each in reversed(self.merges) if each.by == by and self._parts(each)), None):
            self.unmerge(merge.group, said=False)
        roots = {self.root(each.home) for each in self.events.values() if each.by == by}
        noted = {n for n, each in enumerate(self.customers) if each.by == by} | {
            each.home for each in self.identities.values() if each.by == by
        }
        noted |= {n for n, each in enumerate(self.customers) if self._has(each, by)}
        self.events = {key: each for key, each in self.events.items() if each.by != by}
        self.known_rows = {key: each for key, each in self.known_rows.items() if each != number}
        self._strip(by)
        made = {n for n, each in enumerate(self.customers) if each.by == by and each.state == "here"}
        for each in self.customers:
            each.marks = [mark for mark in each.marks if mark != by]
        deleted = {n for n in made if not self._touched(n, by)}
        given = [pair for pair, each in self.identities.items() if each.by == by]
        for pair in given:
            if self.identities[pair].home in deleted or self.identities[pair].home not in made:
                del self.identities[pair]
        for number_ in deleted:
            self.customers[number_] = Customer(by, "deleted")
        for number_ in (roots | {self.root(n) for n in noted}) - deleted:
            self.customers[number_].marks.append(None)
        self.undone.add(number)

    # how

    def _verdict(self, said: Said) -> Verdict:
        gone = [pair for pair in said.pairs if pair in self.erased and pair not in self.identities]
        if len(gone) == len(said.pairs) or any(namespace not in WEAK for namespace, _ in gone):
            return "erased"
        return "duplicate" if said.name and said.message_id in self.erased_messages else "accepted"

    def _take(self, said: Said, by: By) -> bool:
        pairs = [pair for pair in said.pairs if pair not in self.erased]
        known = [pair for pair in pairs if pair in self.identities]
        if not said.name and self._contradicts(pairs):
            return False
        home = self.identities[known[0]].home if known else self.make(by)
        customer = self.root(home)
        for pair in pairs:
            if pair not in self.identities:
                if not said.name or pair[0] in WEAK or pair[0] not in self._strong(customer):
                    self.identities[pair] = Identity(home, by)
                    self._fill(customer, pair, by)
            elif self.owner(pair) != customer:
                self._meet(customer, pair, by)
        self._say(customer, said.traits, said.source, said.occurred_at, by)
        for name, value in said.own.items():
            if self.word(customer, name).value != value:
                self._put(customer, name, Word(value, None), by)
        if said.name:
            self._place += 1
            self.events[said.message_id] = Stored(said, home, by, self._place)
        return True

    def _contradicts(self, pairs: Sequence[Pair]) -> bool:
        """Say whether strong identities belong to several, or to one who has another value of the first's namespace."""
        owners = {self.owner(pair) for pair in pairs if pair[0] not in WEAK} - {None}
        unknown = pairs[0] not in self.identities
        return len(owners) > 1 or any(
            unknown and pairs[0][0] in self._strong(each) for each in owners if each is not None
        )

    def _say(self, customer: int, traits: Mapping[str, Any], source: str, at: datetime, by: By) -> None:
        instant = (at - _EPOCH) // timedelta(milliseconds=1)
        for name, value in traits.items():
            stored = self.word(customer, name).said
            if stored is not None:
                mine, theirs = _rank(name, source), _rank(name, stored[0])
                if mine > theirs or (mine == theirs and stored[1] > instant):
                    continue
            self._put(customer, name, Word(value, (source, instant)), by)

    def _put(self, customer: int, name: str, word: Word, by: By) -> None:
        self.customers[customer].layers[name].append(Layer(by, word))

    def _fill(self, customer: int, pair: Pair, by: By) -> None:
        if pair[0] in {"phone", "email"} and self.word(customer, pair[0]) == NOTHING:
            self._put(customer, pair[0], Word(pair[1], None), by)

    def _strong(self, customer: int) -> set[str]:
        return {pair[0] for pair in self.identities if pair[0] not in WEAK and self.owner(pair) == customer}

    def _meet(self, customer: int, pair: Pair, by: By) -> None:
        other = self.owner(pair)
        assert other is not None
        if pair[0] not in WEAK or self._strong(other) or _pair(customer, other) in self.separate:
            return
        merge = self._join(customer, other, len(self.merges), {})
        merge.by = by
        self._join_rows(customer, [merge])
        self.customers[customer].marks += [by]

    def _join(self, winner: int, loser: int, group: int, chosen: Mapping[str, int]) -> Merge:
        for name in self.values(loser):
            if name not in OWN and (chosen[name] == loser if name in chosen else self._lacks(winner, loser, name)):
                self.customers[winner].layers[name].append(Layer(("merge", len(self.merges)), NOTHING, loser))
        self.customers[loser].merged = winner
        self.merges.append(Merge(winner, loser, group))
        return self.merges[-1]

    def _lacks(self, winner: int, loser: int, name: str) -> bool:
        mine, theirs = self.word(winner, name), self.word(loser, name)
        if mine.value is not None:
            return False
        return mine.said is None or (theirs.said is not None and mine.said[1] <= theirs.said[1])

    def _join_rows(self, winner: int, merges: Sequence[Merge]) -> None:
        # Of equal rows the winner's is kept, else that of the customer who has been known longest.
        for merge in sorted(merges, key=lambda merge: merge.loser):
            for row in [row for row in self.rows if row.customer == merge.loser]:
                if row.table != "task" and Row(row.table, winner, row.label) in self.rows:
                    self.rows.remove(row)
                    merge.doubles.append(row)
                else:
                    row.customer = winner
                    merge.moved.append(row)

    def _parts(self, merge: Merge) -> bool:
        """Say whether a merge can be undone at present."""
        winner, loser = self.customers[merge.winner], self.customers[merge.loser]
        return not merge.undone and winner.merged is None and winner.state == loser.state == "here"

    def _strip(self, by: By) -> None:
        for customer in self.customers:
            for name, layers in customer.layers.items():
                customer.layers[name] = [layer for layer in layers if layer.by != by]

    def _has(self, customer: Customer, by: By) -> bool:
        return any(layer.by == by for layers in customer.layers.values() for layer in layers)

    def _touched(self, number: int, by: By) -> bool:
        """Say whether a customer whom an import has made is somebody else's business too."""
        customer = self.customers[number]
        return bool(
            customer.merged is not None
            or customer.marks
            or any(each.merged == number for each in self.customers)
            or any(layers for layers in customer.layers.values() if any(layer.by != by for layer in layers))
            or any(self.root(each.home) == number for each in self.events.values())
            or any(self.owner(pair) == number and each.by != by for pair, each in self.identities.items())
            or any(row.customer == number for row in self.rows)
        )


def _rank(name: str, source: str) -> int:
    ranks = RANKED.get(name, ())
    return ranks.index(source) if source in ranks else len(ranks)


def _pair(one: int, other: int) -> tuple[int, int]:
    return (min(one, other), max(one, other))
