"""What stands around every page: the navigation the reader may use, and what is wrong with the installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from zhike.access.roles import PLUGINS_READ
from zhike.config.groups import General
from zhike.i18n import Text, text

if TYPE_CHECKING:
    from zhike.contracts import NavItem
    from zhike.ui.call import PageCall

GROUPS = {
    "work": text("Workbench"),
    "customers": text("Customers"),
    "automation": text("Automation"),
    "insight": text("Insight"),
    "data": text("Data"),
    "settings": text("Settings"),
}


class Entry(msgspec.Struct, frozen=True):
    """An entry of the navigation as one reader sees it.

    Args:
        label: What it says.
        icon: Name of its icon.
        path: What it opens.
        active: Whether the page belongs to it.
    """

    label: Text | str
    icon: str
    path: str
    active: bool


class Group(msgspec.Struct, frozen=True):
    """A part of the navigation.

    Args:
        key: Its name.
        label: Its heading.
        items: Its entries.
    """

    key: str
    label: Text
    items: list[Entry]


class Shell(msgspec.Struct, frozen=True):
    """What stands around a page.

    Args:
        company: Whose installation it is, or "".
        groups: The navigation.
        tabs: Entries that share the one of this page in the navigation, or [].
        toast: What the page before wanted to be said, and what undoes it or "".
        problems: Plugins that do not run, for those who may see plugins.
    """

    company: str
    groups: list[Group]
    tabs: list[Entry]
    toast: tuple[str, str] | None
    problems: list[Text]


def shell(call: PageCall) -> Shell:
    """Return what stands around the page that answers `call`."""
    if call.fragment:
        return Shell("", [], [], None, [])
    platform = call.host.platform
    items = sorted(platform.registry.nav_items.values(), key=lambda item: (item.order, item.key))
    seen = [item for item in items if call.known and (item.permission is None or call.may(item.permission))]
    here = call.address.partition("?")[0].rstrip("/") + "/"
    standing = [item for item in seen if _stands_in(here, item.path)]
    active = max(standing, key=lambda item: len(item.path), default=None)
    groups = [
        Group(key, label, _entries([each for each in seen if each.group == key], active))
        for key, label in GROUPS.items()
    ]
    problems = [problem.told for problem in platform.problems] if call.may(PLUGINS_READ) else []
    shown = [group for group in groups if group.items]
    return Shell(platform.config.get(General).company, shown, _tabs(seen, active, here), call.taken_toast(), problems)


def _entries(items: list[NavItem], active: NavItem | None) -> list[Entry]:
    """Return the entries of a part of the navigation: items that stand under the same word are one."""
    families: dict[tuple[str, str], list[NavItem]] = {}
    for item in items:
        families.setdefault((str(item.under), "" if item.under else item.key), []).append(item)
    return [
        Entry(family[0].under or family[0].label, family[0].icon, family[0].path, active in family)
        for family in families.values()
    ]


def _tabs(seen: list[NavItem], active: NavItem | None, here: str) -> list[Entry]:
    """Return the tabs of a page that an entry opens; what is below it has breadcrumbs."""
    if active is None or not active.under or here != active.path.rstrip("/") + "/":
        return []
    family = [each for each in seen if (each.group, str(each.under)) == (active.group, str(active.under))]
    return [Entry(each.label, each.icon, each.path, each is active) for each in family] if len(family) > 1 else []


def _stands_in(here: str, path: str) -> bool:
    """Tell whether a page is the one of an entry, or below it; below the home page is none."""
    return here == "/" if path == "/" else here.startswith(path.rstrip("/") + "/")
