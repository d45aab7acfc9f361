"""One request for a page, and what a page answers with."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from zhike.access.cookies import cookie, csrf_token, masked_csrf, set_cookie
from zhike.api import Call
from zhike.i18n import Text

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.api import Browser, Host
    from zhike.ui.upload import Upload

_TOAST = "zhike-toast"
_PATH = re.compile(r"(/[a-z0-9_-]+)+")  # a cookie may be anybody's
current: ContextVar[PageCall] = ContextVar("zhike.ui.call")
"""The call whose answer is being drawn, for what templates ask without being given it."""


class Html(msgspec.Struct, frozen=True):
    """A page, or a part of one.

    Args:
        text: What is sent.
        status: HTTP status.
    """

    text: str
    status: int = 200


class Redirect(msgspec.Struct, frozen=True):
    """That the browser is to go on to another page.

    Args:
        path: Where to, on this server.
    """

    path: str


class PageCall(Call):
    """One request for a page that may be answered.

    Args:
        actor: Who asks; None on a public page.
        host: The process that serves it.
        path: Values of the path's places, as text.
        headers: The request's headers, names in small letters.
        address: Path and query, as they stand in the address bar.
        browser: Where it comes from; None for a token.

    Attributes:
        form: What the form holds, by name of the field.
        posted: Whether a form was sent.
        uploaded: The file that comes with it, which is read once, or None.
    """

    __slots__ = ("address", "form", "given", "posted", "uploaded")

    def __init__(
        self,
        *,
        actor: Actor | None,
        host: Host,
        path: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        address: str = "/",
        browser: Browser | None = None,
    ) -> None:
        language = headers.get(b"accept-language", b"").decode("latin-1")
        super().__init__(actor=actor, host=host, path=path, accept_language=language or None, browser=browser)
        self.given = headers
        self.address = address
        self.form: dict[str, list[str]] = {}
        self.posted = False
        self.uploaded: Upload | None = None

    def identify(self, actor: Actor | None, browser: Browser) -> None:
        """Note who asks, and from where, once that is known."""
        self._actor = actor
        self._browser = browser

    @property
    def fragment(self) -> bool:
        """Whether htmx asks for a part of the page (htmx 4 says so in HX-Request-Type)."""
        return self.given.get(b"hx-request-type") == b"partial"

    @property
    def target(self) -> str | None:
        """Id of the element that htmx will change, which it names as `tag#id`."""
        return self.given.get(b"hx-target", b"").decode("latin-1").partition("#")[2] or None

    @property
    def viewer(self) -> Actor | None:
        """Who asks, or None on a public page."""
        return self._actor

    @property
    def known(self) -> bool:
        """Whether somebody has said who they are."""
        return self._actor is not None

    @property
    def user_id(self) -> int | None:
        """Id of the user who asks, also by a token of theirs."""
        return self._actor.user_id if self._actor is not None else None

    @property
    def zone(self) -> ZoneInfo:
        """The reader's time zone."""
        chosen = self._actor.zone if self._actor is not None else None
        return ZoneInfo(chosen) if chosen else self.settings.zone

    @property
    def csrf(self) -> str:
        """What forms of this page send along, another text each time; "" without a session."""
        token = self._browser.token if self._browser is not None and self._actor is not None else None
        return masked_csrf(csrf_token(token)) if token else ""

    @property
    def version(self) -> int:
        """The version of what the form was made from, as its hidden field `version` says; 0 if it says none."""
        given = self.field("version")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0

    def may(self, permission: str) -> bool:
        """Tell whether the reader holds a permission, for some customers at least."""
        return self._actor is not None and self._actor.scope(permission) is not None

    def field(self, name: str, default: str = "") -> str:
        """Return what one field of the form holds; the last one where there are several."""
        return (self.form.get(name) or [default])[-1]

    async def render(self, template: str, *, fragment: str | None = None, status: int = 200, **names: Any) -> Html:
        """Draw a page; if htmx asks for a part of it, only the template's block `fragment`.

        Args:
            template: Such as `tagging/groups.html`.
            fragment: The block to send for a part; the whole page where it is None.
            status: HTTP status; 422 where a form is shown again with its errors.
            names: What the template is given.
        """
        block = fragment if self.fragment else None
        return Html(self.host.ui.render(self, template, block, {"status": status, **names}), status)

    def redirect(self, path: str, toast: Text | None = None, *, undo: str = "") -> Redirect:
        """Go on to another page, which shows the text `toast` for a moment.

        Args:
            path: Where to, on this server.
            toast: What to say.
            undo: What a button beside it posts to, so that it is undone; "" for none.
        """
        if toast is not None:
            value = base64.urlsafe_b64encode(f"{undo}\n{toast.render(self.locale)}".encode()).decode()
            self._keep_toast(value, 60)
        return Redirect(path)

    def toast(self, text: Text, *, kind: str = "success") -> None:
        """Show a text for a moment, together with the part that is answered.

        Args:
            text: What to say.
            kind: `success`, `info`, `warning` or `danger`.
        """
        self.event("toast", {"text": text.render(self.locale), "kind": kind})

    def event(self, name: str, detail: object = None) -> None:
        """Have htmx trigger an event on the page, after the part that is answered is in its place.

        Args:
            name: Of the event.
            detail: What it carries; sent as ASCII, since headers can be no more.
        """
        events: dict[str, object] = {}
        for at, (header, value) in enumerate(self.headers):
            if header == b"hx-trigger":
                events = json.loads(value)
                del self.headers[at]
                break
        events[name] = detail
        self.headers.append((b"hx-trigger", json.dumps(events).encode()))

    def taken_toast(self) -> tuple[str, str] | None:
        """Return what the page before wanted to be said on this one, once, and what undoes it or ""."""
        value = cookie(self.given.get(b"cookie", b""), _TOAST, secure=self._secure)
        if not value:
            return None
        self._keep_toast("", 0)
        try:
            undo, _, told = base64.urlsafe_b64decode(value).decode().partition("\n")
        except ValueError:
            return None
        return told, undo if _PATH.fullmatch(undo) else ""

    @property
    def _secure(self) -> bool:
        return self._browser is not None and self._browser.secure

    def _keep_toast(self, value: str, seconds: int) -> None:
        header = set_cookie(value, secure=self._secure, seconds=seconds, base=_TOAST)
        self.headers.append((b"set-cookie", header.encode()))
