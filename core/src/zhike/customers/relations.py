"""What customers are to each other: the employee of a company, its contact, the company that owns another."""

from __future__ import annotations

from zhike.access.actor import Actor
from zhike.access.masking import masked, rules_of
from zhike.access.scope import visible_customers
from zhike.customers.relation_schemas import Other, Relation, Relations
from zhike.customers.service import visible_winner
from zhike.orm import Connection, Database

MOST = 1_000
"""Relations of one customer that are listed."""

# The other side of a relation that a merge would have led from a customer to itself is merged away: nobody is shown it.
_LIST = """
SELECT r.id, r.kind, r.customer_id <> $1, r.title, r.since, r.until,
  CASE WHEN {visible} THEN c.id END, CASE WHEN {visible} THEN c.kind END, CASE WHEN {visible} THEN c.name END
FROM customer_relation AS r
JOIN customer AS c ON c.id = r.customer_id + r.other_customer_id - $1
WHERE (r.customer_id = $1 OR r.other_customer_id = $1) AND c.merged_into IS NULL {one}
ORDER BY r.id LIMIT $2
"""


async def list_(db: Database, actor: Actor, customer_id: int) -> Relations:
    """Return the relations of a customer; for one merged away, the winner's.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see them.
    """
    async with db.connection() as connection:
        found = await visible_winner(connection, actor, customer_id)
        return Relations(await read(connection, actor, found))


async def read(
    connection: Connection, actor: Actor, customer_id: int, relation_id: int | None = None
) -> list[Relation]:
    """Return the relations of a customer who is not merged away, or one of them."""
    one = "" if relation_id is None else f"AND r.id = {relation_id}"
    rows = await connection.fetch(_LIST.format(visible=visible_customers(actor, "c"), one=one), customer_id, MOST)
    rule = rules_of(actor).get("name")
    relations = []
    for number, word, reverse, title, since, until, id_, kind, name in rows:
        shown = name if rule is None else masked("name", name) if rule == "mask" else None
        other = None if id_ is None else Other(id_, kind, shown)
        relations.append(Relation(number, word, reverse, title, since, until, other))
    return relations
