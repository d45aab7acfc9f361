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
from zhike_imports.columns.mapping import Mapping
from zhike_imports.files.lines import Fault
from zhike_imports.files.readers import Row

# How shops' exports keep Excel from reading an id as a number: ="00123" or '00123.
_EXCEL_TEXT = re.compile(r'="(.*)"|\'(\d.*)', re.DOTALL)


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
    """

    def __init__(self, sha256: str, key: Sequence[str] = ()) -> None:
        self._prefix = f"imp:{sha256[:16]}:"
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
        return f"imp:key:{digest[:32]}"


class Assembler:
    """Makes events of rows by a mapping.

    Args:
        mapping: Every column's target.
        header: The columns of a row's cells; of JSON Lines none.
        ids: Where message ids come from.
        key: The key columns.
        event: Name of rows that have none of their own, or None.
        source: Source of rows that have none of their own.
        settings: The deployment's currency and zone.
    """

    def __init__(
        self,
        mapping: Mapping,
        header: Sequence[str],
        *,
        ids: RowIds,
        key: Sequence[str],
        event: str | None,
        source: str,
        settings: Settings,
    ) -> None:
        self._columns = list(header) or list(mapping)
        self._known = frozenset(self._columns)
        self._typed = not header
        self._ids, self._event, self._source = ids, event or "", source
        self._currency_default, self._zone = settings.currency, settings.zone
        self._key = [self._columns.index(column) for column in key]
        place = {column: index for index, column in enumerate(self._columns)}
        by_kind: dict[str, list[tuple[str, int, bool | None]]] = {}
        for column, target in mapping.items():
            if column in place:
                by_kind.setdefault(target.kind, []).append((target.key, place[column], target.number))
        self._identities = [(key, index) for key, index, _ in by_kind.get("identity", [])]
        self._times = [index for _, index, _ in by_kind.get("occurred_at", [])]
        self._traits = by_kind.get("trait", [])
        self._properties = [(f"{quoted(key)}:", index, number) for key, index, number in by_kind.get("property", [])]
        loose = {index for kind in ("trait", "property", "ignore") for _, index, _ in by_kind.get(kind, [])}
        self._strict = [index not in loose for index in range(len(self._columns))]
        self._single = {kind: entries[0][1] for kind, entries in by_kind.items()}

    def event(self, row: Row) -> IncomingEvent:
        """Make the event of a row.

        Raises:
            RowFault: If a value cannot be read.
        """
        cells = [_clean(cell) for cell in row.cells] if row.members is None else self._texts(row.members)
        name = self._one(cells, "name") or self._event
        currency = self._one(cells, "currency") or self._currency_default
        amount = self._amount(cells, currency)
        return IncomingEvent(
            name=name,
            identities={namespace: cells[index] for namespace, index in self._identities if cells[index]},
            message_id=self._one(cells, "message_id") or self._ids.of(row, name, [cells[index] for index in self._key]),
            occurred_at=self._occurred_at(cells),
            traits=self._trait_values(cells, row.members) or None,
            amount=amount,
            currency=currency if amount is not None else None,
            properties=msgspec.Raw(self._property_text(cells, row.members)),
            source=self._one(cells, "source") or self._source,
        )

    def _one(self, cells: Sequence[str], kind: str) -> str:
        index = self._single.get(kind)
        return "" if index is None else cells[index]

    def _amount(self, cells: Sequence[str], currency: str) -> Decimal | None:
        value = self._one(cells, "amount")
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
        try:
            return dates.read(value, self._zone)
        except dates.BadDate as error:
            raise RowFault(Fault("occurred_at", error.message)) from None

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


def _clean(cell: str) -> str:
    value = cell.strip()
    if value[:1] in {"=", "'"} and (found := _EXCEL_TEXT.fullmatch(value)):
        return (found[1] or found[2] or "").strip()
    return value
