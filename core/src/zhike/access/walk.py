"""Goes along the audit trail row by row and compares each with what the rows before it demand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from zhike.access.chain import START, Head, link
from zhike.i18n import Text, text
from zhike.vault import Keys


class Verified(msgspec.Struct):
    """What was found, counted while `verify` runs.

    Args:
        sealed: Rows of the chain.
        cleared: Those of them whose details were cleared, as erase does.
        waiting: Committed rows that no sealer has come to yet.
        skipped: Ids that no row has: of changes that were rolled back, or of rows that were removed before a sealer
            came to them, which nobody can tell apart.
        problems: What is wrong.
    """

    sealed: int = 0
    cleared: int = 0
    waiting: int = 0
    skipped: int = 0
    problems: int = 0


class Walk:
    """Where the walk stands: the row before, and the value that should be there if it was changed."""

    def __init__(self, keys: Keys, heads: Mapping[int, set[bytes]], found: Verified) -> None:
        self._keys = keys
        self._heads = heads
        self._found = found
        self.sequence = 0
        self._befores = {START}

    def step(self, row: Any) -> list[Text]:
        """Go on to the next row."""
        problems = []
        sequence, told = row["sequence"], {"sequence": row["sequence"], "id": row["id"]}
        self._found.sealed += 1
        if sequence <= self.sequence:  # the index that keeps numbers apart is gone, or one is below 1
            return [_changed(**told)]
        if (missing := sequence - self.sequence - 1) > 0:
            problems.append(removed(self.sequence + 1, missing))
        values = {link(self._keys, before, sequence, row) for before in self._befores}
        # What follows a gap follows from a row that is not there.
        if missing <= 0 and row["chain"] not in values:
            problems.append(_changed(**told))
        if row["details"] is None and row["salt"] is None:
            self._found.cleared += 1
        elif row["details"] is None or row["salt"] is None or _digest(row) != row["digest"]:
            problems.append(text("The details of row {sequence} (id {id}) were changed", **told))
        if self._heads.get(sequence, set()) - {row["chain"]}:
            problems.append(text("Row {sequence} (id {id}) is not the one that the exported head names", **told))
        # If only its value was changed, the next row follows from the one it should have.
        self._befores = {row["chain"], *values} if missing <= 0 else {row["chain"]}
        self.sequence = sequence
        return problems

    def missed(self, numbered: int) -> list[Text]:
        """Tell of exported heads beyond the last row, and of rows that hide behind the number of another one."""
        beyond = max((head for head in self._heads if head > self.sequence), default=0)
        problems = [removed(self.sequence + 1, beyond - self.sequence)] if beyond else []
        if hidden := numbered - self._found.sealed:
            problems.append(text("{count} rows have the number of another one", count=hidden))
        return problems

    def ends_with(self, head: Head) -> bool:
        """Tell whether the chain ends with a head."""
        return head.sequence == self.sequence and head.chain in self._befores


def removed(first: int, count: int) -> Text:
    """Tell of rows that are not there."""
    return text("Rows {first} to {last} were removed", first=first, last=first + count - 1)


def _digest(row: Any) -> bytes:
    return hashlib.sha256(row["salt"] + row["details"].encode()).digest()


def _changed(sequence: int, id: int) -> Text:
    return text("Row {sequence} (id {id}) was changed, or moved there", sequence=sequence, id=id)
