"""Draws the panels of plugins, so that one that fails, hangs or answers rubbish is a small error and nothing else."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from zhike.errors import Forbidden, NotFound, ZhikeError, where
from zhike.hooks import BUDGETS
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall

if TYPE_CHECKING:
    from zhike.contracts import Panel

_log = logging.getLogger("zhike.pages")


def placed(call: PageCall, *places: str) -> list[Panel]:
    """Return the panels of some places that the reader may see, in their order."""
    panels = call.host.platform.registry.panels.values()
    seen = [panel for panel in panels if panel.place in places and _open(call, panel)]
    return sorted(seen, key=lambda panel: (panel.order, panel.key))


def find(call: PageCall, key: str, *places: str) -> Panel:
    """Return a panel of one of some places.

    Raises:
        NotFound: If there is none.
        Forbidden: If the reader may not see it.
    """
    panel = call.host.platform.registry.panels.get(key)
    if panel is None or panel.place not in places:
        raise NotFound(text("There is no panel {key}", key=key))
    if not _open(call, panel):
        raise Forbidden(text("{name} may not see this", name=call.actor.name))
    return panel


def _open(call: PageCall, panel: Panel) -> bool:
    scope = call.actor.scope(panel.permission)
    return scope == "all" if panel.whole else scope is not None


async def draw(call: PageCall, panel: Panel, **known: Any) -> Html:
    """Draw a panel; what it raises is told in its place.

    Args:
        call: The request for it.
        panel: What to draw.
        known: What its `load` is called with besides the call; its template knows that too.
    """
    try:
        async with asyncio.timeout(BUDGETS["provide"]):
            names = await panel.load(call, **known)
        return await call.render(panel.template, panel=panel, **known, **dict(names))
    except TimeoutError:
        problem = text("It took longer than {n} seconds", n=int(BUDGETS["provide"]))
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise  # the reader has gone
        problem = text("An error in the plugin")
    except ZhikeError as error:
        problem = error.message
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        _log.warning("the panel %s failed: %s", panel.key, where(error))
        problem = text("An error in the plugin")
    return await failed(call, panel, problem)


async def failed(call: PageCall, panel: Panel, problem: Text) -> Html:
    """Say in a panel's place why it is not there."""
    return await call.render("home/panel_failed.html", panel=panel, problem=problem, again=call.address)
