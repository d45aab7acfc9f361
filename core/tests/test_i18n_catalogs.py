"""Catalogs of plugins: whatever is wrong with one, every text is still shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from zhike import i18n
from zhike.i18n import add_catalog, text

HEAD = b'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


@pytest.mark.parametrize(
    ("n", "english"),
    [(0, "0 days"), (1, "1 day"), (2, "2 days"), ("1", "1 day"), ("1,000", "1,000 days"), (5729, "5,729 days")],
)
def test_words_depend_on_numbers(n: object, english: str) -> None:
    said = text("{n} {n:day|days}", n=n)
    assert (said.render("en"), said.render("zh_CN")) == (english, f"{english.split()[0]} 天")


def test_only_what_is_counted_is_written_with_separators() -> None:
    said = text("Customer {id} has {n} {n:event|events} of {year}", id=5729, n=12_000, year=2026)
    assert said.render("en") == "Customer 5729 has 12,000 events of 2026"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Add the catalogs of a plugin; forgotten after the test."""
    monkeypatch.setattr(i18n, "_catalogs", list(i18n._catalogs))
    i18n._translations.cache_clear()

    def write(*contents: bytes) -> Path:
        folder = tmp_path / "locale"
        for n, content in enumerate(contents):
            file = folder / "zh_CN" / "LC_MESSAGES" / f"acme{n}.po"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        add_catalog(folder)
        return folder

    yield write
    i18n._translations.cache_clear()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b'msgid "a\n',
        b"rubbish\n",
        b'msgid "a"\nmsgstr[x] "b"\n',
        b'msgid ""\nmsgstr "Content-Type: text/plain; charset=no-such\\n"\n\nmsgid "\xff"\nmsgstr "b"\n',
        b'msgid ""\nmsgstr "Plural-Forms: nplurals=x; plural=;\\n"\n\nmsgid "a"\nmsgstr "b"\n',
        b'msgid ""\nmsgstr "POT-Creation-Date: yesterday\\n"\n\nmsgid "a"\nmsgstr "b"\n',
    ],
)
def test_a_catalog_that_cannot_be_read_is_passed_over(write, content: bytes) -> None:
    write(content, HEAD + 'msgid "A stamp"\nmsgstr "印章"\n'.encode())
    assert text("There is no plugin {name}", name="x").render("zh_CN") == "没有名为 x 的插件"
    assert text("A stamp").render("zh_CN") == "印章"


def test_a_catalog_that_may_not_be_read_is_passed_over(write) -> None:
    folder = write(HEAD)
    (folder / "zh_CN" / "LC_MESSAGES" / "dangling.po").symlink_to("nowhere")
    (folder / "zh_CN" / "LC_MESSAGES" / "folder.po").mkdir()
    assert text("There is no plugin {name}", name="x").render("zh_CN") == "没有名为 x 的插件"


@pytest.mark.parametrize("translated", ["{names} 个", "{}", "{name", "{name.nothing}", "{name!x}", "{name:d}", "{0}"])
def test_a_translation_that_does_not_fit_is_not_used(write, translated: str) -> None:
    write(HEAD + f'msgid "A stamp of {{name}}"\nmsgstr "{translated}"\n'.encode())
    assert text("A stamp of {name}", name="acme").render("zh_CN") == "A stamp of acme"


@pytest.mark.parametrize("msgid", ["{names}", "{", "100 % {}", "{name.nothing}"])
def test_a_text_that_cannot_be_filled_in_is_shown_as_it_is(msgid: str) -> None:
    shown = text(msgid, name="acme")
    assert shown.render("zh_CN") == shown.render("en") == msgid
