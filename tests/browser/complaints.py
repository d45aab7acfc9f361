"""What may be wrong with a page that is open in a browser."""

from __future__ import annotations

import functools
import re
from collections.abc import Set
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from babel.messages.pofile import read_po

from workspace import packages

TEXTS = """
(skipped) => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, parent = node.parentElement;
    if (!parent || parent.closest(skipped)) continue;
    if (node.textContent.trim()) found.push(node.textContent.trim());
  }
  for (const el of document.querySelectorAll('[placeholder], [aria-label], [title]'))
    if (!el.closest(skipped)) for (const name of ['placeholder', 'aria-label', 'title'])
      if (el.getAttribute(name)?.trim()) found.push(el.getAttribute(name).trim());
  return found;
}
"""
COLOURS = ("color-contrast", "link-in-text-block")
"""Rules of axe-core that depend on the colours."""
ARRIVED = """
async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  await Promise.all(document.getAnimations().map((each) => each.finished.catch(() => 0)));
}
"""
CRAMPED = """
() => {
  const found = [], walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!walk.currentNode.parentElement.checkVisibility()) continue; // what is folded away has no width
    const said = walk.currentNode.textContent.trim(), range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    const lines = new Set([...range.getClientRects()].filter((each) => each.width).map((each) => Math.round(each.top)));
    if (lines.size > 3 && said.length < 3 * lines.size) found.push(`letter by letter: ${said}`);
  }
  for (const cell of document.querySelectorAll('.zk-table td')) {
    const parts = [...cell.childNodes].filter((each) => each.nodeType === 1 || each.textContent.trim());
    if (parts.length > 1 && getComputedStyle(cell).display === 'grid') found.push(`torn apart: ${cell.textContent}`);
  }
  return found.slice(0, 5);
}
"""
_PLACE = re.compile(r"{[^}]*}")


@functools.cache
def _catalog() -> list[tuple[str, str]]:
    entries = []
    for package in packages():
        for path in package.glob("locale/zh_CN/LC_MESSAGES/*.po"):
            with path.open("rb") as file:
                known = [(str(each.id), str(each.string)) for each in read_po(file, locale="zh_CN") if each.id]
                entries += [(msgid, translated) for msgid, translated in known if msgid != translated]
    return entries


@functools.cache
def _foreign(locale: str) -> tuple[set[str], list[re.Pattern[str]]]:
    """Return texts of the other language: those without places, and patterns of those with."""
    others = {pair[0] if locale == "zh-CN" else pair[1] for pair in _catalog()}
    # One word may be a name in somebody's data, or the same in both languages.
    ours = {pair[1] if locale == "zh-CN" else pair[0] for pair in _catalog()}
    others -= ours
    # A raw name, such as a key that the audit shows, is the same in all languages.
    others -= {text for text in others if re.fullmatch(r"[a-z_.]+", text)}
    plain = {text for text in others if not _PLACE.search(text) and len(text) > (2 if locale == "zh-CN" else 1)}
    placed = [text for text in others if _PLACE.search(text) and len(_PLACE.sub("", text)) > 6]
    return plain, [re.compile(".+?".join(map(re.escape, _PLACE.split(text)))) for text in placed]


def untranslated(page: Any, locale: str, known: Set[str]) -> list[str]:
    """Return texts of the product that are shown in the other language.

    Args:
        page: The open page.
        locale: What it is to be in.
        known: Texts of the sample company, which are Chinese in any language.
    """
    plain, placed = _foreign(locale)
    skipped = "script, style, template, code, pre, [lang]:not(html)"
    if locale != "zh-CN":  # the gallery's samples are Chinese
        skipped += ", [data-sample]"
    found = set(page.evaluate(TEXTS, skipped)) - known
    return sorted(text for text in found if text in plain or any(each.fullmatch(text) for each in placed))


def axe(page: Any, *, colours: bool | None = None) -> list[str]:
    """Return serious and critical findings of axe-core.

    Args:
        page: The open page.
        colours: True for what depends on colours only, False for the rest, None for both.
    """
    if page.evaluate("!window.axe"):
        page.evaluate(AXE_SCRIPT)
    asked: dict[str, Any] = {"resultTypes": ["violations"]}
    if colours is True:
        asked["runOnly"] = {"type": "rule", "values": list(COLOURS)}
    elif colours is False:
        asked["rules"] = {rule: {"enabled": False} for rule in COLOURS}
    found = page.evaluate("async (asked) => (await axe.run(asked)).violations", asked)
    return [
        f"{each['id']} {each['impact']}: {[node['target'] for node in each['nodes']][:3]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def dark(page: Any, on: bool) -> None:
    """Have the reader's device prefer dark colours or light ones, and wait until they have arrived."""
    theme = "dark" if on else "light"
    page.emulate_media(color_scheme=theme)
    page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
    page.evaluate(ARRIVED)


def wider(page: Any) -> int:
    """Return by how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def cramped(page: Any) -> list[str]:
    """Return texts that a narrow window breaks after each letter, and cells of a table whose parts it tears apart."""
    return list(page.evaluate(CRAMPED))


def screenshot(page: Any, folder: Path, name: str) -> None:
    """Keep what is seen, for people to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(
        path=folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'home'}.png", full_page=True
    )
