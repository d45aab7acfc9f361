"""Saying what fields customers have: making fields, changing them, taking them out of use."""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import asdict, replace

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.customers import field_rows
from zhike.customers.field import BUILT_IN, Field
from zhike.customers.field_rules import whole
from zhike.customers.field_schemas import FieldChange, NewField
from zhike.errors import Conflict, Forbidden, NotFound
from zhike.events.schemas import RESERVED_TRAITS
from zhike.i18n import text
from zhike.platform import Platform
from zhike.wire import Fault
from zhike.work import begin


async def create(platform: Platform, actor: Actor, new: NewField) -> Field:
    """Make a field; customers who have the attribute already keep their values as they are.

    Raises:
        BadRequest: If its parts do not fit each other.
        Conflict: If there is a field with this key, or it is to be encrypted and customers have the attribute.
    """
    field = whole(Field(**asdict(new), version=1), platform.settings.currency)
    if field.key in RESERVED_TRAITS:
        raise wire.refuse(Fault("key", text("{key} is a part of every customer", key=field.key)))
    async with begin(platform, origin=actor.origin) as work:
        if field.encrypted:
            await field_rows.require_unused(work.connection, field.key)
        if field.key in BUILT_IN or not await field_rows.write(work.connection, field, work.now):
            raise Conflict(text("There is a field {key} already", key=field.key), code="key")
        await audit.record(work.connection, actor, "field.create", f"customer_field:{field.key}", asdict(field))
    await _tell(platform)
    return field


async def change(platform: Platform, actor: Actor, key: str, change: FieldChange) -> Field:
    """Change a field and return it.

    Raises:
        BadRequest: If its parts would not fit each other.
        Forbidden: If `actor` does not see its values whole.
        NotFound: If there is none.
        Conflict: If it is at another version, or values are in use that would not fit.
    """
    said = {name: value for name, value in asdict(change).items() if value is not UNSET}
    version = said.pop("version", None)
    if {key, f"attributes.{key}"} & masked_fields(actor):  # which values fit says what they are
        raise Forbidden(text("{field} is hidden from your role", field=key), code="hidden")
    async with begin(platform, origin=actor.origin) as work:
        row = await work.connection.fetchrow(field_rows.LOCK, key)
        if row is None and key not in BUILT_IN:
            raise NotFound(text("There is no field {key}", key=key))
        before = Field(key=key, built_in=True) if row is None else field_rows.field_of(row)
        if version not in {None, before.version}:
            raise _overtaken(before.version)
        after = whole(replace(before, **said), platform.settings.currency)
        if after != before:
            await field_rows.check_use(work.connection, before, after)
            after = replace(after, version=before.version + 1)
            if not await field_rows.write(work.connection, after, work.now):
                raise _overtaken(after.version)
            await audit.record(work.connection, actor, "field.change", f"customer_field:{key}", said)
    await _tell(platform)
    return after


async def _tell(platform: Platform) -> None:
    """Have this process know it now, and the others look at once."""
    await platform.customer_fields.renew(now=True)
    platform.announce("plugins")


def _overtaken(version: int) -> Conflict:
    return Conflict(
        text("Somebody has changed the field since; it is at version {version}", version=version), code="version"
    )
