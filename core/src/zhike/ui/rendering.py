"""Draws pages: templates of the site, the theme, the plugins and the core, in that order, and what they may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from zhike import clock
from zhike.errors import Refused
from zhike.i18n import Text, add_catalog
from zhike.ui import formats
from zhike.ui.call import current
from zhike.ui.people import People
from zhike.ui.shell import shell
from zhike.ui.theme import Place, Statics, themes

if TYPE_CHECKING:
    from collections.abc import Callable

    from zhike.platform import Platform
    from zhike.ui.call import PageCall

_CORE = Path(__file__).parents[1]


class Ui:
    """What one process draws its pages with.

    Args:
        platform: The plugins, whose templates are used, and the deployment's settings.
        nouns: The core's own nouns, which have templates.

    Attributes:
        problem: Why there are no pages, or None.
    """

    def __init__(self, platform: Platform, nouns: Sequence[str]) -> None:
        self.platform = platform
        self.people = People()
        self.problem: Text | None = None
        settings = platform.settings
        try:
            theme = themes(settings.theme)
            for place in theme:
                add_catalog(place.folder / "locale")
        except Refused as error:
            theme, self.problem = [], error.message
        plugins = [
            Place(name, Path(file).parent)
            for name, plugin in platform.plugins.items()
            if (file := getattr(plugin.module, "__file__", None))
        ]
        core = [Place("core", _CORE / noun) for noun in (*nouns, "ui")]
        self.places = [Place("site", settings.data / "site"), *theme, *plugins, *core]
        self.statics = Statics([*self.places[: -len(core)], core[-1]], settings.dev)
        self._icon: Callable[[str], str] = theme[-1].module.icon if theme else str
        self.templates = Environment(
            loader=_Loader(self.places),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=settings.dev,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=formats.finalize,
            extensions=["jinja2.ext.do"],
        )
        self.templates.filters.update(formats.FILTERS)
        self.templates.globals.update(
            _=_translated,
            icon=self.icon,
            static=self.statics.address,
            url=url,
            csrf=_csrf,
            may=lambda permission: current.get().may(permission),
        )

    def render(self, call: PageCall, template: str, fragment: str | None, names: Mapping[str, Any]) -> str:
        """Draw a template, or one block of it.

        Args:
            call: Whose answer it is.
            template: Its name.
            fragment: The block, or None for all.
            names: What the template is given.
        """
        token = current.set(call)
        try:
            found = self.templates.get_template(template)
            given = {"call": call, "viewer": call.viewer, "now": clock.now(), "shell": shell(call), **names}
            if fragment is None:
                return found.render(given)
            context = found.new_context(given)
            # Its beginning is run for what it imports and for the blocks of those it extends.
            next(iter(found.root_render_func(context)), None)
            return "".join(context.blocks[fragment][0](context))
        finally:
            current.reset(token)

    def icon(self, name: str, label: str = "") -> Markup:
        """Return an icon as SVG; it is read aloud only where it has a label."""
        shown = Markup(self._icon(name))  # noqa: S704  # the theme's own file
        if label:
            return Markup('<span role="img" aria-label="{}">{}</span>').format(label, shown)
        return shown


class _Loader(BaseLoader):
    """Finds a template where it is first, or, by `owner:name`, with one owner."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        owner, _, name = template.rpartition(":")
        for place in self._places:
            file = place.folder / "templates" / name
            if owner in {"", place.owner} and ".." not in name and file.is_file():
                return file.read_text("utf-8"), str(file), _unchanged(file)
        raise TemplateNotFound(template)


def _unchanged(file: Path) -> Callable[[], bool]:
    changed = file.stat().st_mtime_ns
    return lambda: file.is_file() and file.stat().st_mtime_ns == changed


def url(path: str, **query: object) -> str:
    """Return an address; parameters that are None or empty are left out."""
    given = {name: str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def _translated(msgid: str, **params: object) -> str:
    return Text(msgid, params).render(current.get().locale)


def _csrf() -> Markup:
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(current.get().csrf)
