"""One's own profile: language, time zone, colours, password and sessions."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta

from zhike import clock
from zhike.access import own_password, own_roles, sessions
from zhike.access.cookies import set_cookie
from zhike.access.passwords import MAX_PASSWORD
from zhike.access.roles import ROLE_LABELS
from zhike.contracts import Choosable
from zhike.desk import profile
from zhike.desk.profile import Profile, ProfileChange
from zhike.errors import BadRequest, Unauthorized
from zhike.i18n import Text, text
from zhike.ui import Form, FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import decode
from zhike.ui.submitting import about

_AGENTS = (
    ("Edg/", "Edge"),
    ("MicroMessenger", "WeChat"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


class ProfileForm(msgspec.Struct, frozen=True, kw_only=True):
    """What users choose for themselves.

    Args:
        locale: The language; None for that of the browser.
        zone: The time zone; None for the deployment's.
        theme: The colours.
    """

    locale: Annotated[
        Literal["zh_CN", "en"] | None,
        asked("Language", help="Empty: as your browser", options={"zh_CN": "简体中文", "en": "English"}),
    ] = None
    zone: Annotated[
        Annotated[str, Meta(max_length=100)] | None, asked("Time zone", help="Empty: that of the company")
    ] = None
    theme: Annotated[
        Literal["auto", "light", "dark"],
        asked("Colours", options={"auto": "As the device", "light": "Light", "dark": "Dark"}),
    ] = "auto"


class PasswordForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for another password.

    Args:
        old: The present one.
        new: The new one.
        again: The new one, to be sure.
    """

    old: Annotated[str, asked("Present password", kind="password", max_length=MAX_PASSWORD)]
    new: Annotated[
        str, asked("New password", help="Nothing that is soon guessed", kind="password", max_length=MAX_PASSWORD)
    ]
    again: Annotated[str, asked("New password once more", kind="password", max_length=MAX_PASSWORD)]


async def show(call: PageCall) -> Html:
    """Show the profile."""
    return await _page(call, await profile.get(call.host.platform, call.actor))


async def save(call: PageCall) -> Html | Redirect:
    """Change what users choose for themselves."""
    known = await profile.get(call.host.platform, call.actor)
    try:
        typed = decode(ProfileForm, call.form)
    except FormError as error:
        return await _page(call, known, form=error.form, status=422)
    try:
        said = ProfileChange(locale=typed.locale, zone=typed.zone or None, theme=typed.theme)
        await profile.change(call.host.platform, call.actor, said)
    except BadRequest as error:
        return await _page(call, known, form=Form(ProfileForm, typed, {"zone": about(error)[1]}), status=422)
    return call.redirect("/profile", toast=text("Saved"))


async def choose_language(call: PageCall) -> Redirect:
    """Change the language, and go back to where that was asked for."""
    chosen = call.field("locale")
    try:
        said = msgspec.convert({"locale": chosen or None}, ProfileChange)
    except msgspec.ValidationError:
        raise BadRequest(text("{name} is {value!r}, which does not fit", name="locale", value=chosen[:100])) from None
    await profile.change(call.host.platform, call.actor, said)
    try:
        came = urlsplit(call.given.get(b"referer", b"").decode("latin-1"))
    except ValueError:  # no browser sends such a one
        came = urlsplit("")
    path = came.path if came.path.startswith("/") and not came.path.startswith(("//", "/\\")) else "/"
    return call.redirect(f"{path}?{came.query}" if came.query else path)


async def change_password(call: PageCall) -> Html | Redirect:
    """Change the password: all sessions end but this one, which goes on as a new one."""
    known = await profile.get(call.host.platform, call.actor)
    try:
        typed = decode(PasswordForm, call.form)
    except FormError as error:
        return await _page(call, known, password=error.form, status=422)
    wrong: dict[str, Text] = {}
    if typed.new != typed.again:
        wrong["again"] = text("This is not the same as the new password")
    else:
        try:
            _, token = await own_password.change(call.host, call.browser, call.actor, typed.old, typed.new)
        except Unauthorized:
            wrong["old"] = text("This is not your present password")
        except BadRequest as error:
            wrong["new"] = error.message
    if wrong:
        return await _page(call, known, password=Form(PasswordForm, errors=wrong), status=422)
    seconds = int(call.host.sessions.lifetime.total_seconds())
    call.headers.append((b"set-cookie", set_cookie(token, secure=call.browser.secure, seconds=seconds).encode()))
    return call.redirect("/profile", toast=text("The new password holds from now on"))


async def end_session(call: PageCall) -> Redirect:
    """End one of one's own sessions."""
    await sessions.end(call.db, call.host.sessions, call.actor, call.user_id, call.id("session_id"))
    return call.redirect("/profile", toast=text("The session has ended"))


async def end_others(call: PageCall) -> Redirect:
    """End all of one's own sessions but this one."""
    here = call.browser.session
    await sessions.end(call.db, call.host.sessions, call.actor, call.user_id, None, keep=here)
    return call.redirect("/profile", toast=text("You are logged in nowhere else"))


async def zones(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer time zones."""
    wanted = typed.removeprefix("=").strip().replace(" ", "_").casefold()
    return [Choosable(value=zone, label=zone) for zone in _zones() if wanted in zone.casefold()][:limit]


@cache
def _zones() -> list[str]:
    first = ("Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Urumqi", "UTC")
    usable = sorted(zone for zone in available_timezones() if "/" in zone and clock.zone(zone) is not None)
    return [*first, *(zone for zone in usable if zone not in first and not zone.startswith("Etc/"))]


def device(agent: str) -> str:
    """Return what a browser says it is in a few words, such as `Chrome · Windows`."""
    found = [next((name for sign, name in signs if sign in agent), "") for signs in (_AGENTS, _SYSTEMS)]
    return " · ".join(filter(None, found)) or agent[:60]


async def _page(
    call: PageCall, known: Profile, *, form: Form | None = None, password: Form | None = None, status: int = 200
) -> Html:
    chosen = {"locale": known.locale, "zone": known.zone, "theme": known.theme}
    fragment = "password" if password is not None else "choices"
    label: Text | str | None = ROLE_LABELS.get(known.role)
    if label is None:
        own = await own_roles.list_(call.db, call.host.platform.directory)
        label = next((role.label for role in own if role.name == known.role), known.role)
    return await call.render(
        "home/profile.html",
        fragment=fragment,
        status=status,
        profile=known,
        role=label,
        form=form or Form(ProfileForm, chosen),
        password=password or Form(PasswordForm),
        sessions=await sessions.list_(call.db, call.host.sessions, call.user_id, call.browser.session),
        device=device,
    )
