"""Finding plugins: distributions and files, and what may be wrong with them before any code runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from zhike import __version__
from zhike._host.plugins import versions
from zhike._host.plugins.discover import Candidate, Found, discover
from zhike._host.plugins.look import fingerprint
from zhike.testing.distributions import make_distribution

# Importing it would fail, so whatever is found is found without.
BOOM = "raise RuntimeError\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """An empty hooks folder."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    return folder


def told(found: Found, name: str) -> str:
    """Return a problem with its hint in English."""
    problem = found.problems[name]
    assert problem.plugin == name
    assert problem.stage == "discover"
    return f"{problem.text} | {problem.hint}"


def test_a_distribution_is_found_by_its_entry_point(site: Path) -> None:
    make_distribution(
        site,
        "stamps",
        {"acme_stamps/plugin.py": BOOM, "acme_stamps/__init__.py": BOOM},
        version="2.5",
        requires=("zhike>=0.1.dev0", "httpx"),
        distribution="acme-stamps",
    )
    found = discover(None)
    assert found.candidates["stamps"] == Candidate(
        name="stamps",
        module="acme_stamps.plugin",
        distribution="acme-stamps",
        version="2.5",
        requires=("zhike>=0.1.dev0", "httpx"),
    )
    assert "stamps" not in found.problems
    assert "acme_stamps" not in sys.modules


def test_files_of_the_hooks_folder_are_found_by_their_stems(hooks: Path) -> None:
    for name in ("greet.py", "_shared.py", ".#greet.py", "notes.txt", "Makefile"):
        (hooks / name).write_text(BOOM)
    (hooks / "folder.py").mkdir()
    found = discover(hooks)
    files = {name: each.file for name, each in found.candidates.items() if each.file}
    assert files == {"greet": str(hooks / "greet.py")}


def test_without_a_hooks_folder_there_are_no_files(tmp_path: Path) -> None:
    assert discover(tmp_path / "hooks") == discover(None)


