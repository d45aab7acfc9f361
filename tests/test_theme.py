"""The page kit and the default theme: what the policy allows, what scripts may say, what is documented and pinned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import zhike_theme_default
from workspace import CORE, ROOT, tracked

THEME = ROOT / "themes" / "default"
OWN = THEME / "src" / "zhike_theme_default"
TEMPLATES = [path for path in tracked() if path.suffix == ".html" and "templates" in path.parts]
KIT = CORE / "ui" / "templates" / "kit"
INLINE = re.compile(r"""\sstyle\s*=|<style|\son[a-z]+\s*=\s*["']|hx-on|javascript:|hx-vals=["']js:""", re.IGNORECASE)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_has_nothing_that_the_policy_would_block(path: Path) -> None:
    source = path.read_text("utf-8")
    assert not INLINE.findall(source)
    scripts = re.findall(r"<script\b[^>]*>", source)
    assert not [tag for tag in scripts if " src=" not in tag and 'type="application/json"' not in tag]


def test_scripts_say_only_what_the_page_has_translated() -> None:
    keys = set(re.findall(r'"([\w.-]+)": _\(', (OWN / "templates" / "scripts.html").read_text("utf-8")))
    source = "".join(path.read_text("utf-8") for path in (OWN / "static" / "zhike").glob("*.js"))
    said = set(re.findall(r'\btext\("([\w.-]+)"', source))
    assert said
    assert said <= keys
    assert {key for key in keys if f'"{key}"' not in source and not key.startswith(("op.", "measure."))} == set()


def test_widgets_that_macros_name_have_a_script() -> None:
    named = {
        name for path in KIT.glob("*.html") for name in re.findall(r'data-widget="(\w+)"', path.read_text("utf-8"))
    }
    mounted = {
        name
        for path in (OWN / "static" / "zhike").glob("*.js")
        for name in re.findall(r'widget\("(\w+)"', path.read_text("utf-8"))
    }
    assert named
    assert named <= mounted


def test_every_macro_is_documented() -> None:
    page = (ROOT / "docs" / "plugins" / "pages.md").read_text("utf-8")
    macros = [
        (path.name, macro)
        for path in KIT.glob("*.html")
        for macro in re.findall(r"{% macro ([a-z]\w*\([^\n]*?\)) -?%}", path.read_text("utf-8"))
    ]
    assert len(macros) > 30
    assert not [(file, macro) for file, macro in macros if f"`{macro}`" not in page or f"`kit/{file}`" not in page]


def test_the_lock_file_pins_what_is_copied() -> None:
    lock = json.loads((THEME / "frontend" / "package-lock.json").read_text("utf-8"))["packages"]
    wanted = tomllib.loads((THEME / "frontend" / "assets.toml").read_text("utf-8"))["packages"]
    assert all(lock[f"node_modules/{name}"]["integrity"].startswith("sha512-") for name in wanted)
    assert not [name for name, entry in lock.items() if "resolved" in entry]


def test_the_files_that_are_installed_are_those() -> None:
    command = [sys.executable, THEME / "hatch_build.py", "--check"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0, "run: make setup"


def test_icons_are_drawn_by_name_and_an_unknown_one_is_a_question_mark() -> None:
    home, filled = zhike_theme_default.icon("home"), zhike_theme_default.icon("filled:home")
    assert home.startswith("<svg ")
    assert 'aria-hidden="true"' in home
    assert home != filled
    assert zhike_theme_default.icon('"><script>') == zhike_theme_default.icon("help-square")
