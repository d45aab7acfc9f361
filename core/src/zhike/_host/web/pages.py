"""The page at the root: what runs here, in which version, and where its API is."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from zhike import __version__
from zhike._host.web.reply import Reply
from zhike.api import API, Call, Public, Route
from zhike.i18n import text

if TYPE_CHECKING:
    from jinja2 import Environment

HTML = b"text/html; charset=utf-8"


async def root(call: Call) -> Reply:
    """Answer with the page in the reader's language."""
    locale = call.locale
    page = _templates().get_template("root.html.j2")
    body = page.render(
        language="zh-Hans" if locale == "zh_CN" else "en",
        title=text("Zhike, the customer operations platform").render(locale),
        version=text("Version {version}", version=__version__).render(locale),
        api=text("The API is under {path}; requests carry an API token.", path=API).render(locale),
        schema=text("Description of the API (OpenAPI)").render(locale),
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

    folder = Path(__file__).parent / "templates"
    return Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, auto_reload=False)


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
