"""The fields of customers, and the settings of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import CALENDARS_MANAGE, CALENDARS_READ, FIELDS_MANAGE, SETTINGS_OPEN
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.model import calendars, days, editing, fields, settings

_settings = partial(PageRoute, permission=SETTINGS_OPEN)
_calendar = partial(PageRoute, permission=CALENDARS_MANAGE)
_fields = partial(PageRoute, permission=FIELDS_MANAGE)
_ONE = "/settings/calendar/{name}"

PAGES: Sequence[PageRoute] = (
    _settings(path="/settings", handler=settings.first),
    _settings(path="/settings/groups/{group}", handler=settings.show),
    _settings(method="POST", path="/settings/groups/{group}", handler=settings.change),
    PageRoute(
        path="/settings/calendar",
        handler=calendars.show,
        permission=CALENDARS_READ,
        query=calendars.CalendarQuery,
    ),
    _calendar(path="/settings/calendar/new", handler=calendars.ask_new),
    _calendar(method="POST", path="/settings/calendar/new", handler=calendars.make),
    _calendar(method="POST", path=_ONE, handler=calendars.change),
    _calendar(path=f"{_ONE}/day", handler=days.ask, query=days.DayQuery),
    _calendar(method="POST", path=f"{_ONE}/day", handler=days.set_day),
    _calendar(method="POST", path=f"{_ONE}/day/remove", handler=days.remove),
    _calendar(path=f"{_ONE}/list", handler=days.ask_list),
    _calendar(method="POST", path=f"{_ONE}/list", handler=days.set_list),
    _fields(path="/settings/fields", handler=fields.show),
    _fields(method="POST", path="/settings/fields/layout", handler=fields.arrange),
    _fields(path="/settings/fields/group", handler=fields.ask_group, query=fields.GroupQuery),
    _fields(method="POST", path="/settings/fields/group", handler=fields.save_group),
    _fields(method="POST", path="/settings/fields/archive", handler=fields.archive),
    _fields(path="/settings/fields/field", handler=editing.show, query=editing.FieldQuery),
    _fields(method="POST", path="/settings/fields/field", handler=editing.save),
    _fields(method="POST", path="/settings/fields/shape", handler=editing.shape),
    _fields(method="POST", path="/settings/fields/preview", handler=editing.preview),
    _fields(path="/settings/fields/use", handler=editing.usage, query=editing.FieldQuery),
)
_nav = partial(NavItem, group="settings")
NAV: Sequence[NavItem] = (
    _nav(
        key="pages.settings",
        label=text("Settings"),
        icon="settings",
        path="/settings",
        permission=SETTINGS_OPEN,
        order=5,
    ),
    _nav(
        key="pages.fields",
        label=text("Customer fields"),
        icon="forms",
        path="/settings/fields",
        permission=FIELDS_MANAGE,
        order=10,
    ),
    _nav(
        key="pages.calendar",
        label=text("Working calendar"),
        icon="calendar-cog",
        path="/settings/calendar",
        permission=CALENDARS_READ,
        order=15,
    ),
)
PANELS: Sequence[Panel] = ()
