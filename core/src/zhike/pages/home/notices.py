"""Notices: the bell, the list, and noting that they were read."""

from __future__ import annotations

from zhike.api import MAX_ID, PageQuery
from zhike.desk import notices
from zhike.desk.api import NoticesQuery
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text
from zhike.ui import Html, PageCall, Redirect

_FEW = 8
CHANGED = "zk:notices"
"""The event after which the bell counts anew."""
_ICONS = {
    "task": "checkbox",
    "progress": "progress",
    "import": "file-import",
    "export": "file-export",
    "plugin": "plug",
    "tag": "tag",
}


async def show(call: PageCall, query: NoticesQuery) -> Html:
    """List one's own notices, the newest first."""
    key = call.host.cursor_key
    found = await notices.list_(call.db, _user(call), query, call.locale, unread=query.unread, key=key)
    number = await notices.unread(call.db, _user(call))
    return await call.render(
        "home/notices.html",
        fragment="list",
        notices=found.items,
        older=found.next,
        query=query,
        number=number,
        icons=_ICONS,
    )


async def count(call: PageCall) -> Html:
    """Say beside the bell how many are not read."""
    return await call.render("home/notices_count.html", number=await notices.unread(call.db, _user(call)))


async def bell(call: PageCall) -> Html:
    """Show the newest below the bell."""
    found = await notices.list_(call.db, _user(call), PageQuery(limit=_FEW), call.locale)
    number = await notices.unread(call.db, _user(call))
    return await call.render("home/notices_bell.html", notices=found.items, number=number, icons=_ICONS)


async def follow(call: PageCall) -> Redirect:
    """Note that a notice was read, and go on to what it is about."""
    notice_id = call.id("notice_id")
    path = await notices.path(call.db, _user(call), notice_id)
    if path is None:
        raise NotFound(text("There is nothing with the id {id}", id=notice_id))
    await notices.mark_read(call.db, _user(call), [notice_id])
    return call.redirect(path or "/notices")


async def read(call: PageCall) -> Html | Redirect:
    """Note that some notices were read, or all where none is named."""
    given = call.form.get("id", [])
    if not all(each.isascii() and each.isdigit() and len(each) < 20 and int(each) <= MAX_ID for each in given):
        raise BadRequest(text("Those who are picked cannot be told; pick them again"))
    await notices.mark_read(call.db, _user(call), [int(each) for each in given] or None)
    if not call.fragment:
        return call.redirect("/notices")
    call.event(CHANGED)
    return await bell(call) if call.field("bell") else await show(call, NoticesQuery())


def _user(call: PageCall) -> int:
    return call.user_id or 0  # who has logged in is one
