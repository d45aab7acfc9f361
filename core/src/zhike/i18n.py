"""Texts in the reader's language: message ids are English, catalogs lie in locale/."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import string
from pathlib import Path
from typing import Any

import msgspec

LOCALES = ("zh_CN", "en")
_catalogs = [Path(__file__).parent / "locale"]  # grows only; the core's own comes first


class _Plurals(string.Formatter):
    """Formats with places such as `{n:day|days}`; a number may have been formatted before."""

    def format_field(self, value: Any, format_spec: str) -> str:
        one, either, many = format_spec.partition("|")
        return (one if str(value) == "1" else many) if either else str(super().format_field(value, format_spec))


_PLURALS = _Plurals()
_COUNTS = re.compile(r"{(\w+):[^{}]*\|")


class Text(msgspec.Struct, frozen=True):
    """A translatable text: the English message id and the values put into its `{name}` places.

    Args:
        msgid: English text with `str.format` places; it is the key of the catalogs. `{n} {n:day|days}` says one or
            the other word by number; Chinese has no such forms and leaves the second place out. Such a number is
            written with separators between its thousands.
        params: Values for the places; strings (not paths) are cut to 200 characters, a `Text` is rendered, and
            what is in a list stands as the language lists things.
    """

    msgid: str
    params: dict[str, Any] = {}

    def render(self, locale: str) -> str:
        """Return the text in `locale` (one of `LOCALES`; any other reads as English).

        A translation with other places is not used, and a message id with such places shown as it is.
        """
        for template in (_translations(locale, len(_catalogs)).get(self.msgid, self.msgid), self.msgid):
            with contextlib.suppress(Exception):  # as many as there are formats
                counts = _COUNTS.findall(self.msgid) if "|" in self.msgid else ()
                shown = {key: _short(value, locale, key in counts) for key, value in self.params.items()}
                return _PLURALS.vformat(template, (), shown) if "|" in template else template.format(**shown)
        return self.msgid

    def __str__(self) -> str:
        return self.render("en")


def text(msgid: str, **params: object) -> Text:
    """Return `msgid` with its params as a `Text`; the catalogs are made from its calls."""
    return Text(msgid, params)


def say(label: Text | str, locale: str) -> str:
    """Return what something is called in a language; a string is the same in each."""
    return label.render(locale) if isinstance(label, Text) else label


def as_text(label: Text | str) -> Text:
    """Return what something is called as a text."""
    return label if isinstance(label, Text) else Text("{label}", {"label": label})


def add_catalog(folder: Path) -> None:
    """Look texts up in another distribution's catalogs too; adding one again changes nothing.

    Where two catalogs translate one message id, the one added first counts.

    Args:
        folder: Holds `<locale>/LC_MESSAGES/<package>.po`, such as `Path(package.__file__).parent / "locale"`.
    """
    if folder not in _catalogs:
        _catalogs.append(folder)


@functools.lru_cache(maxsize=128)  # a page asks for it with every text
def pick_locale(accept_language: str | None, default: str) -> str:
    """Return the first supported locale an Accept-Language header names, or `default`.

    Args:
        accept_language: The header's value, such as `zh-CN,zh;q=0.9,en;q=0.8`.
        default: The deployment's locale.
    """
    ranked: list[tuple[float, str]] = []
    for part in (accept_language or "").split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        locale = {"zh": "zh_CN", "en": "en"}.get(tag.strip().lower().split("-")[0])
        with contextlib.suppress(ValueError):
            if locale and (weight := float(quality or 1)) > 0:
                ranked.append((-weight, locale))
    return min(ranked, key=lambda entry: entry[0])[1] if ranked else default


def _short(value: object, locale: str, counts: bool) -> object:
    if isinstance(value, Text):
        return value.render(locale)
    if isinstance(value, list):
        return text(", ").render(locale).join(str(_short(each, locale, counts)) for each in value)
    if isinstance(value, int | float):
        return f"{value:,}" if counts else value
    shown = str(value)
    # A path is often part of a command to copy.
    return shown[:200] + "…" if len(shown) > 200 and not isinstance(value, Path) else shown


@functools.cache
def _translations(locale: str, catalogs: int) -> dict[str, str]:
    """Return the translations of the first so many catalogs; the earlier ones win."""
    if locale not in LOCALES or not catalogs:
        return {}
    from babel.messages.pofile import read_po

    found: dict[str, str] = {}
    for source in _catalogs[catalogs - 1].glob(f"{locale}/LC_MESSAGES/*.po"):
        try:
            with source.open("rb") as file:
                entries = list(read_po(file, locale=locale, abort_invalid=True))
        except Exception as error:  # another plugin's readers must not suffer for it
            logging.getLogger("zhike.i18n").warning("the catalog %s cannot be read (%s)", source, type(error).__name__)
            continue
        found.update({str(entry.id): str(entry.string) for entry in entries if entry.id and entry.string})
    return found | _translations(locale, catalogs - 1)
