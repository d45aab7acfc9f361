"""Arguments and settings that cannot be used: every command says so in a sentence, in the reader's language."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zhike._host.cli.main import main

SERVER = "postgresql://127.0.0.1:1/nothing"  # nobody answers there
Zhike = Callable[..., tuple[int, str]]


@pytest.fixture
def zhike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zhike:
    """Run the command line in this process and return its status and what it says on standard error."""
    for name in [name for name in os.environ if name.startswith("ZHIKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        given = {"ZHIKE_DATABASE_URL": SERVER, "ZHIKE_DATA": str(tmp_path / "data"), "ZHIKE_LOCALE": "en"}
        for name, value in {**given, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["zhike", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("consumers", "pause", "\udcff"),
        ("deadletters", "list", "--consumer", "\udcff"),
        ("plugin", "disable", "a\udcffb"),
        ("migrate", "--data", "/tmp/x/\udcff"),
        ("\udcff",),
    ],
)
def test_bytes_that_are_no_text_are_refused(zhike: Zhike, arguments: tuple[str, ...]) -> None:
    shown = arguments[-1].replace("\udcff", "\\xff")
    assert zhike(*arguments) == (1, f"zhike: {shown} is no text; expected UTF-8\n")


def test_bytes_in_the_environment_are_refused(zhike: Zhike) -> None:
    assert zhike("consumers", "list", ZHIKE_HOOKS="/h\udcff") == (1, "zhike: /h\\xff is no text; expected UTF-8\n")


def test_letters_of_any_language_are_text(zhike: Zhike) -> None:
    status, told = zhike("consumers", "pause", "知客\\xff")
    assert (status, "127.0.0.1:1/nothing cannot be used" in told) == (1, True)


@pytest.mark.parametrize(
    ("locale", "told"), [("en", "expected a whole"), ("zh_CN", "应为"), ("fr", "应为"), ("", "应为")]
)
def test_the_readers_language_counts_also_when_a_setting_is_bad(zhike: Zhike, locale: str, told: str) -> None:
    status, error = zhike("plugin", "list", ZHIKE_LOCALE=locale, ZHIKE_POOL_SIZE="0")
    assert (status, told in error) == (1, True), error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZHIKE_TRACE_HOOKS", "maybe"),
        ("ZHIKE_SECRET_KEY", "x"),
        ("ZHIKE_SECRET_KEY", f"x,{'y' * 32}"),
        ("ZHIKE_REDIS_URL", "nonsense"),
        ("ZHIKE_REDIS_URL", "http://redis"),
        ("ZHIKE_DATA", ""),
    ],
)
@pytest.mark.parametrize("command", ["plugin", "consumers", "token", "user"])
def test_a_setting_that_cannot_be_used_stops_every_command(zhike: Zhike, command: str, name: str, value: str) -> None:
    status, told = zhike(command, "list", **{name: value})
    assert status == 1
    assert name in told
    assert "expected" in told


@pytest.mark.parametrize(
    "usable", [{"ZHIKE_TRACE_HOOKS": "0"}, {"ZHIKE_SECRET_KEY": "y" * 32}, {"ZHIKE_REDIS_URL": "rediss://redis"}]
)
def test_a_setting_that_can_be_used_stops_none(zhike: Zhike, usable: dict[str, str]) -> None:
    assert "127.0.0.1:1/nothing cannot be used" in zhike("consumers", "list", **usable)[1]


def test_an_empty_folder_is_not_the_current_one(zhike: Zhike, tmp_path: Path) -> None:
    status, told = zhike("migrate", "--data", "", ZHIKE_DATABASE_URL="")
    assert (status, told) == (1, "zhike: --data is empty; expected a folder\n")
    assert not list(tmp_path.iterdir())


def test_a_database_url_without_a_server_says_what_is_expected(
    zhike: Zhike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", str(tmp_path))  # where libpq would look for one
    status, told = zhike("consumers", "list", ZHIKE_DATABASE_URL="postgresql://")
    assert status == 1
    assert told.endswith("cannot be understood; expected postgresql://user:password@host:port/name\n")


@pytest.mark.parametrize("kind", ["plugin", "hooks"])
def test_a_plugin_cannot_be_begun_where_nothing_can_be_written(zhike: Zhike, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    status, told = zhike("plugin", "new", "stamps", "--kind", kind, "--folder", str(folder))
    assert (status, told) == (1, f"zhike: {folder} cannot be written to: Not a directory\n")
