"""Whose event is it: identities resolved event by event, over what the database knows of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from zhike.customers.identities import is_strong
from zhike.customers.traits import UNRANKED, Cause, Draft, Own, Ranked, Taken
from zhike.events.schemas import CheckedEvent

MERGE_LIMIT = 5_000
"""Stored events of a visitor up to which a merge happens at once."""

Pair = tuple[str, str]
"""An identity: namespace and value."""
CONTRADICTED = 0
"""Stands for a customer where identities name several."""


class Attachment(NamedTuple):
    """A new identity and the customer it is first given to."""

    pair: Pair
    customer_id: int


class Merge(NamedTuple):
    """An anonymous visitor who turned out to be somebody, and what was learned of them from the visitor's file."""

    winner_id: int
    loser_id: int
    cause: Cause
    taken: Taken


class Candidate(NamedTuple):
    """Two customers who may be the same person, and the identity that says so."""

    first_id: int
    second_id: int
    reason: str
    pair: Pair


class Concerned(NamedTuple):
    """The stored customers that resolving a batch may change.

    Args:
        locks: Who must be locked before anything is decided: their fields or identities may change, or
            another transaction may merge them.
        identities: Whether their strong identities must be known, since one may be attached or a visitor
            merged.
        visitors: Those without a strong identity who may be merged, so that the number of their events
            matters.
    """

    locks: set[int]
    identities: bool
    visitors: set[int]


def concerned(events: Iterable[CheckedEvent], owners: Mapping[Pair, int], anonymous: set[int]) -> Concerned:
    """Find out what must be locked and read before `events` can be resolved.

    A customer with a strong identity is never merged by ingest, so that most events need nothing at all.

    Args:
        events: The batch.
        owners: The customer of every known identity.
        anonymous: Those of them who have no strong identity.
    """
    locks: set[int] = set()
    visitors: set[int] = set()
    identities = False
    for event in events:
        pairs = event.identities
        if len(pairs) == 1:
            owner = owners.get(pairs[0])
            if owner is not None and (event.traits or event.own or owner in anonymous):
                locks.add(owner)
            continue
        known = [owners[pair] for pair in pairs if pair in owners]
        if not known:
            continue
        # An identity that is unknown now may belong to somebody by the time its event's turn comes, who then
        # decides: even the first customer may be merged.
        attaches = len(known) < len(pairs)
        mergeable = anonymous.intersection(known)
        if not attaches:
            mergeable.discard(known[0])
        if attaches or mergeable:
            identities = True
            visitors |= mergeable
            locks |= mergeable
        if attaches or mergeable or event.traits or event.own or known[0] in anonymous:
            locks.add(known[0])
    return Concerned(locks, identities, visitors)


