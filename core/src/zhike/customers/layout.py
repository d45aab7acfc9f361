"""In which order fields of customers stand, and under which headings: all of it is read and said in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated

import msgspec
from asyncpg import Record
from msgspec import Meta
from msgspec.structs import replace

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.customers import field_rows
from zhike.customers.field import BUILT_IN, Field
from zhike.errors import Conflict, NotFound
from zhike.events.schemas import MAX_TRAIT_KEY
from zhike.i18n import text
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.wire import Fault
from zhike.work import begin

MOST_GROUPS = 200
_FIELDS = "SELECT * FROM customer_field ORDER BY position, key"
_GROUPS = "SELECT key, label FROM customer_field_group ORDER BY position, key"
# Whoever makes or changes a single field meanwhile changes its version, which is looked at under this lock.
_LOCK = "LOCK TABLE customer_field_group, customer_field IN SHARE ROW EXCLUSIVE MODE"
_REPLACE = """
WITH gone AS (DELETE FROM customer_field_group WHERE key <> ALL($1::text[]))
INSERT INTO customer_field_group (key, label, position)
SELECT key, label, place FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (key, label, place)
ON CONFLICT (key) DO UPDATE SET label = excluded.label, position = excluded.position
"""
_Key = Annotated[str, Meta(min_length=1, max_length=200)]
_Label = Annotated[str, Meta(min_length=1, max_length=200)]
_Fields = Annotated[list[Annotated[str, Meta(max_length=MAX_TRAIT_KEY)]], Meta(max_length=5_000)]


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A heading, and the fields under it in their order.

    Args:
        key: What fields call it; it never changes.
        label: Name for people.
        fields: Keys of the fields.
    """

    key: _Key
    label: _Label
    fields: _Fields = []


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order of fields.

    Args:
        version: Another one after every change of a field or group.
        groups: The headings in their order.
        ungrouped: Fields under none, in their order.
    """

    version: str
    groups: Annotated[list[Group], Meta(max_length=MOST_GROUPS)]
    ungrouped: _Fields = []


async def get(platform: Platform) -> Layout:
    """Return the order in which fields stand; archived ones stand in it as well."""
    async with platform.db.transaction() as connection:
        return _layout(await _known(connection), await connection.fetch(_GROUPS))


async def arrange(platform: Platform, actor: Actor, wanted: Layout) -> Layout:
    """Put fields and groups into an order, and return it; a group that is left out is no more.

    Args:
        platform: The process's platform.
        actor: Who does so.
        wanted: Every field once, in a group or in none; those that are left out come last, in none.

    Raises:
        BadRequest: If a field or group stands in it twice.
        NotFound: If there is no such field.
        Conflict: If somebody has changed a field or group since `wanted.version` was read, with the code `version`.
    """
    places = _places(wanted)
    async with begin(platform, origin=actor.origin) as work:
        connection = work.connection
        await connection.execute(_LOCK)
        known = await _known(connection)
        before = _layout(known, await connection.fetch(_GROUPS))
        if before.version != wanted.version:
            raise Conflict(text("Somebody has changed the fields since; read them again"), code="version")
        if unknown := places.keys() - known.keys():
            raise NotFound(text("There is no field {key}", key=min(unknown)))
        keys, labels = [group.key for group in wanted.groups], [group.label for group in wanted.groups]
        await connection.execute(_REPLACE, keys, labels)
        moved = []
        rest = [key for key in known if key not in places]
        for position, key in enumerate([*places, *rest], start=1):
            field, group = known[key], places.get(key, "")
            if (field.group, field.position) != (group, position):
                moved.append(key)
                await field_rows.write(
                    connection, replace(field, group=group, position=position, version=field.version + 1), work.now
                )
        after = _layout(await _known(connection), await connection.fetch(_GROUPS))
        if after.version != before.version:
            details = {"groups": dict(zip(keys, labels, strict=True)), "fields": moved}
            await audit.record(connection, actor, "field.layout", "customer_field", details)
    await platform.customer_fields.renew(now=True)
    platform.announce("plugins")
    return after


def _places(wanted: Layout) -> dict[str, str]:
    """Return field to group, in the order that is wanted."""
    places: dict[str, str] = {}
    groups: set[str] = set()
    for number, group in enumerate(wanted.groups):
        where = f"groups[{number}]"
        for name, said in (("key", group.key), ("label", group.label)):
            if not said.strip() or not said.isprintable():
                raise wire.refuse(Fault(f"{where}.{name}", text("expected characters that can be seen")))
        if group.key in groups:
            raise wire.refuse(Fault(f"{where}.key", text("expected each key once, and none that is empty")))
        groups.add(group.key)
    for where, group_key, fields in (
        *((f"groups[{number}].fields", group.key, group.fields) for number, group in enumerate(wanted.groups)),
        ("ungrouped", "", wanted.ungrouped),
    ):
        for key in fields:
            if key in places:
                raise wire.refuse(Fault(where, text("the field {key} stands in it twice", key=key)))
            places[key] = group_key
    return places


async def _known(connection: Connection) -> dict[str, Field]:
    """Return all fields in their order; columns of which nothing was said come first."""
    stored = {row["key"]: field_rows.field_of(row) for row in await connection.fetch(_FIELDS)}
    silent = {key: Field(key=key, built_in=True) for key in BUILT_IN if key not in stored}
    return {**silent, **stored}


def _layout(known: Mapping[str, Field], rows: Iterable[Record]) -> Layout:
    groups = {key: Group(key=key, label=label, fields=[]) for key, label in rows}
    ungrouped: list[str] = []
    for key, field in known.items():
        if field.group and field.group not in groups:  # said of the field alone
            groups[field.group] = Group(key=field.group, label=field.group, fields=[])
        (groups[field.group].fields if field.group else ungrouped).append(key)
    state = [list(groups.values()), ungrouped, {key: field.version for key, field in known.items()}]
    return Layout(
        version=sha256(msgspec.json.encode(state)).hexdigest()[:32], groups=list(groups.values()), ungrouped=ungrouped
    )
