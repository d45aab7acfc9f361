"""How values are shown: instants in the reader's zone, numbers and money as the reader's language writes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from zhike import clock
from zhike.i18n import Text, text
from zhike.ui.call import current

if TYPE_CHECKING:
    from babel import Locale

    from zhike.platform import Platform

_MONTHS_DAYS = {"zh_CN": "M月d日", "en": "d MMM"}
_DATES = {"zh_CN": "yyyy年M月d日", "en": "d MMM yyyy"}


@functools.cache
def _manners(locale: str) -> Locale:
    """Return how a language writes things; Babel would look for it a millisecond each time."""
    from babel import Locale

    return Locale.parse(locale)


def instant(value: datetime | None, *, absent: str = "—", today: str = "") -> Markup:
    """Return an instant in the reader's zone, as short as it is clear; the exact one is shown on hover.

    Args:
        value: The instant.
        absent: What stands for none.
        today: What stands before the time where it is today's.
    """
    from babel.dates import format_datetime

    if value is None:
        return escape(absent)
    call = current.get()
    local, now = value.astimezone(call.zone), clock.now().astimezone(call.zone)
    if local.date() == now.date():
        shown = f"{today} {local:%H:%M}".lstrip()
    elif local.year == now.year:
        shown = f"{format_datetime(local, _MONTHS_DAYS[call.locale], locale=_manners(call.locale))} {local:%H:%M}"
    else:
        shown = format_datetime(local, _DATES[call.locale], locale=_manners(call.locale))
    exact = f"{local:%Y-%m-%d %H:%M:%S %Z}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(value.isoformat(), exact, shown)


def day(value: date | datetime | None, *, absent: str = "—") -> Markup:
    """Return a date as the reader's language writes it; of an instant, the date in the reader's zone."""
    from babel.dates import format_date

    if value is None:
        return escape(absent)
    call = current.get()
    if isinstance(value, datetime):
        value = value.astimezone(call.zone).date()
    shown = format_date(value, _DATES[call.locale], locale=_manners(call.locale))
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), shown)


def date_in(value: str) -> Markup | str:
    """Return a date that is stored as text as the reader's language writes it; what is no date as it is."""
    try:
        return day(date.fromisoformat(value))
    except ValueError:
        return value


def number(value: float | Decimal | None, *, absent: str = "—") -> str:
    """Return a number with separators between its thousands, and at most three places after the point."""
    from babel.numbers import format_decimal

    if value is None:
        return absent
    return str(format_decimal(value, locale=_manners(current.get().locale), group_separator=True))


def money(value: Decimal | float | str | None, currency: str | None = None, *, absent: str = "—") -> str:
    """Return an amount in major units with the sign of its currency; the deployment's where none is named."""
    from babel.numbers import format_currency

    if value is None:
        return absent
    call = current.get()
    return str(format_currency(Decimal(str(value)), currency or call.settings.currency, locale=_manners(call.locale)))


def listed(values: Iterable[object]) -> Text:
    """Return values one after the other, as the reader's language lists them."""
    return text("{what}", what=list(values))


def percent(value: float | None, *, absent: str = "—") -> str:
    """Return a share of one as a percentage with one place."""
    from babel.numbers import format_percent

    return absent if value is None else str(format_percent(value, "#,##0.#%", locale=_manners(current.get().locale)))


def user_name(user_id: int | None, *, absent: str = "—") -> str:
    """Return a user's name."""
    if user_id is None:
        return absent
    call = current.get()
    return call.host.ui.people.users.get(user_id) or text("User {id}", id=user_id).render(call.locale)


def team_name(team_id: int | None, *, absent: str = "—") -> str:
    """Return a team's name."""
    if team_id is None:
        return absent
    call = current.get()
    return call.host.ui.people.teams.get(team_id) or text("Team {id}", id=team_id).render(call.locale)


def author(origin: str) -> Text | str:
    """Return who did something, by the origin that is stored of it, such as `user:3`."""
    kind, _, name = origin.partition(":")
    if kind == "user" and name.isdigit():
        return user_name(int(name))
    if kind == "plugin":
        return text("The plugin {name}", name=plugin_name(name))
    return text("A program") if kind == "token" else text("Zhike")


def label_of_plugin(platform: Platform, name: str | None) -> Text | str:
    """Return what a plugin calls itself in `LABEL`; what belongs to the core is Zhike's."""
    if name is None or name in platform.registry.core:
        return text("Zhike")
    plugin = platform.plugins.get(name)
    return getattr(plugin.module, "LABEL", name) if plugin else name


def plugin_name(name: str | None) -> Text | str:
    """Return what a plugin is called for people."""
    return label_of_plugin(current.get().host.platform, name)


def job_name(name: str) -> Text | str:
    """Return what a kind of job is called for people."""
    known = current.get().host.platform.registry.jobs.get(name)
    return known.label or name if known else name


def phone(value: str | None, *, absent: str = "—") -> str:
    """Return a phone number with spaces, of the mainland as people say it: 138 0013 8000."""
    if not value:
        return absent
    local = value.removeprefix("+86")
    return f"{local[:3]} {local[3:7]} {local[7:]}" if len(local) == 11 and local[0] == "1" else value


def finalize(value: Any) -> Any:
    """Render texts in the reader's language; None is shown as nothing."""
    if isinstance(value, Text):
        return value.render(current.get().locale)
    return "" if value is None else value


FILTERS: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (instant, day, number, money, percent, user_name, team_name, author, plugin_name, job_name, phone)
}
