"""Makes forms from what the handlers of pages read: the structs they know, and the fields they ask for by name."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import urllib.parse
import zlib
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zhike.contracts import PageRoute

_ASKED = re.compile(r'(?:\.field|form\.get|\.form)[(\[]f?"([a-z_]+)"')
_PAGES = re.compile(r"zhike(_\w+)?\.(pages|wizard|desk\.selection|ui\.tables)")


def fields_of(page: PageRoute) -> list[str]:
    """Return what the form of a page can have: what its module, and what that takes from other pages, reads."""
    handler = inspect.unwrap(page.handler)
    handler = handler.func if isinstance(handler, functools.partial) else handler
    return _fields(sys.modules[handler.__module__])


@functools.cache
def _fields(module: ModuleType) -> list[str]:
    structs = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    asked = {name for each in structs if _PAGES.match(each.__module__) for name in each.__struct_encode_fields__}
    taken = {each.__module__ for each in vars(module).values() if isinstance(each, FunctionType)}
    taken |= {each.__name__ for each in vars(module).values() if isinstance(each, ModuleType)}
    for name in {module.__name__, *(each for each in taken if _PAGES.match(each))}:
        asked.update(_ASKED.findall(inspect.getsource(sys.modules[name])))
    return sorted(asked)


def encoded(form: Mapping[str, Sequence[str]]) -> str:
    """Return a form as a browser sends it."""
    return urllib.parse.urlencode(form, doseq=True)


def multipart(names: Sequence[str]) -> str:
    """Return a form in which each field is a file."""
    head = '--b\r\nContent-Disposition: form-data; name="{}"; filename="a.txt"\r\n\r\nx\r\n'
    return "".join(head.format(name) for name in names or ["file"]) + "--b--\r\n"


def unfit(names: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield what no form of ours sends: what it is, the body, and whether it is to be refused whatever the page is."""
    names = names or ["name"]
    yield "nul", "&".join(f"{name}=a%00b" for name in names), True
    yield "half of a pair", "&".join(f"{name}=%ED%A0%80" for name in names), True
    yield "too many", "&".join(f"{names[0]}=1" for _ in range(10_000)), True
    rest = "x" * (500_000 // len(names))
    yield "long", "&".join([f"{names[0]}={'x' * 1_000_000}", *(f"{name}={rest}" for name in names[1:])]), False
    yield "escaped half", encoded({name: ['"\\ud800"'] for name in names}), False
    yield "twice", "&".join(f"{name}=typed-one&{name}=typed-two" for name in names), False
    yield "huge", encoded({name: ["9" * 30] for name in names}), False
    yield "deep", encoded({name: ["[" * 5_000] for name in names}), False
    yield "nothing", "", False


class Drawn(HTMLParser):
    """Reads the forms of a page as a browser would send them.

    Attributes:
        forms: By address: field to what it holds at first, or to None for a text that is to be typed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, list[str] | None]] = {}
        self._form: dict[str, list[str] | None] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind, value = given.get("name"), given.get("type") or "text", given.get("value") or ""
        if tag == "form":
            address = given.get("action") or given.get("hx-post") or ""
            self._form = self.forms.setdefault(address.partition("?")[0], {})
        elif tag == "option" and self._select and ((value and not self._form.get(self._select)) or "selected" in given):
            self._form[self._select] = [value] if value else []
        elif not name or "disabled" in given:
            return
        elif tag == "select":
            self._select = name
            self._form[name] = []
        elif tag == "textarea" or (tag == "input" and kind in {"text", "search", "email", "tel", "password"}):
            self._form[name] = None
        elif tag == "input" and (kind not in {"checkbox", "radio"} or "checked" in given):
            self._form[name] = [*(self._form.get(name) or []), value or _TYPED.get(kind, "")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "form":
            self._form = {}


_TYPED = {"number": "1", "date": "2031-05-01", "datetime-local": "2031-05-01T10:00"}


_LEFT = ("phone", "email", "uscc", "origins", "zone", "hours", "until", "since", "attributes.salary", "password")
"""Fields that are no free text, and need not be filled."""


def fit(drawn: Mapping[str, list[str] | None], value: str, **known: str) -> dict[str, list[str]]:
    """Return a form as somebody fills it who types a value wherever a text can be any.

    Args:
        drawn: See `Drawn`.
        value: What is typed.
        known: What is typed into fields that do not take any text; § stands for a word of small letters.
    """
    word = f"w{zlib.crc32(value.encode())}"
    given = {**dict.fromkeys(("login", "key", "external_id"), word), **dict.fromkeys(_LEFT, ""), **known}
    given = {name: said.replace("§", word) for name, said in given.items()}
    return {name: [given[name]] if name in given else [value] if held is None else held for name, held in drawn.items()}
