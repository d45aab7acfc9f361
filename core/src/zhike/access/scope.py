"""Which customers an actor sees: every read and write of customers puts this predicate into its SQL.

| scope  | customers                                                                         |
|--------|-----------------------------------------------------------------------------------|
| `all`  | everybody                                                                         |
| `team` | those of the user's team and of the teams below it, and those the user looks after |
| `own`  | those the user looks after                                                        |
"""

from __future__ import annotations

from collections.abc import Collection

from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_READ, Scope
from zhike.orm import Connection, Database


def visible_customers(actor: Actor, table: str = "customer", permission: str = CUSTOMERS_READ) -> str:
    """Return the SQL predicate over the customers for whom `actor` holds a permission.

    Customers merged away are not seen, their winner is; nor are those who were erased.

    Args:
        actor: Who reads or writes.
        table: Name or alias of the customer table in the statement; the caller's own word, never input.
        permission: What is to be done: the route's permission.
    """
    scope = actor.scope(permission)
    if scope is None:
        return "FALSE"
    there = f"{table}.merged_into IS NULL AND {table}.erased_at IS NULL"
    return there if scope == "all" else f"{there} AND {owned(actor, scope, f'{table}.owner', f'{table}.team')}"


async def visible_ids(
    connection: Connection | Database, actor: Actor, ids: Collection[int], *permissions: str
) -> list[int]:
    """Return those of some customers for whom `actor` holds these permissions, in order."""
    visible = " AND ".join(visible_customers(actor, "c", each) for each in permissions)
    sql = f"SELECT c.id FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND {visible} ORDER BY c.id"
    return [row[0] for row in await connection.fetch(sql, ids)]


def visible_users(actor: Actor, table: str, permission: str) -> str:
    """Return the SQL predicate over the users for whom `actor` holds a permission, as with customers.

    Args:
        actor: Who reads or writes.
        table: Alias of the table of users; the caller's own word.
        permission: The route's.
    """
    scope = actor.scope(permission)
    if scope is None:
        return "FALSE"
    return "TRUE" if scope == "all" else owned(actor, scope, f"{table}.id", f"{table}.team_id")


def owned(actor: Actor, scope: Scope, user: str, team: str) -> str:
    """Return the SQL predicate over what is the actor's own, or also their teams'; the ids are inlined.

    Args:
        actor: Whose.
        scope: `own` or `team`.
        user: The column with the id of the user who has it.
        team: The column with the id of the team that has it.
    """
    own = "FALSE" if actor.user_id is None else f"{user} = {int(actor.user_id)}"
    teams = ", ".join(str(int(each)) for each in sorted(actor.teams)) if scope == "team" else ""
    return f"({own} OR {team} IN ({teams}))" if teams else own
