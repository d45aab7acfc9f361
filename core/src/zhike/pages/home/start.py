"""The home page: what is to be done, what has changed, and how the platform is doing."""

from __future__ import annotations

from zhike import clock
from zhike.i18n import Text, text
from zhike.pages import panels
from zhike.ui import Html, PageCall

_PLACES = ("home.main", "home.side")


async def show(call: PageCall) -> Html:
    """Show the panels of the home page, each of which loads by itself."""
    main, side = (panels.placed(call, place) for place in _PLACES)
    return await call.render("home/start.html", main=main, side=side, greeting=_greeting(call))


async def panel(call: PageCall) -> Html:
    """Draw one panel."""
    return await panels.draw(call, panels.find(call, call.path["key"], *_PLACES))


def _greeting(call: PageCall) -> Text:
    hour = clock.now().astimezone(call.zone).hour
    if hour < 5 or hour >= 18:
        return text("Good evening")
    return text("Good morning") if hour < 12 else text("Good afternoon")
