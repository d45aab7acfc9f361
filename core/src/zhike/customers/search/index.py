"""Keeps `customer_search` as the customers are: every write of one renews its row in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from zhike.customers.identities import BadIdentity, normalise
from zhike.customers.resolve import Resolver
from zhike.customers.search.entry import Entry, entry_of
from zhike.orm import Connection

FIELDS = frozenset({"name", "company", "phone", "email"})
"""The fields that are indexed, and the namespaces whose identities are."""

_READ = """
SELECT c.id, c.name, c.company, c.phone, c.email, c.owner, c.team, (
  SELECT array_agg(ARRAY[i.namespace, i.value] ORDER BY i.namespace, i.value) FROM identity AS i
  WHERE i.customer_id = c.id AND i.namespace IN ('phone', 'email')
) AS identities
FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND c.merged_into IS NULL AND c.erased_at IS NULL
"""

# Ordered by id, like every lock on several customers. An array of arrays would have to be a rectangle.
_WRITE = """
WITH gone AS (
  DELETE FROM customer_search WHERE customer_id = ANY($7::bigint[])
)
INSERT INTO customer_search AS s (customer_id, tokens, name, company, email, phone)
SELECT id, string_to_array(tokens, ' '), name, company, email, phone
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS n (id, tokens, name, company, email, phone)
ORDER BY id
ON CONFLICT (customer_id) DO UPDATE SET
  tokens = excluded.tokens, name = excluded.name, company = excluded.company, email = excluded.email,
  phone = excluded.phone
WHERE (s.tokens, s.name, s.company, s.email, s.phone)
  IS DISTINCT FROM (excluded.tokens, excluded.name, excluded.company, excluded.email, excluded.phone)
"""


async def renew(connection: Connection, customers: Collection[int]) -> None:
    """Index customers as they are now; those merged away, erased or gone are found no more.

    Call it whenever a name, company, phone number, e-mail address, owner or team has changed, an identity of phone or
    e-mail has come or gone, and customers are merged, unmerged or erased.

    Args:
        connection: In the transaction that made the change, which has locked the customers.
        customers: Their ids; at most some thousands.
    """
    if not customers:
        return
    wanted = sorted(set(customers))
    entries: list[tuple[int, Entry]] = []
    for id_, name, company, phone, email, owner, team, identities in await connection.fetch(_READ, wanted):
        pairs = identities or ()
        phones = _distinct(normal_phone(phone), (value for namespace, value in pairs if namespace == "phone"))
        emails = _distinct(email, (value for namespace, value in pairs if namespace == "email"))
        entry = entry_of(id_, name, company, emails, phones, owner, team)
        if entry is not None:
            entries.append((id_, entry))
    entries.sort()
    ids = [id_ for id_, _ in entries]
    columns = [list(column) for column in zip(*[entry for _, entry in entries], strict=True)] or [[]] * 5
    await connection.execute(_WRITE, ids, *columns, sorted(set(wanted).difference(ids)))


def concerned(resolver: Resolver) -> set[int]:
    """Return the customers whose rows are to be renewed after a batch of events."""
    found = {draft.id for draft in resolver.drafts.values() if draft.cause and not FIELDS.isdisjoint(draft.touched)}
    found.update([resolver.root(home) for (namespace, _), home in resolver.attachments if namespace in FIELDS])
    found.update([merge.loser_id for merge in resolver.merges])
    return found


def normal_phone(phone: str | None) -> str | None:
    """Return a phone number that an event has told in the form of identities, if it is one."""
    try:
        return phone and normalise("phone", phone)
    except BadIdentity:
        return phone


def _distinct(first: str | None, more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([first, *more] if first else more))
