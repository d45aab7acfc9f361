"""The gallery of the page kit, for those who write pages; served in development only."""

from __future__ import annotations

from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ui import Html, PageCall, gallery


def _require_dev(call: PageCall) -> None:
    if not call.settings.dev:
        raise NotFound(text("There is no such page"))


async def show(call: PageCall) -> Html:
    """Show every part of the kit with its code."""
    _require_dev(call)
    return await call.render("gallery/index.html", examples=gallery.examples(), **gallery.sample())


async def panel(call: PageCall) -> Html:
    """Answer the example of a panel."""
    _require_dev(call)
    return await call.render("gallery/panel.html")
