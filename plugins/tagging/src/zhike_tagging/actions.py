"""Giving and taking tags by hand, for one customer or many, and what happens when somebody gets one."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.scope import visible_ids
from zhike.conditions.standing import always, existing
from zhike.contracts import Action, BulkAction, Mode, RecordedEvent
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text
from zhike.tasks import follow_ups
from zhike.ui import asked
from zhike.work import Work
from zhike_tagging.conditions import RULES, end, give, release
from zhike_tagging.schemas import Assign, Changed, Source

READ, ASSIGN, MANAGE = "tagging.read", "tagging.assign", "tagging.manage"
_NAMED = "SELECT id, name, family FROM tagging_listed WHERE name = ANY($1::text[]) AND live"
_PRESENT = "SELECT * FROM tagging_member WHERE customer_id = ANY($1::bigint[]) AND valid_to IS NULL"
_TASKS = "SELECT id, task FROM tagging_tag WHERE id = ANY($1::bigint[]) AND task IS NOT NULL"
_BY_HAND = always(None)


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tag an action is about.

    Args:
        tag: Its name.
    """

    tag: Annotated[str, asked("Tag", kind="tag", min_length=1, max_length=100)]


async def add(work: Work, customers: Collection[int], tags: Collection[str], source: Source = "action") -> None:
    """Give tags to customers; other tags of an exclusive group end.

    Args:
        work: The unit of work, whose origin gives them.
        customers: Ids; they exist.
        tags: Their names.
        source: What gives them.

    Raises:
        NotFound: If there is no such tag in use.
        BadRequest: If two of the tags exclude each other.
    """
    await RULES.lock(work)
    known = await _named(work, tags)
    families = [family for family in known.values() if family is not None]
    if len(set(families)) < len(families):
        raise BadRequest(text("tags: a customer has at most one tag of an exclusive group"), code="exclusive")
    people = await existing(work, customers)
    rows = await work.connection.fetch(_PRESENT, list(people))
    had = {(row[0], row[1]): row["ruled"] for row in rows if row["rule_id"] in known}
    others = [(row[0], row[1]) for row in rows if row["family"] in families and row["rule_id"] not in known]
    await end(work, others, _BY_HAND)
    await end(work, [pair for pair, ruled in had.items() if ruled], _BY_HAND, told=False)
    await give(work, [(customer, tag) for customer in people for tag in known], _BY_HAND, source, had=had)


async def remove(work: Work, customers: Collection[int], tags: Collection[str]) -> None:
    """Take tags from customers who were given them; a rule that wants one then gives it.

    Args:
        work: The unit of work.
        customers: Ids; they exist.
        tags: Their names. Whoever has one by its rule keeps it.

    Raises:
        NotFound: If there is no such tag in use.
    """
    rules, known = await RULES.lock(work), await _named(work, tags)
    people = await existing(work, customers)
    rows = await work.connection.fetch(_PRESENT, list(people))
    given = [row for row in rows if row["rule_id"] in known and not row["ruled"]]
    await release(work, given, _BY_HAND, rules)


async def assign(work: Work, actor: Actor, given: Assign) -> Changed:
    """Give and take tags by hand, for those customers to whom `actor` may."""
    people = await visible_ids(work.connection, actor, given.customers, ASSIGN)
    if given.remove:
        await remove(work, people, given.remove)
    if given.add:
        await add(work, people, given.add, "manual")
    changes = [(f"customer:{each}", {"add": given.add, "remove": given.remove}) for each in people]
    await audit.record_many(work.connection, actor, "tagging.assign", changes)
    return Changed(len(people))


async def follow_up(events: Sequence[RecordedEvent], mode: Mode, work: Work) -> None:
    """Make the tasks of tags that were just given; nobody is asked to do anything about what was long ago."""
    given = [(each, each.properties["tag_id"]) for each in events if each.name == "tag.added" and each.live]
    if given and mode in {"live", "replay"}:
        rows = await work.connection.fetch(_TASKS, [tag for _, tag in given])
        wanted = {row["id"]: msgspec.json.decode(row["task"], type=follow_ups.FollowUp) for row in rows}
        await follow_ups.make(work, [(event, wanted[tag]) for event, tag in given if tag in wanted])


async def _named(work: Work, tags: Collection[str]) -> dict[int, int | None]:
    """Return the ids of tags, each with its family."""
    rows = await work.connection.fetch(_NAMED, tags)
    if missing := set(tags) - {row["name"] for row in rows}:
        raise NotFound(text("There is no tag {name} in use", name=min(missing)))
    return {row["id"]: row["family"] for row in rows}


async def _bulk(work: Work, actor: Actor, ids: Sequence[int], options: Choice, *, way: str) -> int:
    given = Assign(customers=list(ids), **{way: [options.tag]})
    return (await assign(work, actor, given)).customers


async def _act(work: Work, ids: Sequence[int], params: Choice, *, do: Callable[..., Awaitable[None]]) -> None:
    await do(work, ids, [params.tag])


_ADD: dict[str, Any] = {"key": "tagging.add", "label": text("Add a tag"), "icon": "tag"}
_REMOVE: dict[str, Any] = {"key": "tagging.remove", "label": text("Remove a tag"), "icon": "tag-off"}
_TAKEN = text("The tag is taken from {n} {n:customer|customers}; those who have it by its rule keep it")
ACTIONS = [
    Action(**_ADD, params=Choice, run=partial(_act, do=add)),
    Action(**_REMOVE, params=Choice, run=partial(_act, do=remove)),
]
_many = partial(BulkAction, permission=ASSIGN, form=Choice)
BULK = [
    _many(**_ADD, run=partial(_bulk, way="add"), confirm=text("{n} {n:customer gets|customers get} the tag")),
    _many(**_REMOVE, run=partial(_bulk, way="remove"), confirm=_TAKEN),
]
