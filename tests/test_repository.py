"""What may not be in the repository: registry hosts, lock files, vendored code, paths of one machine."""

from __future__ import annotations

import re

from workspace import ROOT, tracked

# Written in pieces so that this file does not contain what it forbids.
FORBIDDEN = [
    "py" + "pi.org",
    "python" + "hosted",
    "registry." + "npmjs",
    "deb." + "debian",
    "/ro" + "ot/",
    "/wo" + "rk/",
    "/ho" + "me/",
]
TEXT = {
    ".py",
    ".toml",
    ".md",
    ".txt",
    ".html",
    ".css",
    ".js",
    ".json",
    ".sql",
    ".po",
    ".pot",
    ".yml",
    ".yaml",
    ".cfg",
    "",
}


def test_no_registry_hosts_and_no_machine_paths() -> None:
    found = []
    for path in tracked():
        if path.suffix in TEXT and path.name != "LICENSE":
            body = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN if word in body]
    assert not found


def test_no_lock_files_and_nothing_vendored() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    lock = re.compile(r"(^|/)(uv\.lock|pylock.*\.toml|poetry\.lock|Pipfile\.lock|yarn\.lock)$")
    vendored = re.compile(r"\.min\.(js|css)$|(^|/)(vendor|node_modules)/")
    assert not [name for name in names if lock.search(name) or vendored.search(name)]


def test_nothing_unfinished_is_left_in_the_code() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|HA" + r"CK)\b")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.suffix == ".py"
        for match in words.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found
