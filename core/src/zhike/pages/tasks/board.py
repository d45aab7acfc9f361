"""The board of tasks: a column per status, and moving a card from one to another."""

from __future__ import annotations

from typing import Any

from zhike.errors import BadRequest
from zhike.i18n import text
from zhike.pages.tasks.changing import change
from zhike.pages.tasks.narrowing import Narrowing, around, filters
from zhike.pages.tasks.words import STATUSES, shown
from zhike.tasks import board
from zhike.tasks.schemas import TaskChange
from zhike.ui import Html, PageCall
from zhike.ui.rendering import url
from zhike.ui.tables import Table

_MOST = 50
_COLUMNS = ("open", "in_progress", "done")


async def show(call: PageCall, query: Narrowing) -> Html:
    """Show the board."""
    found = await board.board(call.db, call.actor, query.wanted(limit=_MOST), zone=call.zone)
    wanted = [column for column in found.columns if column.status in _COLUMNS]
    cards = {card.id: card for card in await shown(call, [task for column in wanted for task in column.tasks])}
    columns: list[dict[str, Any]] = [
        {
            "key": column.status,
            "label": STATUSES[column.status].label,
            "color": STATUSES[column.status].color,
            "total": column.total,
            "items": [cards[task.id] for task in column.tasks],
            "more": url("/tasks", status=column.status, **query.parameters) if column.total > _MOST else "",
        }
        for column in wanted
    ]
    tools = Table(
        id="board",
        path="/tasks/board",
        columns=(),
        rows=(),
        query=query.parameters,
        filters=await filters(call, query),
    )
    move = url("/tasks/board/move", **query.parameters)
    names = await around(call, query, "/tasks/board")
    return await call.render("tasks/board.html", fragment="board", columns=columns, tools=tools, move=move, **names)


async def move(call: PageCall, query: Narrowing) -> Html:
    """Give a task the status of the column it was put into, and show the board."""
    item, column = call.field("item"), call.field("column")
    if column not in _COLUMNS or not (item.isascii() and item.isdigit() and len(item) < 19):
        raise BadRequest(text("There is no such column"))
    task = await change(call, int(item), TaskChange(status=column))  # type: ignore[arg-type]  # one of the columns
    call.toast(text("“{title}” is at: {status}", title=task.title, status=STATUSES[task.status].label))
    return await show(call, query)
