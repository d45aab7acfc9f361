"""Rows become events: values go where the mapping says, and each event gets the id it keeps for ever."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from json.encoder import encode_basestring as quoted
from typing import Any

import msgspec

from zhike.events.schemas import IncomingEvent
from zhike.i18n import text
from zhike.settings import Settings
from zhike_imports.columns import amounts, dates
from zhike_imports.columns.guess import is_number
from zhike_imports.files.formats import FormatKind
from zhike_imports.files.lines import Fault
from zhike_imports.files.readers import Row
from zhike_imports.schemas import Plan

# How exports keep Excel from reading an id as a number, ="00123" or '00123, and ours a text as a formula.
_EXCEL_TEXT = re.compile(r'="(.*)"|\'([\d=+\-@\t\r\n\'].*)', re.DOTALL)

# What may become of any JSON value.
_LOOSE = ("trait", "property", "attribute", "list", "ignore")


class RowFault(Exception):  # an event that cannot be made is no error of the program
    """A row of which no event can be made.

    Args:
        fault: Why.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault.message))
        self.fault = fault


class RowIds:
    """The message ids of rows: by place in this very file, or by the values of key columns across files.

    Args:
        sha256: Hex digest of the file.
        key: Columns whose values tell rows apart; empty for the row's place.
        prefix: What the ids begin with.
    """

    def __init__(self, sha256: str, key: Sequence[str] = (), prefix: str = "imp") -> None:
        self._begin = prefix
        self._prefix = f"{prefix}:{sha256[:16]}:"
        self._key = key

    def of(self, row: Row, name: str, values: Sequence[str]) -> str:
        """Return the id of a row.

        Args:
            row: The row.
            name: Its event name; the same order may be paid and refunded.
            values: Its values in the key columns.

        Raises:
            RowFault: If there are key columns and all their values are empty.
        """
        if not self._key:
            return f"{self._prefix}{row.number:010d}"
        if not any(values):
            raise RowFault(Fault("key", text("the key columns {columns} are empty", columns=", ".join(self._key))))
        digest = hashlib.sha256(msgspec.json.encode([name, *values])).hexdigest()
        return f"{self._begin}:key:{digest[:32]}"


class Cells:
    """The values of rows, found by what their columns mean.

    Args:
        plan: The import.
        ids: Where message ids come from.
        settings: The deployment's currency and zone.
    """

    def __init__(self, plan: Plan, ids: RowIds, settings: Settings) -> None:
        header = () if plan.form.kind is FormatKind.JSON_LINES else plan.header
        self._columns = list(header) or list(plan.mapping)
        self._ids, self._source, self._zone = ids, plan.options.source, settings.zone
        self._key = [self._columns.index(column) for column in plan.options.key]
        place = {column: index for index, column in enumerate(self._columns)}
        self._targets: dict[str, list[tuple[str, int, bool | None]]] = {}
        for column, target in plan.mapping.items():
            if column in place:
                self._targets.setdefault(target.kind, []).append((target.key, place[column], target.number))
        self._identities = [(key, index) for key, index, _ in self._targets.get("identity", [])]
        loose = {index for kind in _LOOSE for _, index, _ in self._targets.get(kind, [])}
        self._strict = [index not in loose for index in range(len(self._columns))]
        self._single = {kind: entries[0][1] for kind, entries in self._targets.items()}

    def of(self, row: Row) -> list[str]:
        """Return a row's values as texts in the order of the columns; raises `RowFault`."""
        return [_clean(cell) for cell in row.cells] if row.members is None else self._texts(row.members)

    def one(self, cells: Sequence[str], kind: str) -> str:
        """Return the value of the one column that means this, or ""."""
        index = self._single.get(kind)
        return "" if index is None else cells[index]

    def message_id(self, row: Row, name: str, cells: Sequence[str]) -> str:
        """Return the id of a row; raises `RowFault`."""
        return self._ids.of(row, name, [cells[index] for index in self._key])

    def instant(self, code: str, value: str) -> datetime:
        """Return the time in a text; raises `RowFault` with the code."""
        try:
            return dates.read(value, self._zone)
        except dates.BadDate as error:
            raise RowFault(Fault(code, error.message)) from None

    def _texts(self, members: dict[str, msgspec.Raw]) -> list[str]:
        """Return JSON members as the texts that a CSV file would have; what is no scalar stays JSON."""
        cells = []
        for column, strict in zip(self._columns, self._strict, strict=True):
            raw = bytes(members.get(column, b""))
            if raw[:1] == b'"':
                try:
                    cells.append(msgspec.json.decode(raw, type=str).strip())
                except msgspec.DecodeError as error:
                    fault = Fault("json", text("{column}: {reason}", column=column, reason=error))
                    raise RowFault(fault) from None
            elif strict and raw[:1] in {b"{", b"[", b"t", b"f"}:
                raise RowFault(Fault("json", text("{column}: expected a text or a number", column=column)))
            else:
                cells.append("" if raw in {b"", b"null"} else raw.decode())
        return cells


