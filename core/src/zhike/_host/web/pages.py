"""The page at the root: what runs here, in which version, and where its API is."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from zhike import __version__
from zhike._host.web.reply import Reply
from zhike.api import API, Call, Public, Route
from zhike.i18n import text

if TYPE_CHECKING:
    from jinja2 import Environment

HTML = b"text/html; charset=utf-8"
_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "root.css").read_text("utf-8")
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
"""What a content security policy calls this page's style sheet by (CSP level 3, hash-source)."""


async def root(call: Call) -> Reply:
    """Answer with the page in the reader's language."""
    from markupsafe import Markup

    locale = call.locale
    page = _templates().get_template("root.html.j2")
    said = {
        "title": text("Customer operations platform"),
        "name": text("Zhike"),
        "version": text("Version {version}", version=__version__),
        "running": text("The server is running; requests to its API carry a token."),
        "token": text("Make a token"),
        "send": text("Send events"),
        "count": text("Count customers by a condition"),
        "read": text("Read customers"),
        "schema": text("Description of the API (OpenAPI)"),
        "health": text("State of the server"),
    }
    body = page.render(
        {name: shown.render(locale) for name, shown in said.items()},
        language="zh-Hans" if locale == "zh_CN" else "en",
        api=API,
        style=Markup(_STYLE),  # noqa: S704  # our own file, whose hash is in the policy
    )
    return Reply(
        body.encode(),
        HTML,
        headers=((b"vary", b"accept-language"), (b"content-language", locale[:2].encode())),
    )


@functools.cache
def _templates() -> Environment:
    # Imported on first use: a process that only serves the API starts without it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )


ROUTES = (
    Route(
        method="GET",
        path="/",
        handler=root,
        permission=Public("it says only which program this is"),
        summary="A page that says what runs here",
        answer=str,
    ),
)
