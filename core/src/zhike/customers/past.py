"""Takes words back that a merge or an import has put into customers' fields, wherever they have got to by now.

A word may be what the field says, or lie under a later one whose merge or import remembers it as what was before; and
whoever the customer was merged into may have taken it over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from asyncpg import Record

from zhike.customers.sql import update_customers
from zhike.customers.traits import OWN, Cause, Draft, Taken, Taking, Word, decode_taken, encode_taken, plain_name, same
from zhike.orm import Connection

_NOTHING = Word(None, None)

_RECORDS = """
SELECT id, NULL::bigint AS import_id, winner_id AS customer_id, loser_id, taken::text AS fields FROM customer_merge
WHERE winner_id = ANY($1::bigint[]) AND unmerged_at IS NULL AND taken <> '{}'
UNION ALL
SELECT NULL, import_id, customer_id, NULL, fields::text FROM import_change
WHERE customer_id = ANY($1::bigint[]) AND fields <> '{}'
"""
_OWN = "SELECT id, owner, team FROM customer WHERE id = ANY($1::bigint[])"
_SAVE_MERGE = "UPDATE customer_merge SET taken = $2::jsonb WHERE id = $1"
_SAVE_IMPORT = "UPDATE import_change SET fields = $3::jsonb WHERE import_id = $1 AND customer_id = $2"
_SAVE_OWN = """
UPDATE customer AS c SET owner = n.owner, team = n.team
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (id, owner, team) WHERE c.id = n.id
"""


class Past:
    """What customers' fields were before merges and imports that can still be undone.

    Args:
        drafts: The customers, locked, and all they were merged into.
        own: Their `owner` and `team`.
        records: Of merges and imports.
        cause: Who takes something back.
    """

    def __init__(
        self, drafts: Mapping[int, Draft], own: dict[int, dict[str, Any]], records: Sequence[Record], cause: Cause
    ) -> None:
        self._drafts = drafts
        self._own = own
        self._records: dict[int, list[tuple[Record, Taken]]] = {}
        self._takers: dict[int, list[tuple[Record, Taken]]] = {}
        self._changed: dict[tuple[int | None, ...], tuple[Record, Taken]] = {}
        self._reassigned: set[int] = set()
        self._cause = cause
        for row in records:
            record = row, decode_taken(row["fields"])
            self._records.setdefault(row["customer_id"], []).append(record)
            if row["loser_id"] is not None:
                self._takers.setdefault(row["loser_id"], []).append(record)

    @classmethod
    async def load(cls, connection: Connection, drafts: Mapping[int, Draft], cause: Cause) -> Past:
        """Return the past of customers; what is being taken back is no part of it any more."""
        own = {row["id"]: dict(row) for row in await connection.fetch(_OWN, list(drafts))}
        return cls(drafts, own, await connection.fetch(_RECORDS, list(drafts)), cause)

    def take_back(self, customer: int, taken: Taken) -> None:
        """Take back what one merge or one import has put into a customer's fields."""
        for field, taking in taken.items():
            self._replace(customer, field, taking.taken, taking.before)

    async def save(self, connection: Connection, now: datetime) -> None:
        """Write what has changed."""
        if changed := [draft for draft in self._drafts.values() if draft.cause]:
            await update_customers(connection, changed, now)
        if self._reassigned:
            ids = sorted(self._reassigned)
            await connection.execute(_SAVE_OWN, ids, *([self._own[id_][name] for id_ in ids] for name in OWN))
        for row, taken in self._changed.values():
            if row["id"] is not None:
                await connection.execute(_SAVE_MERGE, row["id"], encode_taken(taken))
            else:
                await connection.execute(_SAVE_IMPORT, row["import_id"], row["customer_id"], encode_taken(taken))

    def _replace(self, customer: int, field: str, old: Word, new: Word) -> None:
        """Have a word of a customer be another one, for those who have it from them too."""
        if not self._put(customer, field, old, new):
            for row, taken in self._records.get(customer, ()):
                if (name := _named(taken, field)) and same(taken[name].before, old):
                    taken[name] = taken[name]._replace(before=new)
                    self._note(row, taken)
                    break
        for row, taken in self._takers.get(customer, ()):
            if not (name := _named(taken, field)) or not same(taken[name].taken, old):
                continue
            before = taken.pop(name).before
            if not same(new, _NOTHING):
                taken[name] = Taking(before, new)
            self._note(row, taken)
            self._replace(row["customer_id"], field, old, before if same(new, _NOTHING) else new)

    def _put(self, customer: int, field: str, old: Word, new: Word) -> bool:
        """Have a field say something else; return false if it has not said what is expected."""
        if field not in OWN:
            return self._drafts[customer].give_back(plain_name(field), Taking(new, old), self._cause)
        if self._own[customer][field] != old.value:
            return False
        self._own[customer][field] = new.value
        draft = self._drafts[customer]
        before = draft.moved.get(field, {"old": old.value})["old"]
        draft.moved = {**draft.moved, field: {"old": before, "new": new.value}}
        self._reassigned.add(customer)
        return True

    def _note(self, row: Record, taken: Taken) -> None:
        self._changed[row["id"], row["import_id"], row["customer_id"]] = (row, taken)


def _named(taken: Taken, field: str) -> str | None:
    """Return the name under which something is said of a field: merges name attributes as the API does."""
    return next((name for name in taken if plain_name(name) == plain_name(field)), None)
