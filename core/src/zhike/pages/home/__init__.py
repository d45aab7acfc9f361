"""The home page, search, notices and one's own profile."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import CUSTOMERS_READ, EVENTS_READ
from zhike.api import Personal
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.desk.api import NoticesQuery
from zhike.i18n import text
from zhike.pages.home import changed, gallery, notices, pickers, profile, progress, search, start, trend
from zhike.pages.home.pickers import PICKERS

_ALL = Personal("each part of the answer asks for its own permission")
_OWN = Personal("it concerns nothing but the caller's own things")
_DEV = Personal("it shows nothing but the kit")

PAGES: Sequence[PageRoute] = (
    PageRoute(path="/", handler=start.show, permission=_ALL),
    PageRoute(path="/start/panels/{key}", handler=start.panel, permission=_ALL),
    PageRoute(path="/search", handler=search.show, permission=_ALL, query=search.SearchQuery),
    PageRoute(path="/search/suggest", handler=search.suggest, permission=_ALL, query=search.SearchQuery),
    PageRoute(path="/search/pick", handler=pickers.pick, permission=_ALL),
    PageRoute(path="/profile", handler=profile.show, permission=_OWN),
    PageRoute(method="POST", path="/profile", handler=profile.save, permission=_OWN),
    PageRoute(method="POST", path="/profile/language", handler=profile.choose_language, permission=_OWN),
    PageRoute(method="POST", path="/profile/password", handler=profile.change_password, permission=_OWN),
    PageRoute(method="POST", path="/profile/sessions/end", handler=profile.end_others, permission=_OWN),
    PageRoute(method="POST", path="/profile/sessions/{session_id}/end", handler=profile.end_session, permission=_OWN),
    PageRoute(path="/notices", handler=notices.show, permission=_OWN, query=NoticesQuery),
    PageRoute(path="/notices/count", handler=notices.count, permission=_OWN),
    PageRoute(path="/notices/bell", handler=notices.bell, permission=_OWN),
    PageRoute(method="POST", path="/notices/read", handler=notices.read, permission=_OWN),
    PageRoute(path="/notices/{notice_id}", handler=notices.follow, permission=_OWN),
    PageRoute(path="/progress", handler=progress.show, permission=_OWN, query=progress.ProgressQuery),
    PageRoute(path="/progress/{progress_id}", handler=progress.one, permission=_OWN),
    PageRoute(method="POST", path="/progress/{progress_id}/cancel", handler=progress.cancel, permission=_OWN),
    PageRoute(path="/dev/gallery", handler=gallery.show, permission=_DEV),
    PageRoute(path="/dev/gallery/panel", handler=gallery.panel, permission=_DEV),
)
NAV: Sequence[NavItem] = (NavItem(key="pages.home", label=text("Home"), icon="home", path="/", order=1),)
PANELS: Sequence[Panel] = (
    Panel(
        key="pages.trend",
        label=text("The last 30 days"),
        load=trend.load,
        template="home/trend.html",
        permission=EVENTS_READ,
        place="home.main",
        order=15,
        whole=True,
    ),
    Panel(
        key="pages.newest",
        label=text("New customers"),
        load=changed.load,
        template="home/changed.html",
        permission=CUSTOMERS_READ,
        place="home.side",
        order=50,
    ),
)

__all__ = ["NAV", "PAGES", "PANELS", "PICKERS"]