class Assembler(Cells):
    """Makes events of rows; takes what `Cells` takes."""

    def __init__(self, plan: Plan, ids: RowIds, settings: Settings) -> None:
        super().__init__(plan, ids, settings)
        self._known = frozenset(self._columns)
        self._event = plan.options.event or ""
        self._currency_default = settings.currency
        self._times = [index for _, index, _ in self._targets.get("occurred_at", [])]
        self._traits = self._targets.get("trait", [])
        properties = self._targets.get("property", [])
        self._properties = [(f"{quoted(key)}:", index, number) for key, index, number in properties]

    def event(self, row: Row) -> IncomingEvent:
        """Make the event of a row.

        Raises:
            RowFault: If a value cannot be read.
        """
        cells = self.of(row)
        name = self.one(cells, "name") or self._event
        currency = self.one(cells, "currency") or self._currency_default
        amount = self._amount(cells, currency)
        return IncomingEvent(
            name=name,
            identities={namespace: cells[index] for namespace, index in self._identities if cells[index]},
            message_id=self.one(cells, "message_id") or self.message_id(row, name, cells),
            occurred_at=self._occurred_at(cells),
            traits=self._trait_values(cells, row.members) or None,
            amount=amount,
            currency=currency if amount is not None else None,
            properties=msgspec.Raw(self._property_text(cells, row.members)),
            source=self.one(cells, "source") or self._source,
        )

    def _amount(self, cells: Sequence[str], currency: str) -> Decimal | None:
        value = self.one(cells, "amount")
        if not value:
            return None
        try:
            return amounts.read(value, currency)
        except amounts.BadAmount as error:
            raise RowFault(Fault("amount", error.message)) from None

    def _occurred_at(self, cells: Sequence[str]) -> datetime:
        value = " ".join(cells[index] for index in self._times).strip()
        if not value:
            raise RowFault(Fault("occurred_at", text("the time is empty")))
        return self.instant("occurred_at", value)

    def _trait_values(self, cells: Sequence[str], members: dict[str, msgspec.Raw] | None) -> dict[str, Any]:
        traits: dict[str, Any] = {}
        for key, index, number in self._traits:
            value = cells[index]
            if not value:
                continue
            if members is not None and number is None:
                traits[key] = msgspec.json.decode(members[self._columns[index]])
            elif number and is_number(value):
                traits[key] = msgspec.json.decode(value)
            else:
                traits[key] = value
        return traits

    def _property_text(self, cells: Sequence[str], members: dict[str, msgspec.Raw] | None) -> str:
        parts: list[str] = []
        for prefix, index, number in self._properties:
            value = cells[index]
            if not value:
                continue
            if members is not None and number is None:
                parts.append(prefix + bytes(members[self._columns[index]]).decode())
            else:
                parts.append(prefix + (value if number and is_number(value) else quoted(value)))
        if members is not None and not members.keys() <= self._known:
            parts += [f"{quoted(key)}:{bytes(raw).decode()}" for key, raw in members.items() if key not in self._known]
        return "{" + ",".join(parts) + "}"


def _clean(cell: str) -> str:
    value = cell.strip()
    if value[:1] in {"=", "'"} and (found := _EXCEL_TEXT.fullmatch(value)):
        return (found[1] or found[2] or "").strip()
    return value
