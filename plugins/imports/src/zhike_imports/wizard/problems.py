"""What is wrong with a file or its columns, in the words of a page: what to choose, not which option to give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from zhike.i18n import Text, text

_SAID = {
    "no column says who the customer is; say --map COLUMN=identity:external_id ({columns})": text(
        "Choose the column that says who the customer is, such as a customer number or a phone number."
    ),
    "no column says when it happened; say --map COLUMN=occurred_at (columns: {columns})": text(
        "Choose the column that says when it happened."
    ),
    "nothing names the events; say --event order.paid or --map COLUMN=name (columns: {columns})": text(
        "Say what the events are called, or choose the column that names them."
    ),
    "columns {first!r} and {second!r} are both mapped to {target}": text(
        "{first} and {second} cannot both be this; choose something else for one of them."
    ),
    "there is no column {column!r}; the columns are {columns}": text("The file has no column {column} any more."),
    "{path} looks like UTF-16 without a byte order mark; say --encoding utf-16-le": text(
        "{path} looks like UTF-16; choose that encoding."
    ),
    "{path} has two columns named {name!r}; rename one of them in its header": text(
        "{path} has two columns called {name}; rename one of them and upload the file again."
    ),
    "each line of {path} is a whole event; --map and --key are for files with columns": text(
        "Each line of {path} is whole as it is; there are no columns to choose for."
    ),
}
"""What the command says, and what a page says instead."""
_COLUMNS = ("first", "second", "column")


class Problem(NamedTuple):
    """What is wrong.

    Args:
        message: For people.
        columns: The columns beside which it is to stand; none if it concerns all.
        event: Whether it stands beside the name of the events.
    """

    message: Text
    columns: Sequence[str] = ()
    event: bool = False


def told(message: Text) -> Problem:
    """Return what a page says where the command would have said `message`."""
    params = message.params
    if "path" in params:
        params = {**params, "path": PurePath(str(params["path"])).name}
    said = _SAID.get(message.msgid)
    columns = [str(params[name]) for name in _COLUMNS if name in params] if said is not None else []
    msgid = message.msgid if said is None else said.msgid
    return Problem(Text(msgid, params), columns, event=message.msgid.startswith("nothing names the events"))
