"""Rows become what is known of customers: identities, fields, and whom they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from zhike.customers.identities import NORMALISERS, BadIdentity
from zhike.customers.traits import Own
from zhike.events.schemas import IncomingEvent
from zhike.i18n import text
from zhike.settings import Settings
from zhike_imports.columns.guess import is_number
from zhike_imports.files.lines import Fault
from zhike_imports.files.readers import Row
from zhike_imports.run.assemble import Cells, RowFault, RowIds
from zhike_imports.schemas import Plan

if TYPE_CHECKING:
    from zhike.platform import Platform

_BETWEEN = re.compile(r"[,，;；、|\n]+")
_KINDS = {"个人": "person", "企业": "company", "公司": "company"}
_BOOLEANS = {"是": True, "true": True, "yes": True, "1": True, "否": False, "false": False, "no": False, "0": False}
_CONTACTS = frozenset({"phone", "email"})
_COLUMNS = _CONTACTS | {"name", "company", "kind", "stage"}
PREFIX = "imc"
"""What the ids of rows of customers begin with."""


class People:
    """Whom customers can belong to, and what is known of an installation's fields.

    Args:
        owners: Id of a user by login.
        teams: Id of a team by name; None for a name that several teams have.
        types: Type of a custom field by its key.
    """

    def __init__(
        self,
        owners: Mapping[str, int] | None = None,
        teams: Mapping[str, int | None] | None = None,
        types: Mapping[str, str] | None = None,
    ) -> None:
        self._owners, self._teams, self._types = owners or {}, teams or {}, types or {}

    def owner(self, login: str) -> int:
        """Return the id of a user; raises `RowFault` if there is none."""
        if (found := self._owners.get(login)) is None:
            raise RowFault(Fault("owner", text("there is no user with the login {login!r}", login=login[:100])))
        return found

    def team(self, name: str) -> int:
        """Return the id of a team; raises `RowFault` if there is none, or more than one."""
        found = self._teams.get(name, 0)
        if found == 0:
            raise RowFault(Fault("team", text("there is no team {name!r}", name=name[:100])))
        if found is None:
            raise RowFault(Fault("team", text("there are several teams {name!r}", name=name[:100])))
        return found

    def type(self, key: str) -> str:
        """Return the type of a field, "" if nobody has said one."""
        return self._types.get(key, "")


NOBODY = People()


async def load(platform: Platform) -> People:
    """Return the users, teams and fields of an installation, as they are now."""
    async with platform.db.connection() as connection:
        users = await connection.fetch("SELECT login, id FROM app_user WHERE disabled_at IS NULL")
        teams = await connection.fetch("SELECT name, CASE WHEN count(*) = 1 THEN min(id) END FROM team GROUP BY name")
    fields = await platform.customer_fields.renew(now=True)
    return People(dict(map(tuple, users)), dict(map(tuple, teams)), {key: f.type for key, f in fields.checked.items()})


class Said(NamedTuple):
    """What a row says about a customer.

    Args:
        event: An event without a name.
        own: What it says besides.
        further: Normal identities besides those of the event.
    """

    event: IncomingEvent
    own: Own
    further: Sequence[tuple[str, str]] = ()


class CustomerRows(Cells):
    """Reads rows with columns.

    Args:
        plan: The import.
        settings: The deployment's zone.
        people: Whom customers can belong to.
    """

    def __init__(self, plan: Plan, settings: Settings, people: People) -> None:
        super().__init__(plan, RowIds(plan.content, plan.options.key, PREFIX), settings)
        self._people = people
        self._attributes = [
            (kind, *target) for kind in ("attribute", "date", "list") for target in self._targets.get(kind, ())
        ]

    def said(self, row: Row) -> Said:
        """Return what a row says; raises `RowFault` if a value cannot be read."""
        cells = self.of(row)
        identities = {namespace: cells[index] for namespace, index in self._identities if cells[index]}
        traits: dict[str, Any] = {}
        for field in _COLUMNS & self._single.keys():
            if value := self.one(cells, field):
                traits[field] = self._column(field, value)
                if field in _CONTACTS:
                    identities.setdefault(field, value)
        for kind, key, index, number in self._attributes:
            if cells[index]:
                raw = row.members[self._columns[index]] if row.members is not None else None
                traits[key] = self._attribute(kind, key, cells[index], raw, number)
        updated, since = self.one(cells, "updated_at"), self.one(cells, "created_at")
        event = IncomingEvent(
            name="",
            identities=identities,
            message_id=self.message_id(row, "", cells),
            occurred_at=self.instant("updated_at", updated) if updated else None,
            traits=traits or None,
            source=self.one(cells, "source") or self._source,
        )
        owner, team = self.one(cells, "owner"), self.one(cells, "team")
        own = Own(
            self._people.owner(owner) if owner else None,
            self._people.team(team) if team else None,
            self.instant("created_at", since) if since else None,
        )
        return Said(event, own)

    def _column(self, field: str, value: str) -> Any:
        match field:
            case "kind":
                return _KINDS.get(value, value)
            case "phone" | "email":
                return _normal(field, value)
        return value

    def _attribute(self, kind: str, key: str, value: str, raw: msgspec.Raw | None, number: bool | None) -> Any:
        type_ = self._people.type(key)
        if raw is not None and (bytes(raw)[:1] == b"[" or (number is None and kind == "attribute" and not type_)):
            return msgspec.json.decode(raw)
        if kind == "list" or type_ == "multi_choice":
            return list(dict.fromkeys(part.strip() for part in _BETWEEN.split(value) if part.strip()))
        if kind == "date" or type_ == "date":
            return self.instant(f"attributes.{key}", value).astimezone(self._zone).date().isoformat()
        if type_ == "boolean":
            return _BOOLEANS.get(value.casefold(), value)
        return msgspec.json.decode(value) if number and not type_ and is_number(value) else value


class _Item(msgspec.Struct):
    identities: dict[str, str | list[str]]
    kind: str | None = None
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    company: str | None = None
    stage: str | None = None
    owner: str | None = None
    team: str | None = None
    attributes: dict[str, Any] = {}
    source: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class CustomerItems:
    """Reads lines that are customers as an export writes them; takes what `CustomerRows` takes."""

    def __init__(self, plan: Plan, settings: Settings, people: People) -> None:
        self._ids = RowIds(plan.content, prefix=PREFIX)
        self._source, self._people = plan.options.source, people
        self._decode = msgspec.json.Decoder(_Item, float_hook=Decimal).decode

    def said(self, row: Row) -> Said:
        """Return what a row says; raises `RowFault` if it is no customer."""
        try:
            item = self._decode(row.cells[0])
        except (msgspec.DecodeError, RecursionError) as error:
            raise RowFault(Fault("json", text("the line is no customer ({reason})", reason=error))) from None
        values = {field: value for field in _COLUMNS if (value := getattr(item, field)) is not None}
        lists = {name: [value] if isinstance(value, str) else value for name, value in item.identities.items()}
        event = IncomingEvent(
            name="",
            identities={namespace: given[0] for namespace, given in lists.items() if given},
            message_id=self._ids.of(row, "", ()),
            occurred_at=item.updated_at,
            traits=item.attributes | values or None,
            source=item.source or self._source,
        )
        further = [(name, _normal(name, value)) for name, given in lists.items() for value in given[1:]]
        own = Own(
            None if item.owner is None else self._people.owner(item.owner),
            None if item.team is None else self._people.team(item.team),
            item.created_at,
        )
        return Said(event, own, further)


def _normal(namespace: str, value: str) -> str:
    try:
        return NORMALISERS[namespace](value)
    except BadIdentity as error:
        raise RowFault(Fault("identity", error.message)) from None
