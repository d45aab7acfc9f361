"""New plugins of each kind: generated, installed by pip, and held against their own tests and our tools."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from packaging.version import Version

from zhike import __version__
from zhike._host import scaffold
from zhike._host.cli.main import cli
from zhike.errors import Refused
from zhike.testing.distributions import make_distribution

if TYPE_CHECKING:
    from zhike.testing.databases import Server

ZHIKE = "from zhike._host.cli.main import main; main()"
KINDS = ("plugin", "connector", "hooks", "theme")
NAMES = {"plugin": "stamps", "connector": "shop", "hooks": "orders", "theme": "tea"}


def run(*command: str | Path, cwd: Path, place: Path | None = None, **environment: str) -> str:
    """Run Python with a folder of installed packages, and return what it printed; it must end well."""
    path = {"PYTHONPATH": str(place)} if place else {}
    known = {**os.environ, "ZHIKE_LOCALE": "en", "ZHIKE_DATA": str(cwd), **path, **environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=known, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one new plugin of each kind; those that are distributions are installed in a folder beside."""
    made = tmp_path_factory.mktemp("new")
    for kind, name in NAMES.items():
        done = CliRunner().invoke(cli, ["plugin", "new", name, "--kind", kind, "--folder", str(made)])
        assert done.exit_code == 0, done.output
        written = [Path(line) for line in done.output.splitlines()]
        assert all(path.is_file() for path in written)
        if kind != "hooks":
            pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
            target = ["--no-build-isolation", "--target", made / "installed" / kind]
            run(*pip, *target, f"./{distribution(kind)}", cwd=made)
    return made


def distribution(kind: str) -> str:
    """Return the name of the distribution of a kind."""
    return f"zhike-theme-{NAMES[kind]}" if kind == "theme" else f"zhike-{NAMES[kind]}"


@pytest.mark.parametrize("kind", ["plugin", pytest.param("connector", marks=pytest.mark.heavy), "theme"])
def test_its_own_tests_pass(kind: str, folder: Path, database_server: Server) -> None:
    project = folder / distribution(kind)
    command = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    environment = {"ZHIKE_TEST_DATABASE_URL": database_server.url}
    assert " passed" in run(*command, cwd=project, place=folder / "installed" / kind, **environment)


@pytest.mark.parametrize("kind", ["plugin", "connector", "hooks"])
def test_a_server_would_find_nothing_wrong_with_it(kind: str, folder: Path, database_url: str) -> None:
    which = f"{NAMES[kind]}.py" if kind == "hooks" else NAMES[kind]
    place = folder / "installed" / kind
    said = run("-c", ZHIKE, "plugin", "check", which, cwd=folder, place=place, ZHIKE_DATABASE_URL=database_url)
    assert said.endswith("nothing is wrong\n")


def test_it_is_tidy(tmp_path: Path) -> None:
    for name in ("stamps", "loyaltyclub"):
        for kind in KINDS:
            scaffold.write(name, kind, tmp_path / kind)  # type: ignore[arg-type]  # one of the kinds
    run("-m", "ruff", "check", "--no-cache", ".", cwd=tmp_path)
    run("-m", "ruff", "format", "--no-cache", "--check", ".", cwd=tmp_path)


@pytest.mark.heavy
def test_its_types_are_right(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    sources = [folder / f"zhike-{NAMES[kind]}" / "src" for kind in ("plugin", "connector")]
    mypy = ["-m", "mypy", "--strict", "--cache-dir", str(tmp_path_factory.mktemp("mypy"))]
    path = {"MYPYPATH": os.pathsep.join(map(str, sources))}
    run(*mypy, *sources, folder / "orders.py", cwd=folder, **path)
    for source in sources:
        run(*mypy, source.parent / "tests", cwd=folder, **path)


@pytest.mark.parametrize("kind", ["plugin", "connector"])
def test_its_texts_are_translated(kind: str, folder: Path) -> None:
    from babel.messages.pofile import read_po

    package = folder / f"zhike-{NAMES[kind]}" / "src" / f"zhike_{NAMES[kind]}"
    with next(package.rglob("*.po")).open("rb") as file:
        entries = {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id}
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    assert source.count("text(") == len(entries)
    assert all(f'text("{msgid}"' in source and translated for msgid, translated in entries.items())


@pytest.mark.parametrize(
    ("name", "why"), [("plugin", "word of the core"), ("My-Plugin", "no name for a plugin"), ("a" * 31, "no name")]
)
def test_names_no_plugin_can_have(name: str, why: str, tmp_path: Path) -> None:
    for kind in KINDS:
        with pytest.raises(Refused, match=why):
            scaffold.write(name, kind, tmp_path)  # type: ignore[arg-type]  # one of the kinds
    assert not [*tmp_path.iterdir()]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folders = [tmp_path / "zhike-stamps", tmp_path / "zhike-theme-stamps"]
    for folder in folders:
        folder.mkdir()
    mine = tmp_path / "stamps.py"
    mine.write_text("mine")
    for kind in KINDS:
        with pytest.raises(Refused, match="exists already"):
            scaffold.write("stamps", kind, tmp_path)  # type: ignore[arg-type]  # one of the kinds
    assert sorted(tmp_path.rglob("*")) == [mine, *folders]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("running", "asked", "fits", "does_not"),
    [
        ("0.1.0.dev0", ">=0.1.0.dev0,<0.2", ["0.1.0.dev0", "0.1.7"], ["0.2.0", "0.2.1"]),
        ("0.9.1", ">=0.9.1,<0.10", ["0.9.2"], ["0.9.0", "0.10.0"]),
        ("1.4.0", ">=1.4.0,<2", ["1.4.0", "1.99"], ["1.3", "2.0"]),
    ],
)
def test_what_it_requires_of_zhike(running: str, asked: str, fits: Sequence[str], does_not: Sequence[str]) -> None:
    from packaging.specifiers import SpecifierSet

    assert scaffold.required(Version(running)) == asked
    specifier = SpecifierSet(asked, prereleases=True)
    assert [version for version in [*fits, *does_not] if version in specifier] == fits


def test_it_requires_the_version_that_wrote_it(folder: Path) -> None:
    project = (folder / "zhike-stamps" / "pyproject.toml").read_text()
    assert f'dependencies = ["zhike{scaffold.required(Version(__version__))}"]' in project


def test_a_name_that_an_installed_plugin_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_distribution(tmp_path / "site", "points", {"acme_points.py": ""}, distribution="acme-points", version="2.5")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for kind in KINDS:
        refused = CliRunner().invoke(cli, ["plugin", "new", "points", "--kind", kind, "--folder", str(tmp_path / kind)])
        assert "points is the name of a plugin of acme-points 2.5" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
