"""Groups and tags: listing, making and changing them; who has which, and why."""

from contextlib import suppress
from decimal import Decimal
from functools import partial
from importlib import resources
from typing import Any, TypeVar

import msgspec
from asyncpg import Record
from msgspec.structs import asdict, replace

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.paging import paged
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Call, Page, PageQuery
from zhike.conditions import service as conditions
from zhike.conditions.problems import BadCondition
from zhike.conditions.words import describe
from zhike.customers import service as customers
from zhike.errors import Conflict, Forbidden, NotFound
from zhike.i18n import Text, text
from zhike.orm import Database
from zhike.platform import Platform
from zhike.serving import changed
from zhike.tasks import follow_ups
from zhike.work import Work
from zhike_tagging.actions import READ
from zhike_tagging.conditions import RULES
from zhike_tagging.schemas import Adopt, Assigned, Group, GroupChange, NewGroup, NewTag, Past, Tag, TagChange, Tags, Why

_GROUPS = "SELECT * FROM tagging_group WHERE id > $1 ORDER BY id LIMIT $2"
_KEYS = "SELECT key FROM tagging_group"
_GROUP = "SELECT * FROM tagging_group WHERE key = $1"
_NEW_GROUP = """
INSERT INTO tagging_group (key, name, kind, exclusive, colour, position) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING *
"""
_CHANGE_GROUP = """
UPDATE tagging_group SET (name, kind, exclusive, colour, position, archived_at, version)
  = ($2, $3, $4, $5, $6, $7, version + 1) WHERE id = $1 RETURNING *
"""
_TAG = "SELECT * FROM tagging_listed WHERE id = $1"
_TAGS = """
SELECT * FROM tagging_listed AS t WHERE id > $1 AND ($3::text IS NULL OR t.group = $3)
  AND strpos(lower(name), lower($4)) > 0 AND (archived_at IS NOT NULL) = $5 ORDER BY id LIMIT $2
"""
_TAGS_OF = "SELECT id FROM tagging_tag WHERE group_id = $1 AND archived_at IS NULL ORDER BY id"
_NEW_TAG = """
INSERT INTO tagging_tag (group_id, name, colour, position, condition, expires, task, archived_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
"""
_CHANGE_TAG = """
UPDATE tagging_tag SET (name, colour, position, condition, expires, task, archived_at, version, problem)
  = ($2, $3, $4, $5, $6, $7, $8, version + 1, CASE WHEN condition = $5 THEN problem END) WHERE id = $1 RETURNING id
"""
_NAMED = "SELECT id FROM tagging_tag WHERE name = $1 AND archived_at IS NULL"
_USED = "SELECT EXISTS (SELECT FROM tagging_assignment WHERE tag_id = $1)"
_NEW_RULE = """
WITH t AS (UPDATE tagging_tag SET rule_version = rule_version + 1 WHERE id = $1 RETURNING *)
INSERT INTO tagging_rule (tag_id, version, condition, author, made_at) SELECT id, rule_version, condition, $2, $3 FROM t
"""
_OF_CUSTOMER = """
SELECT * FROM tagging_assigned WHERE id < $1 AND customer_id = $3 AND ($4 OR valid_to IS NULL) ORDER BY id DESC LIMIT $2
"""
_WHY = "SELECT a.* FROM tagging_assigned AS a JOIN customer AS c ON c.id = customer_id WHERE a.id = $1 AND {visible}"
# What stands for a rule that asks about what the reader does not see.
HIDDEN = {"type": "hidden"}
# Groups with rules that staff adopt by one call, and change as they like from then on.
_SHIPPED = resources.files(__package__).joinpath("data/presets.json").read_bytes()
PRESETS = msgspec.json.decode(_SHIPPED, type=list[tuple[NewGroup, list[NewTag]]])
T = TypeVar("T", bound=msgspec.Struct)
_read = msgspec.json.Decoder(float_hook=Decimal).decode


async def groups(call: Call, query: PageQuery) -> Page[Group]:
    """List groups by age."""
    return await paged(call, query, "groups", _GROUPS, partial(_pick, Group))