class Resolver:
    """Resolves events one after the other, each seeing what the ones before have changed.

    Args:
        owners: The customer of every known identity of the batch; it is extended here.
        drafts: The locked customers by id; new ones are added here, with negative ids.
        strong: Namespaces in which the locked customers have a strong identity; it is extended here.
        sizes: The stored visitors that may be merged, with the number of their events.
        kept: Those of them who are not merged all the same, since a plugin refuses.
        homes: Of the known identities those that were first given to a customer who was merged away since, and to whom.
        separate: Pairs of customers, the smaller id first, that somebody has said are two.

    Attributes:
        ranked: The fields that rank their sources.
        own: What an import says of customers besides fields, and who brought it.
    """

    def __init__(
        self,
        owners: dict[Pair, int],
        drafts: dict[int, Draft],
        strong: dict[int, set[str]],
        sizes: dict[int, int],
        kept: Collection[int] = (),
        homes: Mapping[Pair, int] = MappingProxyType({}),
        separate: Collection[tuple[int, int]] = (),
    ) -> None:
        self._winners = {home: owners[pair] for pair, home in homes.items()}
        # Whom each was first given to: `root` leads from there to who that is.
        self.owners = {**owners, **homes} if homes else owners
        self.drafts = drafts
        self.created: list[tuple[Draft, Cause]] = []
        self.attachments: list[Attachment] = []
        self.merges: list[Merge] = []
        self.ranked: Ranked = UNRANKED
        self.own: dict[int, tuple[Own, Cause]] = {}
        self.candidates: dict[tuple[int, int], Candidate] = {}
        self._strong = strong
        self._sizes = sizes
        self._kept = kept
        self._separate = separate

    def resolve(self, event: CheckedEvent, cause: Cause) -> int:
        """Return whose event it is, after drawing every conclusion from its identities and traits.

        The highest-ranked known identity decides; without one the customer is new. Unknown ones are attached
        to that customer, except a strong one where another value of the namespace stands already: that one
        stays unknown, and as soon as it is known elsewhere the pair becomes a candidate. The customer of a
        known weak identity is merged in if it has no strong identity; every other contradiction is a candidate. What
        is no event is said of the customer: all its identities are attached.

        Args:
            event: Its identities are ordered from the strongest to the weakest.
            cause: Who brought it in.

        Returns:
            The customer to whom the deciding identity was first given; `root` tells who that is at the end.
            `CONTRADICTED`, and nothing has changed, for what is no event and whose strong identities speak of several
            customers.
        """
        pairs = event.identities
        owners = self.owners
        if not event.name and len(pairs) > 1 and self.contradicted(pairs):
            return CONTRADICTED
        found = owners.get(pairs[0])
        if found is None:
            found = next((owners[pair] for pair in pairs if pair in owners), None)
        home = self._create(cause) if found is None else found
        customer = self.root(home)
        if found is None or len(pairs) > 1:
            for pair in pairs:
                owner = owners.get(pair)
                if owner is None:
                    self._attach(customer, home, pair, cause, single=bool(event.name))
                elif (other := self.root(owner)) != customer:
                    self._meet(customer, other, pair, cause)
        if event.traits:
            self.drafts[customer].apply(event.traits, event.source, event.occurred_at, cause, self.ranked)
        if event.own:
            earlier, _ = self.own.get(customer, (Own(), cause))
            self.own[customer] = (event.own.after(earlier), cause)
        return home

    @property
    def moves(self) -> bool:
        """Whether somebody the events came to first is another customer by now."""
        return bool(self._winners)

    def contradicted(self, pairs: Sequence[Pair]) -> bool:
        """Say whether identities speak of several customers: two have them, or one who is called otherwise already."""
        owners = self.strong_owners(pairs)
        first = pairs[0]
        if len(owners) != 1 or first in self.owners:
            return len(owners) > 1
        # A second phone is news of a customer; a second value of what ranks higher than all that is known is not.
        return is_strong(first[0]) and first[0] in self._strong.get(next(iter(owners)), ())

    def strong_owners(self, pairs: Sequence[Pair]) -> dict[int, Pair]:
        """Return the customers of the strong ones among identities, each with the highest-ranked that says so."""
        known = [(self.root(self.owners[pair]), pair) for pair in pairs if pair in self.owners and is_strong(pair[0])]
        return dict(reversed(known))

    def root(self, customer: int) -> int:
        """Return the customer into which this one was merged, or itself."""
        while customer in self._winners:
            customer = self._winners[customer]
        return customer

    def number(self, ids: Sequence[int]) -> dict[int, int]:
        """Give the new customers their ids, everywhere.

        Args:
            ids: At least as many as there are `created` customers.

        Returns:
            The final id by the negative one.
        """
        final = {draft.id: number for (draft, _), number in zip(self.created, ids, strict=False)}

        def of(customer: int) -> int:
            return final.get(customer, customer)

        for draft in self.drafts.values():
            draft.id = of(draft.id)
            if draft.merged_into is not None:
                draft.merged_into = of(draft.merged_into)
        self.drafts = {draft.id: draft for draft in self.drafts.values()}
        self.attachments = [Attachment(pair, of(customer)) for pair, customer in self.attachments]
        self.own = {of(customer): said for customer, said in self.own.items()}
        self.merges = [each._replace(winner_id=of(each.winner_id), loser_id=of(each.loser_id)) for each in self.merges]
        self.candidates = {
            key: found._replace(first_id=of(found.first_id), second_id=of(found.second_id))
            for key, found in self.candidates.items()
        }
        self._winners = {of(loser): of(winner) for loser, winner in self._winners.items()}
        return final

    def _create(self, cause: Cause) -> int:
        customer = -1 - len(self.created)
        draft = self.drafts[customer] = Draft(customer, None)
        self.created.append((draft, cause))
        self._strong[customer] = set()
        self._sizes[customer] = 0
        return customer

    def _attach(self, customer: int, home: int, pair: Pair, cause: Cause, *, single: bool) -> None:
        if is_strong(pair[0]):
            taken = self._strong.setdefault(customer, set())
            if single and pair[0] in taken:
                return
            taken.add(pair[0])
        self.owners[pair] = home
        self.attachments.append(Attachment(pair, home))
        if pair[0] in {"phone", "email"}:
            self.drafts[customer].fill(*pair, cause)

    def _meet(self, customer: int, other: int, pair: Pair, cause: Cause) -> None:
        key = (customer, other) if customer < other else (other, customer)
        if key in self._separate:
            return
        if is_strong(pair[0]):
            reason = "strong_identity"
        elif other not in self._sizes or self._strong.get(other):
            reason = "weak_identity"
        elif self._sizes[other] > MERGE_LIMIT:
            reason = "many_events"
        elif other in self._kept:
            reason = "refused"
        else:
            self._merge(customer, other, cause)
            return
        self.candidates.setdefault(key, Candidate(customer, other, reason, pair))

    def _merge(self, winner: int, loser: int, cause: Cause) -> None:
        self._winners[loser] = winner
        taken = self.drafts[winner].absorb(self.drafts[loser], cause)
        self.merges.append(Merge(winner, loser, cause, taken))
        self.drafts[loser].merge_into(winner, cause)
        if winner in self._sizes:
            self._sizes[winner] += self._sizes[loser]
