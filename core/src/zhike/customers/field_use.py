"""How many customers have a value of a field, as far as the reader sees them: what a change of it would concern."""

from __future__ import annotations

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.access.roles import CUSTOMERS_READ
from zhike.access.scope import visible_customers
from zhike.customers.field import Field
from zhike.orm import Database

MOST = 10_000
"""Beyond this nobody counts: more are as many."""
_HAVE = f"SELECT count(*) FROM (SELECT 1 FROM customer AS c WHERE {{has}} AND {{visible}} LIMIT {MOST + 1}) AS found"
_BY_CHOICE = """
SELECT {value} AS choice, count(*) FROM customer AS c WHERE {value} IS NOT NULL AND {visible} GROUP BY 1
"""


class FieldUse(msgspec.Struct, frozen=True):
    """What is stored of a field.

    Args:
        customers: How many have a value; more than `MOST` are not counted further.
        choices: Choice to how many have it, of `choice` and the column `stage`.
    """

    customers: int
    choices: dict[str, int]

    @property
    def many(self) -> bool:
        """Whether there are more than were counted."""
        return self.customers > MOST


async def use(db: Database, actor: Actor, field: Field, *, choices: bool = False) -> FieldUse | None:
    """Return how a field is used; None if the reader does not see its values whole.

    It reads all customers, so it is asked for when somebody wants to change something, not to show a page.

    Args:
        db: Where they are.
        actor: Who asks.
        field: The field.
        choices: Whether to count each choice as well.
    """
    if {field.key, f"attributes.{field.key}"} & masked_fields(actor):
        return None
    visible = visible_customers(actor, "c", CUSTOMERS_READ)
    # The names of columns are the core's own.
    column, given = (f"c.{field.key}", []) if field.built_in else ("c.attributes ->> $1", [field.key])
    has = f"{column} IS NOT NULL" if field.built_in else "c.attributes ? $1"
    async with db.connection() as connection:
        number = await connection.fetchval(_HAVE.format(has=has, visible=visible), *given)
        rows = []
        if choices and not field.encrypted:
            rows = await connection.fetch(_BY_CHOICE.format(value=column, visible=visible), *given)
    return FieldUse(number, {choice: count for choice, count in rows if choice in field.keys})
