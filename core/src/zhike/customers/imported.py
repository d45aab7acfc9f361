"""What an import changes of customers, noted while it runs, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from zhike.customers.resolve import Pair, Resolver
from zhike.customers.traits import (
    OWN,
    Cause,
    Draft,
    Own,
    Taken,
    Taking,
    Word,
    decode_taken,
    encode_taken,
    public_name,
    same,
)
from zhike.orm import Connection

_STORED = "SELECT customer_id, fields::text FROM import_change WHERE import_id = $1 AND customer_id = ANY($2::bigint[])"
_NOTE = """
INSERT INTO import_change AS c (import_id, customer_id, created, fields, identities)
SELECT $1, customer_id, created, fields::jsonb, identities::jsonb
FROM unnest($2::bigint[], $3::boolean[], $4::text[], $5::text[]) AS n (customer_id, created, fields, identities)
ON CONFLICT (import_id, customer_id)
DO UPDATE SET fields = excluded.fields, identities = c.identities || excluded.identities
"""
_OWN = "SELECT id, owner, team FROM customer WHERE id = ANY($1::bigint[])"
# Since when somebody is known is said only of those whom the import has made.
_SETTLE = """
UPDATE customer AS c SET owner = coalesce(n.owner, c.owner), team = coalesce(n.team, c.team),
  created_at = least(c.created_at, CASE WHEN h.created THEN n.since END),
  updated_at = CASE WHEN n.owner IS NULL AND n.team IS NULL THEN c.updated_at ELSE greatest(c.updated_at, $2) END
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[]) AS n (id, owner, team, since)
LEFT JOIN import_change AS h ON h.import_id = $1 AND h.customer_id = n.id
WHERE c.id = n.id
"""


async def note(connection: Connection, resolver: Resolver, import_id: int, now: datetime) -> set[int]:
    """Record what a batch of an import has done to customers, and give them their owners and teams.

    Args:
        connection: In the batch's transaction, which has locked the customers.
        resolver: Has resolved the batch; all ids are stored ones.
        import_id: The import.
        now: When they count as changed.

    Returns:
        Those who have another owner or team.
    """
    own = resolver.own  # also of those whom the batch has merged since: visitors' owners are not handed on
    for id_, *before in await connection.fetch(_OWN, list(own)) if own else ():
        draft, (said, cause) = resolver.drafts[id_], own[id_]
        words = zip(OWN, before, (said.owner, said.team), strict=True)
        draft.moved = {name: {"old": old, "new": new} for name, old, new in words if new not in {None, old}}
        if draft.moved:
            draft.cause = draft.cause or cause
    # With whom they were first, since the batch may have merged these into others.
    given: dict[int, list[Pair]] = {}
    for pair, home in resolver.attachments:
        given.setdefault(home, []).append(pair)
    changed: dict[int, Draft | None] = dict.fromkeys(given)
    changed |= {draft.id: draft for draft in resolver.drafts.values() if draft.cause or draft.id in given}
    if changed:
        stored = [id_ for id_, each in changed.items() if each is None or not each.new]
        earlier = dict(map(tuple, await connection.fetch(_STORED, import_id, stored))) if stored else {}
        taken: dict[int, list[Taken]] = {}
        for merge in resolver.merges:
            taken.setdefault(merge.winner_id, []).append(merge.taken)
        fields = [
            encode_taken(_noted(each, decode_taken(earlier.get(id_, "{}")), taken.get(id_, ())))
            for id_, each in changed.items()
        ]
        identities = [msgspec.json.encode(given.get(id_, ())).decode() for id_ in changed]
        created = [each is not None and each.new for each in changed.values()]
        await connection.execute(_NOTE, import_id, list(changed), created, fields, identities)
    if own:
        await _settle(connection, resolver, import_id, own, now)
    return {id_ for id_ in own if resolver.drafts[id_].moved}


async def _settle(
    connection: Connection, resolver: Resolver, import_id: int, own: Mapping[int, tuple[Own, Cause]], now: datetime
) -> None:
    rows = []
    for id_, (said, _) in own.items():
        moved = resolver.drafts[id_].moved
        rows.append((id_, *(moved[name]["new"] if name in moved else None for name in OWN), said.since))
    await connection.execute(_SETTLE, import_id, now, *map(list, zip(*rows, strict=True)))


def _noted(draft: Draft | None, noted: Taken, merged: Sequence[Taken]) -> Taken:
    """Return what is to be recorded of a customer, after what earlier batches of the import have recorded.

    What the batch's merges have taken from visitors is theirs, and stays as long as they are not undone.
    """
    if draft is None:  # who was merged away before
        return noted
    before = draft.before()
    words = [(field, *_own_words(before.word(field), draft.word(field), field, merged)) for field in draft.touched]
    words += [(name, Word(change["old"], None), Word(change["new"], None)) for name, change in draft.moved.items()]
    for field, was, now in words:
        if field in noted and same(noted[field].taken, was):
            was = noted[field].before  # noqa: PLW2901
        if not same(was, now):
            noted[field] = Taking(was, now)
    return noted


def _own_words(was: Word, now: Word, field: str, merged: Sequence[Taken]) -> tuple[Word, Word]:
    """Return what a field said before the import and what it has made of it, without what merges have put there."""
    for taken in merged:
        if (taking := taken.get(public_name(field))) is None:
            continue
        if same(taking.before, was) or not same(taking.taken, now):
            was = taking.taken  # what the import has said lies above that
        else:
            now = taking.before
    return was, now
