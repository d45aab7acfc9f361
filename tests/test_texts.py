"""Every text that is shown exists in Chinese, with the same places."""

from __future__ import annotations

import ast
import functools
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from workspace import modules_of, packages
from zhike import i18n
from zhike.i18n import LOCALES, Text, pick_locale


def messages(package: Path) -> dict[str, str]:
    """Return every literal message id in a package, with the file that gives it."""
    found = {}
    for path in modules_of(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for msgid in messages_of(node, path, named):
                    found[msgid] = path.name
    for path in package.rglob("templates/**/*.html"):
        for call in Environment(extensions=["jinja2.ext.do"]).parse(path.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_":
                if not isinstance(call.args[0], nodes.Const):
                    pytest.fail(f"{path.name}:{call.lineno}: _() takes a literal message id")
                found[call.args[0].value] = path.name
    return found


def messages_of(call: ast.Call, path: Path, constants: Mapping[str, ast.expr]) -> Iterator[str]:
    """Return the message ids of a call: of `text`, or of `asked`, which describes a field of a form.

    Options of a field may be a constant of their module.
    """
    name = getattr(call.func, "id", "")
    given = call.args[:1] if name in {"text", "asked"} else []
    if name == "asked":
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        given += [named[each] for each in ("help", "placeholder") if each in named]
        options = named.get("options", ast.Constant(None))
        if isinstance(options, ast.Name):
            options = constants.get(options.id, options)
        given += labels(options)
    for each in given:
        if not isinstance(each, ast.Constant):
            pytest.fail(f"{path.name}:{call.lineno}: {name}() takes literal message ids")
        yield str(each.value)


def labels(options: ast.expr) -> list[ast.expr]:
    """Return the values of a dictionary, and of those that are unfolded in it."""
    if not isinstance(options, ast.Dict):
        return [] if isinstance(options, ast.Constant) and options.value is None else [options]
    found = []
    for key, value in zip(options.keys, options.values, strict=True):
        found += [value] if key is not None else labels(value)
    return found


def places(message: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(message) if field}


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_the_chinese_catalog_is_complete_and_has_nothing_extra(package: Path) -> None:
    source = package / f"locale/zh_CN/LC_MESSAGES/{package.name}.po"
    catalog = {}
    if source.exists():
        with source.open("rb") as file:
            catalog = {str(entry.id): str(entry.string) for entry in read_po(file, locale="zh_CN") if entry.id}
    wanted = messages(package)
    assert not sorted(set(wanted) - set(catalog)), "msgids without a translation"
    assert not sorted(set(catalog) - set(wanted)), "translations nobody uses"
    assert not [msgid for msgid, translated in catalog.items() if not translated]
    differing = [msgid for msgid, translated in catalog.items() if places(msgid) != places(translated)]
    assert not differing, "places differ between English and Chinese"
    assert {path.name for path in package.glob("locale/*/LC_MESSAGES/*")} <= {source.name}


def test_a_text_is_rendered_in_the_readers_language() -> None:
    shown = Text("ZHIKE_LOCALE is {value!r}; expected zh_CN or en", {"value": "fr"})
    assert shown.render("en") == "ZHIKE_LOCALE is 'fr'; expected zh_CN or en"
    assert "应为" in shown.render("zh_CN")


def test_catalogs_of_other_distributions_are_used_but_do_not_replace_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.i18n._catalogs", [*i18n._catalogs])
    monkeypatch.setattr("zhike.i18n._translations", functools.cache(i18n._translations.__wrapped__))
    new, core = Text("A tag says {what}", {"what": "1"}), Text("An error in Zhike")
    before = core.render("zh_CN")
    assert new.render("zh_CN") == "A tag says 1"
    folder = tmp_path / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    entries = ["", "Content-Type: text/plain; charset=UTF-8\\n"], [new.msgid, "标签为 {what}"], [core.msgid, "错"]
    body = "\n".join(f'msgid "{msgid}"\nmsgstr "{translated}"\n' for msgid, translated in entries)
    (folder / "zhike_tags.po").write_text(body, encoding="utf-8")
    for _ in range(2):
        i18n.add_catalog(tmp_path)
        assert new.render("zh_CN") == "标签为 1"
        assert new.render("en") == "A tag says 1"
        assert core.render("zh_CN") == before
    assert i18n._catalogs.count(tmp_path) == 1


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