async def create_group(work: Work, actor: Actor, new: NewGroup) -> Group:
    """Make a group.

    Raises:
        Conflict: If there is one with the key.
    """
    row = await work.connection.fetchrow(_NEW_GROUP, *asdict(new).values())
    if row is None:
        raise Conflict(text("There is a group {key} already", key=new.key), code="key")
    await audit.record(work.connection, actor, "tagging.group", f"tag_group:{new.key}", asdict(new))
    return _pick(Group, row)


async def change_group(work: Work, actor: Actor, change: GroupChange, *, group_key: str) -> Group:
    """Change a group; everybody is evaluated if that may change who has its tags.

    Raises:
        NotFound: If there is none.
        Conflict: If somebody was quicker.
    """
    await RULES.lock(work)
    old = await group_of(work.platform.db, group_key)
    new, given = changed(old, change, work.now)
    values = (new.name, new.kind, new.exclusive, new.colour, new.position, new.archived_at)
    [row] = await work.connection.fetch(_CHANGE_GROUP, old.id, *values)
    if given.keys() & {"exclusive", "archived"}:
        tags = [tag for (tag,) in await work.connection.fetch(_TAGS_OF, old.id)]
        await RULES.changed(work, tags, family=old.id)
    await audit.record(work.connection, actor, "tagging.group", f"tag_group:{group_key}", given)
    return _pick(Group, row)


async def adopt(work: Work, actor: Actor, wanted: Adopt) -> Page[Group]:
    """Make the shipped groups that are not there yet, with their tags and rules; return those that were made."""
    known, made = {key for (key,) in await work.connection.fetch(_KEYS)}, []
    for group, tags in PRESETS:
        if group.key not in known and (not wanted.groups or group.key in wanted.groups):
            made.append(await create_group(work, actor, group))
            for tag in tags:
                await create_tag(work, actor, tag)
    return Page(made, None)


async def tags(call: Call, query: Tags) -> Page[Tag]:
    """List tags by age."""
    scope = f"tags:{query.group}:{query.q}:{query.archived}"
    return await paged(call, query, scope, _TAGS, partial(_shown, call), query.group, query.q, query.archived)


async def create_tag(work: Work, actor: Actor, new: NewTag) -> Tag:
    """Make a tag; everybody is evaluated if it has a rule.

    Raises:
        BadCondition: If the author may not use the rule, or it cannot be.
        Conflict: If a tag in use has the name.
        NotFound: If there is no such group.
    """
    await RULES.lock(work)
    given = {name: value for name, value in asdict(new).items() if value is not None}
    return await _save(work, actor, new, given)


async def change_tag(work: Work, actor: Actor, change: TagChange, *, tag_id: int) -> Tag:
    """Change a tag; everybody is evaluated if that may change who has it.

    Raises:
        BadCondition: As `create_tag`.
        Conflict: If somebody was quicker, a tag in use has the name, or somebody had it under the old one.
        Forbidden: If its rule asks about what `actor` does not see.
        NotFound: If there is none.
    """
    await RULES.lock(work)
    old = await changeable(work.platform, actor, tag_id)
    new, given = changed(old, change, work.now)
    if "name" in given and await work.connection.fetchval(_USED, tag_id):
        said = text("Conditions know the tag by its name, and customers have had it; make another")
        raise Conflict(said, code="used")
    return await _save(work, actor, new, given, tag_id)


async def _save(work: Work, actor: Actor, tag: NewTag, given: dict[str, Any], tag_id: int | None = None) -> Tag:
    """Store a tag, once it is known that it can be as it says; what is `given` is new or another."""
    archived_at = getattr(tag, "archived_at", None)
    if archived_at is None and await work.connection.fetchval(_NAMED, tag.name) not in {None, tag_id}:
        raise Conflict(text("There is a tag {name} already", name=tag.name), code="name")
    if tag.task is not None:
        await follow_ups.check(work, tag.task)
    group = await group_of(work.platform.db, tag.group)
    rule, condition = given.get("condition"), _json(tag.condition)
    if rule is not None:
        condition = RULES.check(work, actor, rule)
    values = (tag.name, tag.colour, tag.position, condition, tag.expires, _json(tag.task), archived_at)
    stored: int = await work.connection.fetchval(_CHANGE_TAG if tag_id else _NEW_TAG, tag_id or group.id, *values)
    if rule is not None:
        await work.connection.execute(_NEW_RULE, stored, actor.origin, work.now)
    if given.keys() & {"condition", "archived"} or (given.keys() & {"name", "position"} and condition is not None):
        await RULES.changed(work, [stored], family=group.id)
    await audit.record(work.connection, actor, "tagging.tag", f"tag:{stored}", msgspec.to_builtins(given))
    return await tag_of(work.platform.db, stored)


