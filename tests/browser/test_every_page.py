"""Every page, in both languages, light and dark, on a wide window and on a phone: nothing to complain about."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from complaints import axe, cramped, dark, screenshot, untranslated, wider
from site_pages import PARTS, Places, routes, shown

if TYPE_CHECKING:
    from conftest import Site, Visit, Visits

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SHOTS = os.environ.get("ZHIKE_SCREENSHOTS")
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
OPEN = """async (address) => {
  document.getElementById('zk-dialog').close();
  await htmx.ajax('GET', address, {target: '#zk-dialog', swap: 'innerHTML'});
}"""


@dataclass(frozen=True)
class Reader:
    """Somebody who reads one page after another, so that styles and scripts come once.

    Args:
        locale: What the reader reads.
        pages: The window that pages are opened in.
        dialogs: One that stays on a page, over which dialogs are opened.
        stranger: One in which nobody has logged in.
    """

    locale: str
    pages: Visit
    dialogs: Visit
    stranger: Visit

    def open(self, address: str, places: Places) -> Visit:
        """Open a page or a dialog on a wide window, and return the window it is in."""
        visit = self.stranger if address == "/login" else self.pages if places.whole(address) else self.dialogs
        visit.complaints.clear()
        visit.page.set_viewport_size(WIDE)
        if visit is not self.dialogs:
            visit.go(address)
            return visit
        if visit.page.url == "about:blank":
            visit.go("/search")
        visit.page.evaluate(OPEN, address)
        visit.page.locator("#zk-dialog[open] .zk-dialog-title").wait_for()
        visit.settle()
        return visit

    def complaints(self, visit: Visit, data: Set[str] = frozenset()) -> list[str]:
        """Return what is wrong with what is open in a window, where `data` are texts of the sample company."""
        page = visit.page
        found = untranslated(page, self.locale, data)
        found += axe(page, colours=None if self.locale == "zh-CN" else False)
        if self.locale == "zh-CN":  # colours do not depend on the language
            dark(page, True)
            found += [f"dark: {each}" for each in axe(page, colours=True)]
            dark(page, False)
        page.set_viewport_size(PHONE)
        visit.settle()
        if (pixels := wider(page)) > 0:
            found.append(f"{pixels} pixels wider than a phone")
        found += cramped(page)
        return found + visit.found()


@pytest.fixture(scope="session")
def places(site: Site) -> Iterator[Places]:
    found = Places(site.url, site.password, site.token)
    yield found
    found.close()


# A group of its own each, so that two workers share the work.
@pytest.fixture(
    scope="module", params=[pytest.param(each, marks=pytest.mark.xdist_group(each)) for each in ("zh-CN", "en-US")]
)
def reader(request: pytest.FixtureRequest, visits: Visits) -> Reader:
    locale = request.param
    return Reader(locale, visits(locale=locale), visits(locale=locale), visits("", locale=locale))


@pytest.mark.parametrize("path", shown())
def test_a_page_has_nothing_to_complain_about(path: str, reader: Reader, places: Places) -> None:
    address = places.address(path)
    assert address is not None, f"no link leads to {path}; say in site_pages what it is"
    visit = reader.open(address, places)
    found = reader.complaints(visit, places.data)
    if SHOTS:
        pictures(visit, Path(SHOTS), f"{reader.locale}-%s-{address}")
    assert not found, found


@pytest.mark.xdist_group("en-US")
def test_what_is_said_to_be_no_page_exists_and_is_none(places: Places) -> None:
    assert PARTS.keys() <= {route.path for route in routes()}
    assert [path for path in PARTS if (address := places.address(path)) and places.whole(address)] == []


FAULTS = {
    "console: broken": "console.error('broken')",
    "script: ": "setTimeout(() => { throw new Error('broken'); })",
    "style-src-attr": "it.innerHTML = '<i style=\"top: 0\"></i>'",
    "script-src-elem": "it.append(Object.assign(document.createElement('script'), {text: '1'}))",
    "connect-src https://elsewhere.invalid": "fetch('https://elsewhere.invalid/', {mode: 'no-cors'}).catch(() => 0)",
    "404: ": "fetch('/nowhere')",
    "Remove this view": "it.textContent = 'Remove this view'",
    "Clear the selection": "it.title = 'Clear the selection'",
    "color-contrast serious": "it.outerHTML = '<p class=\"text-white\">pale</p>'",
    "dark: color-contrast": "it.outerHTML = '<p class=\"text-black\">dark</p>'",
    "button-name": "it.append(document.createElement('button'))",
    " pixels wider than a phone": "it.textContent = '1'.repeat(200)",
    "letter by letter: narrow": "it.style.cssText = 'width: 1em; overflow-wrap: anywhere'; it.textContent = 'narrow'",
    "torn apart: one two": "it.outerHTML = '<div class=zk-table><table><tbody><tr><td><b>one</b> <i>two</i>'",
}
"""What is complained about, and a script that gives reason to in an element `it`."""


@pytest.mark.xdist_group("en-US")
def test_what_is_wrong_is_complained_about(visits: Visits) -> None:
    visit = visits()
    visit.go("/search")
    for fault in FAULTS.values():
        visit.page.evaluate(f"""() => {{
          const it = document.createElement('p');
          document.querySelector('main').append(it);
          {fault};
        }}""")
    found = Reader("zh-CN", visit, visit, visit).complaints(visit)
    assert [each for each in FAULTS if not any(each in said for said in found)] == [], found


def pictures(visit: Visit, folder: Path, name: str) -> None:
    """Keep how a page looks, for people."""
    screenshot(visit.page, folder, name % "phone")
    visit.page.set_viewport_size(WIDE)
    screenshot(visit.page, folder, name % "light")
    dark(visit.page, True)
    screenshot(visit.page, folder, name % "dark")
    dark(visit.page, False)