def test_a_hooks_folder_that_is_none_is_a_problem_and_the_rest_is_found(site: Path, hooks: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": BOOM})
    (hooks / "x").write_text("")
    found = discover(hooks / "x")
    assert "ZHIKE_HOOKS" in told(found, "hooks")
    assert found.candidates["stamps"].module == "acme_stamps"


@pytest.mark.parametrize("name", ["Stamps", "my_stamps", "my-stamps", "1st", "a" * 31, "标签", "stamps.plus"])
def test_a_name_that_is_no_lower_case_word_is_a_problem(site: Path, hooks: Path, name: str) -> None:
    make_distribution(site, name, {"acme_stamps.py": BOOM}, distribution="acme-stamps")
    assert 'Rename it in [project.entry-points."zhike.plugins"] of acme-stamps' in told(discover(hooks), name)


@pytest.mark.parametrize("name", ["customers", "events", "jobs", "plugins", "tasks", "api", "static", "login", "event"])
def test_a_word_of_the_core_is_a_problem(site: Path, hooks: Path, name: str) -> None:
    (hooks / f"{name}.py").write_text(BOOM)
    found = discover(hooks)
    assert f"{name!r} is a word of the core" in told(found, name)
    assert f"Rename {hooks / name}.py" in told(found, name)


@pytest.mark.skipif(sys.platform == "darwin", reason="file names there are UTF-8")
def test_a_file_name_that_is_no_text_is_a_problem(hooks: Path) -> None:
    (hooks / os.fsdecode(b"a\xff.py")).write_text(BOOM)
    assert "no name for a plugin" in told(discover(hooks), "a\\udcff")


def test_two_distributions_of_one_name_are_a_problem_that_names_both(site: Path) -> None:
    make_distribution(site, "stamps", {"one_stamps.py": BOOM}, distribution="one-stamps", version="1.1")
    make_distribution(site, "stamps", {"two_stamps.py": BOOM}, distribution="two-stamps", version="2.2")
    make_distribution(site, "coupons", {"acme_coupons.py": BOOM})
    found = discover(None)
    problem = told(found, "stamps")
    assert "one-stamps 1.1" in problem
    assert "two-stamps 2.2" in problem
    assert "`pip uninstall " in problem
    assert "coupons" not in found.problems


def test_a_file_named_like_a_distribution_is_refused_and_the_distribution_is_not(site: Path, hooks: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": BOOM})
    (hooks / "stamps.py").write_text(BOOM)
    found = discover(hooks)
    problem = told(found, "stamps.py")
    assert f"Rename {hooks / 'stamps.py'}" in problem
    assert "of zhike-stamps 1.0 and of" in problem
    # Whoever has not enabled the distribution has not enabled it with the file either.
    assert found.candidates["stamps"].distribution == "zhike-stamps"
    assert "stamps" not in found.problems


@pytest.mark.parametrize("name", ["we'ird", "new\nline", "hooks", "a\x1bb"])
def test_what_can_be_no_plugin_is_found_but_not_for_the_database(hooks: Path, name: str) -> None:
    (hooks / f"{name}.py").write_text(BOOM)
    (hooks / "greet.py").write_text(BOOM)
    found = discover(hooks)
    [shown] = {each.name for each in found.candidates.values() if each.file} - {"greet"}
    assert shown.isprintable()
    assert told(found, shown).isprintable()
    assert {each.name for each in found.installed if not each.distribution} == {"greet"}


def test_one_distribution_on_two_folders_of_the_path_is_the_first(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": BOOM}, distribution="acme_stamps", version="1.0")
    make_distribution(tmp_path / "user", "stamps", {"acme_stamps.py": BOOM}, distribution="Acme-Stamps", version="2.0")
    monkeypatch.syspath_prepend(str(tmp_path / "user"))
    found = discover(None)
    assert found.candidates["stamps"].version == "2.0"
    assert "stamps" not in found.problems


def test_an_entry_point_that_names_no_module_is_a_problem(site: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps.py": BOOM}, entry="acme_stamps:plugin = 1")
    assert "expected a module" in told(discover(None), "stamps")


BROKEN = {
    "no metadata": ("METADATA", None),
    "no name": ("METADATA", b"Metadata-Version: 2.1\nVersion: 1.0\n"),
    "no text": ("METADATA", b"\xff\xfe\x00"),
    "no entry points": ("entry_points.txt", b"[zhike.plugins]\nstamps\n"),
    "entry points without text": ("entry_points.txt", b"[zhike.plugins]\nstamps = \xff\n"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_metadata_that_cannot_be_read_is_a_problem(site: Path, how: str) -> None:
    name, content = BROKEN[how]
    file = make_distribution(site, "stamps", {"acme_stamps.py": BOOM}, distribution="acme-stamps") / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    make_distribution(site, "coupons", {"acme_coupons.py": BOOM})
    found = discover(None)
    assert "`pip install --force-reinstall acme_stamps`" in told(found, "acme_stamps")
    assert found.candidates["coupons"].module == "acme_coupons"
    assert "coupons" not in found.problems


def needs(*requires: str) -> Candidate:
    return Candidate(name="stamps", module="m", distribution="acme-stamps", version="2.5", requires=requires)


@pytest.mark.parametrize(
    ("requirement", "running"),
    [
        ("zhike", "0.1.0.dev0"),
        ("zhike>=1.2", "1.3.0.dev4"),
        ("Zhike >=1.2,<2", "1.9"),
        ("zhike>=99; python_version < '3'", "1.0"),
        ("zhike>=99; extra == 'new'", "1.0"),
        ("zhike-embedded>=99", "1.0"),
        (f"zhike=={__version__}", __version__),
    ],
)
def test_a_requirement_that_is_met(requirement: str, running: str) -> None:
    assert versions.check(needs("httpx>=0.28", requirement), running) is None


@pytest.mark.parametrize(
    ("requirement", "running", "command"),
    [
        ("zhike>=2.0,<3", "1.3.0.dev4", "pip install 'zhike<3,>=2.0'"),
        ("zhike~=2.1", "2.0", "pip install 'zhike~=2.1'"),
        ("zhike==2.*", "1.0", "pip install 'zhike==2.*'"),
        ("zhike>=0.3,<0.4", "0.4.1", "pip install --upgrade acme-stamps"),
        ("zhike<1", "1.0.dev0", "pip install --upgrade acme-stamps"),
    ],
)
def test_a_requirement_that_is_not_met_names_both_versions_and_the_command(
    requirement: str, running: str, command: str
) -> None:
    problem = versions.check(needs("httpx", requirement), running)
    assert problem is not None
    assert problem.stage == "version"
    what = str(problem.text)
    assert what.startswith("stamps 2.5 needs zhike")
    assert what.endswith(f"and zhike {running} runs")
    assert f"`{command}`" in str(problem.hint)


@pytest.mark.parametrize("marker", ["os_name ~= 'posix'", "python_version === 'x' and os_name < '1.0'"])
def test_a_marker_that_means_nothing_breaks_nothing(marker: str) -> None:
    problem = versions.check(Candidate(name="acme", distribution="acme", requires=(f"zhike>=99; {marker}",)))
    assert problem is None or problem.stage == "version"


def test_a_link_to_itself_hides_no_other_file(hooks: Path) -> None:
    (hooks / "greet.py").write_text("")
    (hooks / "loop.py").symlink_to("loop.py")
    (hooks / "torn.py").symlink_to("nowhere")
    assert discover(hooks).candidates.keys() & {"greet", "loop", "torn", "hooks"} == {"greet"}


def test_a_requirement_that_is_none_is_a_problem() -> None:
    problem = versions.check(needs("zhike>=>1"), "1.0")
    assert problem is not None
    assert "zhike>=>1" in str(problem.text)


def test_the_fingerprint_follows_the_code(site: Path) -> None:
    make_distribution(site, "stamps", {"acme_stamps/plugin.py": "A = 1\n", "acme_stamps/__init__.py": ""})
    candidate = discover(None).candidates["stamps"]
    first = fingerprint(candidate)

    (site / "acme_stamps" / "__pycache__").mkdir()
    (site / "acme_stamps" / "__pycache__" / "plugin.py").write_text("compiled")
    (site / "acme_stamps" / "plugin.py").touch()
    assert fingerprint(candidate) == first

    stamp = (site / "acme_stamps" / "plugin.py").stat().st_mtime
    (site / "acme_stamps" / "plugin.py").write_text("A = 2\n")
    os.utime(site / "acme_stamps" / "plugin.py", (stamp, stamp))  # same size, same time
    second = fingerprint(candidate)
    (site / "acme_stamps" / "deeper").mkdir()
    (site / "acme_stamps" / "deeper" / "new.py").write_text("")
    assert len({first, second, fingerprint(candidate)}) == 3
    assert "acme_stamps" not in sys.modules
