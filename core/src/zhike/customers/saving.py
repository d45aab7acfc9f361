"""Writes customers as they were drafted, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.contracts import CustomerDraft
from zhike.customers import belonging, sql
from zhike.customers.resolve import Pair
from zhike.customers.search import index
from zhike.customers.target import Overtaken, Target
from zhike.customers.traits import OWN, Cause
from zhike.events.facts import tell
from zhike.work import Work

_OWN = """
UPDATE customer AS c SET owner = n.owner, team = n.team, updated_at = greatest(c.updated_at, $1)
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS n (id, owner, team) WHERE c.id = n.id
"""
_INDEXED = index.FIELDS.union(OWN)


async def save(
    work: Work,
    actor: Actor,
    targets: Sequence[Target],
    source: str,
    *,
    identities: Sequence[Pair] = (),
    removed: Sequence[Pair] = (),
) -> None:
    """Write customers with all that follows; errors are those of `zhike.customers.write.change`.

    Args:
        work: The unit of work that has locked them.
        actor: Who writes them.
        targets: Those that `locked` has returned, or a new one.
        source: Who said so.
        identities: What the only customer gets.
        removed: What it loses.
    """
    cause, connection = Cause(actor.origin, live=True), work.connection
    for pair in identities:
        if pair[0] in {"phone", "email"}:
            targets[0].draft.fill(*pair, cause)
    drafts = tuple(_draft(target, source) for target in targets)
    await work.platform.hooks.veto("before_customers_save", actor=actor, customers=drafts)
    ids = [target.draft.id for target in targets]
    new = [target.draft for target in targets if target.draft.new]
    if changed := [target.draft for target in targets if target.draft.cause and not target.draft.new]:
        await sql.update_customers(connection, changed, work.now)
    if new or identities:
        rows = [(pair, ids[0], ids[0]) for pair in identities]
        if await sql.insert(connection, new, rows, work.now) < len(rows):
            raise Overtaken
    if removed:
        await belonging.lose(connection, ids[0], removed)
    if own := [target for target in targets if target.draft.moved]:
        columns = [[target.draft.id for target in own], *([target.own[name] for target in own] for name in OWN)]
        await connection.execute(_OWN, work.now, *columns)
    indexed = [each.id for each in drafts if identities or removed or not _INDEXED.isdisjoint(each.changed)]
    await index.renew(connection, indexed)
    notes = []
    for target in targets:
        names = tell(work, target.draft)
        if names or identities or removed:
            details: dict[str, Any] = {"fields": names, **{name: target.own[name] for name in target.draft.moved}}
            details |= {"source": source, "identities": len(identities), "removed": len(removed)}
            notes.append((f"customer:{target.draft.id}", {key: value for key, value in details.items() if value}))
    await audit.record_many(connection, actor, "customer.create" if new else "customer.change", notes)


def _draft(target: Target, source: str) -> CustomerDraft:
    return CustomerDraft(
        id=target.draft.id,
        new=target.draft.new,
        fields=target.draft.fields(),
        changed=frozenset(target.draft.changes()),
        owner=target.own["owner"],
        team=target.own["team"],
        source=source,
    )
