"""Which customers an actor sees: every read of customers puts this predicate into its SQL."""

from __future__ import annotations

from zhike.access.actor import Actor
from zhike.access.roles import CONDITIONS_COUNT, CUSTOMERS_READ


def visible_customers(actor: Actor, table: str = "customer") -> str:
    """Return the SQL predicate over the customers that `actor` sees.

    Customers merged away are not seen, their winner is. Whoever may neither read nor count customers sees none.

    Args:
        actor: Who reads.
        table: Name or alias of the customer table in the statement; the caller's own word, never input.
    """
    if not actor.permissions & {CUSTOMERS_READ, CONDITIONS_COUNT}:
        return "FALSE"
    return f"{table}.merged_into IS NULL"