async def group_of(db: Database, group_key: str) -> Group:
    """Return a group.

    Raises:
        NotFound: If there is none.
    """
    return _pick(Group, await _one(db, _GROUP, group_key, text("There is no group {key}", key=group_key)))


async def tag_of(db: Database, tag_id: int) -> Tag:
    """Return a tag with its rule, which not everybody may see.

    Raises:
        NotFound: If there is none.
    """
    return _tag(await _one(db, _TAG, tag_id, text("There is no tag with the id {id}", id=tag_id)))


async def changeable(platform: Platform, actor: Actor, tag_id: int) -> Tag:
    """Return a tag to those who could have asked for what its rule does.

    Raises:
        Forbidden: To change it.
        NotFound: If there is none.
    """
    tag = await tag_of(platform.db, tag_id)
    if _hidden(platform, actor, tag.condition):
        raise Forbidden(text("The rule of {name} asks about what you do not see; leave it to others", name=tag.name))
    return tag


async def assigned(call: Call, query: Past) -> Page[Assigned]:
    """List the tags of a customer, the newest first.

    Raises:
        NotFound: If there is no such customer, or the actor does not see it.
    """
    customer = await customers.get(call.db, call.actor, call.id("customer_id"), permission=READ)
    scope, values = f"assigned:{customer.id}:{query.history}", (customer.id, query.history)
    return await paged(call, query, scope, _OF_CUSTOMER, partial(_pick, Assigned), *values, first=MAX_ID)


async def why(call: Call) -> Why:
    """Say why a customer got a tag, by the rule as it was then.

    Raises:
        NotFound: If there is no such assignment, or the actor does not see the customer.
    """
    assignment_id, visible = call.id("assignment_id"), visible_customers(call.actor, "c", READ)
    missing = text("There is no assignment with the id {id}", id=assignment_id)
    row = await _one(call.db, _WHY.format(visible=visible), assignment_id, missing)
    condition, explained = row["condition"] and _read(row["condition"]), None
    if _hidden(call.host.platform, call.actor, condition):
        condition = HIDDEN
    elif condition is not None:
        at, customer_id = row["valid_from"], row["customer_id"]
        with suppress(BadCondition, NotFound):
            explained = await conditions.explain(call.host.platform, call.actor, condition, customer_id, at=at)
    return _pick(Why, row, assignment=_pick(Assigned, row), condition=condition, explained=explained)


async def _one(db: Database, statement: str, value: object, missing: Text) -> Record:
    """Return the row that there is, or refuse by saying that it is missing."""
    rows = await db.fetch(statement, value)
    if not rows:
        raise NotFound(missing)
    return rows[0]


def _shown(call: Call, row: Record) -> Tag:
    """Return a tag as the reader may know it."""
    tag = _tag(row)
    hidden = _hidden(call.host.platform, call.actor, tag.condition)
    return replace(tag, condition=HIDDEN, problem=tag.problem and "") if hidden else tag


def _hidden(platform: Platform, actor: Actor, condition: object) -> bool:
    """Tell whether a rule asks about what `actor` does not see, so that they must not learn what it says."""
    return condition is not None and describe(platform, condition, actor=actor).kept


def _pick(struct: type[T], row: Record, **more: Any) -> T:
    """Return a struct made of the columns of its fields' names."""
    return struct(**{name: row[name] for name in struct.__struct_fields__ if name not in more} | more)


def _tag(row: Record) -> Tag:
    task = row["task"] and msgspec.json.decode(row["task"], type=follow_ups.FollowUp)
    return _pick(Tag, row, condition=row["condition"] and _read(row["condition"]), task=task)


def _json(value: object) -> str | None:
    return None if value is None else wire.encode(value, "json").decode()
