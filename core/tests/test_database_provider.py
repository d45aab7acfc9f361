"""Where the database comes from: a server's URL, or whatever distribution provides one for the data folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from zhike._host import database
from zhike._host.cli.context import database_url
from zhike._host.cli.main import cli
from zhike.errors import Refused
from zhike.settings import Settings


@contextmanager
def attach(data: Path) -> Iterator[str]:
    yield f"postgresql://of/{data.name}"


def installed(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(database, "entry_points", lambda *, group: [one for one in points if one.group == group])


@pytest.mark.parametrize("command", [["migrate"], ["serve", "--port", "0"], ["demo", "--port", "0"], ["token", "list"]])
def test_without_a_provider_every_command_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    installed(monkeypatch)
    data = tmp_path / "data"
    result = CliRunner().invoke(cli, [*command, "--data", str(data)], env={"ZHIKE_DATABASE_URL": None})
    assert isinstance(result.exception, Refused)
    assert "`pip install zhike-embedded`" in str(result.exception)
    assert "ZHIKE_DATABASE_URL" in str(result.exception)
    assert not data.exists()


def test_a_servers_url_needs_no_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with database_url(Settings(data=tmp_path, database_url="postgresql://elsewhere/zhike")) as url:
        assert url == "postgresql://elsewhere/zhike"


def test_any_distribution_may_provide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        monkeypatch, EntryPoint("ours", "providing", database.GROUP), EntryPoint("no", "nothing", "zhike.plugins")
    )
    monkeypatch.setitem(sys.modules, "providing", SimpleNamespace(attach=attach))
    with database_url(Settings(data=tmp_path / "shop", database_url=None)) as url:
        assert url == "postgresql://of/shop"
