"""Plugins, jobs, consumers and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import (
    CONSUMERS_MANAGE,
    CONSUMERS_READ,
    JOBS_MANAGE,
    JOBS_READ,
    PLUGINS_MANAGE,
    PLUGINS_READ,
)
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.operations import consumers, health, jobs, letters, plugins, schedules, switching

PAGES: Sequence[PageRoute] = (
    PageRoute(path="/plugins", handler=plugins.listed, permission=PLUGINS_READ),
    PageRoute(path="/plugins/{name}", handler=plugins.show, permission=PLUGINS_READ),
    PageRoute(path="/plugins/{name}/health", handler=plugins.health, permission=PLUGINS_READ),
    PageRoute(path="/plugins/{name}/enable", handler=switching.ask_enabling, permission=PLUGINS_MANAGE),
    PageRoute(method="POST", path="/plugins/{name}/enable", handler=switching.enable, permission=PLUGINS_MANAGE),
    PageRoute(path="/plugins/{name}/disable", handler=switching.ask_disabling, permission=PLUGINS_MANAGE),
    PageRoute(method="POST", path="/plugins/{name}/disable", handler=switching.disable, permission=PLUGINS_MANAGE),
    PageRoute(method="POST", path="/plugins/{name}/retry/{hook}", handler=switching.retry, permission=PLUGINS_MANAGE),
    PageRoute(path="/jobs", handler=jobs.listed, permission=JOBS_READ, query=jobs.JobsQuery),
    PageRoute(path="/jobs/{job_id}", handler=jobs.show, permission=JOBS_READ),
    PageRoute(method="POST", path="/jobs/{verb}/ask", handler=jobs.ask, permission=JOBS_MANAGE),
    PageRoute(method="POST", path="/jobs/{verb}/start", handler=jobs.change, permission=JOBS_MANAGE),
    PageRoute(path="/jobs/schedules", handler=schedules.listed, permission=JOBS_READ, query=schedules.SchedulesQuery),
    PageRoute(method="POST", path="/jobs/schedules/run", handler=schedules.run, permission=JOBS_MANAGE),
    PageRoute(path="/consumers", handler=consumers.listed, permission=CONSUMERS_READ),
    PageRoute(path="/consumers/{name}", handler=consumers.show, permission=CONSUMERS_READ),
    PageRoute(
        path="/consumers/{name}/count",
        handler=consumers.count,
        permission=CONSUMERS_MANAGE,
        query=consumers.CountQuery,
    ),
    PageRoute(path="/consumers/{name}/{verb}", handler=consumers.ask, permission=CONSUMERS_MANAGE),
    PageRoute(method="POST", path="/consumers/{name}/{verb}", handler=consumers.change, permission=CONSUMERS_MANAGE),
    PageRoute(path="/deadletters", handler=letters.listed, permission=CONSUMERS_READ, query=letters.LettersQuery),
    PageRoute(path="/deadletters/{verb}", handler=letters.ask, permission=CONSUMERS_MANAGE, query=letters.AskQuery),
    PageRoute(method="POST", path="/deadletters/{verb}", handler=letters.ask_some, permission=CONSUMERS_MANAGE),
    PageRoute(method="POST", path="/deadletters/{verb}/start", handler=letters.change, permission=CONSUMERS_MANAGE),
)
_nav = partial(NavItem, group="settings", under=text("Operations"))
NAV: Sequence[NavItem] = (
    _nav(key="pages.plugins", label=text("Plugins"), icon="plug", path="/plugins", permission=PLUGINS_READ, order=60),
    _nav(key="pages.jobs", label=text("Jobs"), icon="player-track-next", path="/jobs", permission=JOBS_READ, order=61),
    _nav(
        key="pages.schedules",
        label=text("Schedules"),
        icon="calendar-clock",
        path="/jobs/schedules",
        permission=JOBS_READ,
        order=62,
    ),
    _nav(
        key="pages.consumers",
        label=text("Consumers"),
        icon="arrows-split-2",
        path="/consumers",
        permission=CONSUMERS_READ,
        order=63,
    ),
    _nav(
        key="pages.deadletters",
        label=text("Dead letters"),
        icon="mail-x",
        path="/deadletters",
        permission=CONSUMERS_READ,
        order=64,
    ),
)
PANELS: Sequence[Panel] = (
    Panel(
        key="pages.health",
        label=text("Health of the platform"),
        load=health.load,
        template="operations/health.html",
        permission=PLUGINS_READ,
        place="home.side",
        order=90,
    ),
)
