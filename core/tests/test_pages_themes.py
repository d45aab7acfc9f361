"""Templates are overridden: the site's folder before the theme, the theme before plugins, these before the core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from zhike.platform import CORE, LoadedPlugin, Platform
from zhike.ui import PageCall
from zhike.ui.rendering import Ui
from zhike.ui.theme import themes


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed theme that builds on the default one."""
    package = tmp_path / "installed" / "tiny_theme"
    write(package / "__init__.py", '"""A theme."""\n')
    write(
        package / "templates" / "access" / "login.html",
        '{% extends "core:access/login.html" %}\n'
        '{% block title %}Tiny{% endblock %}\n{% block form %}<b id="tiny">{{ super() }}</b>{% endblock %}\n',
    )
    write(package / "static" / "tiny.css", "b { color: teal }\n")
    info = tmp_path / "installed" / "tiny_theme-1.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: tiny-theme\nVersion: 1\n")
    write(info / "entry_points.txt", "[zhike.themes]\ntiny = tiny_theme\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    yield package
    sys.modules.pop("tiny_theme", None)


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def ui_of(platform: Platform, theme: str, **plugins: Path) -> Ui:
    platform.settings = msgspec.structs.replace(platform.settings, theme=theme)
    platform.plugins = {
        name: LoadedPlugin(
            name=name, distribution=name, version="1", module=SimpleNamespace(__file__=str(folder / "x.py"))
        )
        for name, folder in plugins.items()
    }
    return Ui(platform, CORE)


def login(ui: Ui, *, fragment: str | None = None) -> str:
    host = SimpleNamespace(ui=ui, platform=ui.platform, settings=ui.platform.settings)
    call = PageCall(actor=None, host=host, path={}, headers={b"accept-language": b"en"})  # type: ignore[arg-type]  # enough of one
    names = {"next": "/", "login": "", "problem": None, "dialog": False, "wait": False}
    return ui.render(call, "access/login.html", fragment, names)


def test_a_theme_extends_what_it_names_and_inherits_the_rest(platform: Platform, tiny: Path) -> None:
    ui = ui_of(platform, "tiny")
    page = login(ui)
    assert '<b id="tiny">' in page
    assert 'name="password"' in page
    assert "<title>Tiny · Zhike</title>" in page
    assert "/static/default/" in page
    assert login(ui, fragment="form").strip().startswith('<b id="tiny">')
    assert ui.statics.find("tiny", "tiny.css") is not None
    assert [place.owner for place in themes("tiny")] == ["tiny", "default"]


def test_the_sites_folder_comes_before_the_theme_and_the_theme_before_plugins(
    platform: Platform, tiny: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    write(plugin / "templates" / "access" / "login.html", "plugin")
    write(plugin / "templates" / "stamps" / "card.html", "card of the plugin")
    assert login(ui_of(platform, "default", stamps=plugin)) == "plugin"
    assert '<b id="tiny">' in login(ui_of(platform, "tiny", stamps=plugin))
    write(tmp_path / "site" / "templates" / "access" / "login.html", '{% extends "stamps:access/login.html" %}')
    assert login(ui_of(platform, "tiny", stamps=plugin)) == "plugin"


def test_a_theme_that_is_not_there_gives_a_plain_page_that_says_so(platform: Platform) -> None:
    ui = ui_of(platform, "nowhere")
    assert ui.problem is not None
    assert "'nowhere'" in ui.problem.render("en")
    assert "ZHIKE_THEME" in ui.problem.render("zh_CN")


async def test_without_a_theme_pages_say_so(app, anonymous) -> None:  # type: ignore[no-untyped-def]  # fixtures
    app.services.settings = msgspec.structs.replace(app.services.settings, theme="nowhere")
    app.services.platform.settings = app.services.settings
    answer = await anonymous.get("/login", headers={"accept": "text/html", "accept-language": "zh"})
    assert answer.status_code == 503
    assert "ZHIKE_THEME" in answer.text
    assert 'lang="zh-CN"' in answer.text
