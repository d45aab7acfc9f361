"""Every text that is shown exists in Chinese, with the same places."""

from __future__ import annotations

import ast
import string

import pytest
from babel.messages.pofile import read_po

from workspace import CORE, product_modules
from zhike.i18n import LOCALES, Text, pick_locale


def messages() -> dict[str, str]:
    """Return every literal message id given to `text(...)`, with the module that gives it."""
    found = {}
    for path in product_modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text":
                if isinstance(node.args[0], ast.Constant):
                    found[node.args[0].value] = path.name
                else:
                    pytest.fail(f"{path.name}:{node.lineno}: text() takes a literal message id")
    return found


def places(message: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(message) if field}


def test_the_chinese_catalog_is_complete_and_has_nothing_extra() -> None:
    with (CORE / "locale/zh_CN/LC_MESSAGES/zhike.po").open("rb") as file:
        catalog = {str(entry.id): str(entry.string) for entry in read_po(file, locale="zh_CN") if entry.id}
    wanted = messages()
    assert not sorted(set(wanted) - set(catalog)), "msgids without a translation"
    assert not sorted(set(catalog) - set(wanted)), "translations nobody uses"
    assert not [msgid for msgid, translated in catalog.items() if not translated]
    differing = [msgid for msgid, translated in catalog.items() if places(msgid) != places(translated)]
    assert not differing, "places differ between English and Chinese"


def test_a_text_is_rendered_in_the_readers_language() -> None:
    shown = Text("ZHIKE_LOCALE is {value!r}; expected zh_CN or en", {"value": "fr"})
    assert shown.render("en") == "ZHIKE_LOCALE is 'fr'; expected zh_CN or en"
    assert "应为" in shown.render("zh_CN")


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "zh_CN"),
        ("", "zh_CN"),
        ("en", "en"),
        ("en-GB,zh;q=0.9", "en"),
        ("zh-Hans-CN,en;q=0.5", "zh_CN"),
        ("fr,en;q=0.3", "en"),
        ("fr", "zh_CN"),
        ("en;q=0,zh;q=0.1", "zh_CN"),
        ("en;q=abc", "zh_CN"),
        (",;q=,,", "zh_CN"),
    ],
)
def test_the_language_is_picked_from_the_header(header: str | None, locale: str) -> None:
    assert pick_locale(header, "zh_CN") == locale
    assert locale in LOCALES
