"""What `kit/table.html` draws: columns, rows, filters, saved views and what can be done to many rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode

import msgspec

from zhike.i18n import Text
from zhike.ui import call

_LONG = 7_000
"""Characters of an address up to which it carries the way back, a hundred pages of it; more than 8,192 is refused."""
CellKind = Literal[
    "text", "number", "money", "percent", "instant", "day", "user", "team", "phone", "tags", "badge", "switch", "custom"
]  # fmt: skip


class TableColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table.

    Args:
        key: Names the value in each row.
        label: Its heading.
        kind: How a value is drawn; `custom` by the page itself, in a call block around `table`.
        sort: What the query's `sort` is to say; "" if rows cannot be sorted by it.
        shown: Whether it is there; the others are offered in the menu of columns.
    """

    key: str
    label: Text | str
    kind: CellKind = "text"
    sort: str = ""
    shown: bool = True


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """A field above a table that narrows it; what it holds is in the query by its name.

    Args:
        name: Name of the query parameter; a `range` has two, `<name>_from` and `<name>_to`.
        label: Its name for people.
        kind: How it is asked for; those of pickers offer what `/search/pick` knows.
        options: Value and label of what a `select` offers.
        placeholder: An example; the label where it is empty.
    """

    name: str
    label: Text | str
    kind: Literal["search", "select", "range", "switch", "customer", "user", "team", "tag", "event"] = "search"
    options: Sequence[tuple[str, Text | str]] = ()
    placeholder: Text | str = ""


class TableView(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view, or one that the page offers by itself.

    Args:
        label: Its name.
        path: Address of the page with the view's query.
        active: Whether it is what is shown.
        remove: Address of the dialog that asks whether to remove it; "" if it stays.
    """

    label: Text | str
    path: str
    active: bool = False
    remove: str = ""


class TableAction(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to the rows that are picked.

    Args:
        label: What its button says.
        icon: Name of one of Tabler's icons.
        path: What answers with the dialog that asks for the rest; it is sent `ids`, or `all=1` with the table's query.
        danger: Whether it cannot be undone.
    """

    label: Text | str
    icon: str
    path: str
    danger: bool = False


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of one page.

    Args:
        id: Id of its element, which is also what htmx replaces.
        path: Address of the page.
        columns: From left to right; the first one links to the row's `path`.
        rows: Mappings or structs with a value for each column but those of kind `custom`, `id`, and perhaps
            `path`, what the first column links to.
        query: What narrows and sorts them, as in the address.
        sort: The query's `sort`; with a minus sign the greatest comes first.
        total: How many there are; None if nobody has counted.
        capped: Whether there are more than `total`.
        newer: Cursor of the page before, or "" if only the address knows which one that is; None on the first page.
        older: Cursor of the next page, or None.
        filters: The fields above it.
        views: The saved views.
        save_view: Address of the dialog that saves a view, or "".
        actions: What can be done to the rows that are picked; without any, none can be.
        takes_all: Whether it can be done to all rows that match, too: the form then has `all` and the query.
        export: Address that answers with a file of the rows, or "".
        choose: Whether readers may choose columns; the query's `columns` names them.
        unfolds: Whether a row has `details`, the address of a part that unfolds below it.
        empty: What to say when there is no row at all: `icon`, `title`, `text`, and perhaps `label`, `path`.
    """

    id: str
    path: str
    columns: Sequence[TableColumn]
    rows: Sequence[Any]
    query: Mapping[str, Any] = {}
    sort: str = ""
    total: int | None = None
    capped: bool = False
    newer: str | None = None
    older: str | None = None
    filters: Sequence[Filter] = ()
    views: Sequence[TableView] = ()
    save_view: str = ""
    actions: Sequence[TableAction] = ()
    takes_all: bool = False
    export: str = ""
    choose: bool = False
    unfolds: bool = False
    empty: Mapping[str, Any] = {}

    @property
    def shown(self) -> list[TableColumn]:
        """The columns that are there."""
        return [column for column in self.columns if column.shown]

    @property
    def narrowed(self) -> bool:
        """Whether a filter is set."""
        return any(self.query.get(name) for name in self._filtering)

    @property
    def folds(self) -> bool:
        """Whether all filters but the first stand behind a button on a narrow screen."""
        return len(self.filters) > 2

    @property
    def folded(self) -> int:
        """How many filters behind that button are set."""
        return sum(any(self.query.get(name) for name in _parameters(each)) for each in self.filters[1:])

    @property
    def beside_filters(self) -> list[tuple[str, str]]:
        """The parameters that the form of the filters must hand on."""
        return self.kept(*self._filtering)

    @property
    def _filtering(self) -> set[str]:
        return {name for each in self.filters for name in _parameters(each)}

    def address(self, path: str = "", **changes: Any) -> str:
        """Return the address of the table with some parameters changed; it begins on the first page.

        Args:
            path: Of another page that takes the same query, perhaps with parameters of its own.
            changes: Parameter to value; None takes it away.
        """
        query = {"sort": self.sort, **self.query, "cursor": None, **changes}
        kept = {name: value for name, value in query.items() if value not in (None, "", [], ())}
        base = path or self.path
        return f"{base}{'&' if '?' in base else '?'}{urlencode(kept, doseq=True)}" if kept else base

    @property
    def before(self) -> str | None:
        """The address of the page before: "" if only the way to the first one is known, None if this is the first."""
        if self.newer is None:
            return None
        if self.newer:
            return self.address(cursor=self.newer)
        past, known, cursor = _asked("past").rpartition("~")
        return self.address(cursor=cursor, past=past) if known else ""

    @property
    def after(self) -> str | None:
        """The address of the next page, which holds the cursors of those before it; None on the last one."""
        if self.older is None:
            return None
        room = max(_LONG - len(self.address(cursor=self.older)), 1)
        way = f"{_asked('past')}~{_asked('cursor')}"  # the first page's cursor is ""
        _, *past = way[-room:].partition("~")
        return self.address(cursor=self.older, past="".join(past))

    def order(self, column: TableColumn) -> Literal["ascending", "descending"] | None:
        """Return how the rows are sorted by a column, in the words of `aria-sort`."""
        if not column.sort or self.sort.removeprefix("-") != column.sort:
            return None
        return "descending" if self.sort.startswith("-") else "ascending"

    def sorting(self, column: TableColumn) -> str:
        """Return the address of the table sorted by a column, the other way round if it is already."""
        return self.address(sort=f"-{column.sort}" if self.sort == column.sort else column.sort)

    def kept(self, *names: str) -> list[tuple[str, str]]:
        """Return the parameters a form must hand on, without `names`, the cursor, and the empty ones."""
        query = {"sort": self.sort, **self.query}
        return [
            (name, str(each))
            for name, value in query.items()
            if name not in names and name != "cursor"
            for each in (value if isinstance(value, list | tuple) else [value])
            if each not in (None, "")
        ]


def _parameters(one: Filter) -> tuple[str, str, str]:
    return one.name, f"{one.name}_from", f"{one.name}_to"


def _asked(name: str) -> str:
    """Return a parameter of the address that is answered."""
    return parse_qs(call.current.get().address.partition("?")[2]).get(name, [""])[-1]
