"""The pages for plugin authors are true: every file on them is written, every command run, every answer compared.

A page is read from top to bottom, in one shell and in one empty folder:

- a block `python`, `toml` or `sh` whose first line is `# <path>` is a file;
- another block `python` is an excerpt of a file that is there by now;
- a block `diff` begins with `# <path>` and changes that file;
- a block `sh` is run; `zhike serve` keeps running until the next one;
- a block `text` or `json` after it is what it prints, where `…` stands for anything. What asks the server without
  sending anything is asked again until it answers so: a runner needs its moment. What begins with `zhike: ` is
  said by a command that refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from workspace import ROOT
from zhike.testing.databases import Server

PAGES = sorted((ROOT / "docs" / "plugins").glob("*.md"))
RUN = {"custom-hook.md", "first.md", "publishing.md", "settings.md", "testing.md"}
SECONDS = 60
PROGRAMS = {
    "zhike": "-c 'from zhike._host.cli.main import main; main()' \"$@\"",
    "pytest": '-m pytest -p no:cacheprovider "$@"',
    # As on a machine without a network: what is needed is there.
    "pip": '-m pip --disable-pip-version-check "$1" -q --no-build-isolation --no-index --no-deps "${@:2}"',
}


class Block(NamedTuple):
    language: str
    content: str

    @property
    def place(self) -> str | None:
        """The file it names in its first line."""
        found = re.match(r"# ([\w./-]+\.\w+)\n", self.content)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def matches(shown: str, expected: str) -> bool:
    pattern = ".*?".join(map(re.escape, expected.strip().split("…")))
    return re.fullmatch(pattern, shown.strip(), re.DOTALL) is not None


def until(true: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


class Reader:
    """Does what a page says, in a folder and an environment of its own.

    Args:
        folder: Empty.
        url: An empty database.
        server: Where tests make databases.
    """

    def __init__(self, folder: Path, url: str, server: str) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.url = url
        self.log = folder / "log"
        # Bound until the end, so that nobody else is given the port before the server or between two of them.
        self.reserved = socket.socket()
        self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserved.bind(("127.0.0.1", 0))
        self.port = str(self.reserved.getsockname()[1])
        known = {name: value for name, value in os.environ.items() if not name.startswith(("ZHIKE_", "PYTEST_"))}
        self.environment = {
            **known,
            "PATH": f"{self._environment(folder / 'venv')}:{os.environ['PATH']}",
            "ZHIKE_DATABASE_URL": url,
            "ZHIKE_TEST_DATABASE_URL": server,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.shell = subprocess.Popen(
            ["bash"], cwd=self.folder, env=self.environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.serving: subprocess.Popen[str] | None = None

    def _environment(self, folder: Path) -> Path:
        """Make a virtual environment on top of ours, so that what a page installs is not installed for the tests."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
        paths = {"base": str(folder), "platbase": str(folder)}
        packages = Path(sysconfig.get_path("purelib", vars=paths))
        ours = sysconfig.get_path("purelib")
        (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        for name, arguments in PROGRAMS.items():
            program = folder / "bin" / name
            program.write_text(f"#!/bin/bash\nexec {shlex.quote(str(folder / 'bin' / 'python'))} {arguments}\n")
            program.chmod(0o755)
        return folder / "bin"

    def read(self, page: Path) -> None:
        found = blocks(page)
        assert found
        for block, after in zip(found, [*found[1:], None], strict=True):
            told = after if after is not None and after.language in {"text", "json"} else None
            self._do(block, told.content if told is not None else None)

    def _do(self, block: Block, told: str | None) -> None:
        place = None if block.place is None else self.folder / block.place
        if block.language == "diff":
            assert place is not None, block.content
            self._change(place, block.content)
        elif place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.content.partition("\n")[2].lstrip("\n"), encoding="utf-8")
        elif block.language == "python":
            files = self.folder.rglob("*.py")
            assert any(block.content in file.read_text(encoding="utf-8") for file in files), block.content
        elif block.language == "sh" and block.content.strip() == "zhike serve":
            self._serve()
        elif block.language == "sh":
            self._run(block.content, told)
        else:
            assert block.language in {"text", "json"}, f"nobody knows what to do with a block of {block.language}"

    def _change(self, place: Path, diff: str) -> None:
        lines = diff.splitlines(keepends=True)[1:]
        before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        text = place.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{place.name} does not hold what is to be changed: {before}"
        place.write_text(text.replace(before, after), encoding="utf-8")

    def _run(self, script: str, told: str | None) -> None:
        refused = told is not None and told.startswith("zhike: ")
        asks = script.startswith(("ask ", "zhike consumers", "zhike deadletters")) and " -d " not in script
        ends = time.monotonic() + SECONDS
        while True:
            status, shown = self._execute(script)
            assert status == (1 if refused else 0), f"{script}\n{shown}\n{self.log.read_text() if self.serving else ''}"
            if told is None or matches(shown, told):
                return
            if not asks or time.monotonic() > ends:
                pytest.fail(f"{script}\nprinted\n{shown}\ninstead of\n{told}")
            time.sleep(0.2)

    def _execute(self, script: str) -> tuple[int, str]:
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f'{{ {self._here(script)}\n}} </dev/null\necho "::end $?"\n')
        self.shell.stdin.flush()
        shown = []
        for line in self.shell.stdout:
            rest, mark, status = line.rpartition("::end ")  # what is printed may not end its line
            if mark and status.strip().isdigit():
                return int(status), "".join([*shown, rest])
            shown.append(line)
        raise AssertionError(f"the shell ended: {''.join(shown)}")

    def _here(self, script: str) -> str:
        return script.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def _serve(self) -> None:
        self.stop()
        _, exported = self._execute("env -0 | tr '\\0' '\\1'")
        environment = dict(each.split("=", 1) for each in exported.split("\1") if "=" in each)
        with self.log.open("w") as log:
            self.serving = subprocess.Popen(
                ["zhike", "serve", "--port", self.port], executable=str(self.folder.parent / "venv/bin/zhike"),
                cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.serving.stdout is not None
        line = self.serving.stdout.readline()
        assert line.startswith("ready http"), self.log.read_text()
        # Nobody types as fast as this test; consumers that begin with new events would not be given the first.
        until(lambda: asyncio.run(self._consumers()), "no runner has registered the consumers")

    async def _consumers(self) -> bool:
        connection = await asyncpg.connect(self.url)
        try:
            found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM consumer)")
        finally:
            await connection.close()
        return found

    def stop(self) -> None:
        """Press Ctrl-C."""
        if self.serving is not None:
            self.serving.send_signal(signal.SIGINT)
            self.serving.communicate(timeout=30)
            assert self.serving.returncode == 0
            self.serving = None

    def close(self) -> None:
        self.reserved.close()
        with contextlib.suppress(ProcessLookupError):
            self.shell.kill()
            if self.serving is not None:
                self.serving.kill()
        for process in (self.shell, self.serving):
            if process is not None:
                process.communicate()


@pytest.fixture
def reader(tmp_path: Path, empty_database_url: str, database_server: Server) -> Iterator[Reader]:
    opened = Reader(tmp_path, empty_database_url, database_server.url)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in PAGES if page.name in RUN], ids=lambda page: page.stem)
def test_a_page_is_true(page: Path, reader: Reader) -> None:
    reader.read(page)
    reader.stop()
    for arguments in (["check"], ["format", "--check", "--config", "line-length=120"]):
        ruff = [sys.executable, "-m", "ruff", *arguments, "--no-cache", reader.folder]
        done = subprocess.run(ruff, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout


def test_there_is_no_page_that_nobody_runs() -> None:
    # test_hook_docs and test_page_docs run these, which are no stories from an empty folder on.
    assert {page.name for page in PAGES} == RUN | {"hooks.md", "pages.md"}


def test_the_example_of_the_readme_is_a_plugin(reader: Reader) -> None:
    hooks = {
        name: next(block.content for block in blocks(ROOT / name) if block.language == "python")
        for name in ("README.md", "README.zh-CN.md")
    }
    reader._run("zhike migrate", None)
    for content in hooks.values():
        (reader.folder / "thanks.py").write_text(content, encoding="utf-8")
        reader._run("ZHIKE_LOCALE=en zhike plugin check thanks.py", "…thanks.py: nothing is wrong")


def test_a_page_that_is_wrong_is_noticed(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    right = '```python\n# a.py\nprint("a")\nprint("b")\n```\n\n```python\nprint("b")\n```\n\n```sh\necho one two\n```\n'
    page.write_text(right + '```text\none …\n```\n```diff\n# a.py\n-print("b")\n+print("c")\n```\n', encoding="utf-8")
    reader.read(page)
    assert (reader.folder / "a.py").read_text() == 'print("a")\nprint("c")\n'
    for wrong in (
        '```python\nprint("d")\n```\n',
        '```diff\n# a.py\n-print("b")\n```\n',
        "```sh\nfalse\n```\n",
        "```sh\necho one\n```\n```text\ntwo\n```\n",
        "```sh\necho 'zhike: no'\n```\n```text\nzhike: no\n```\n",
        "```yaml\na: b\n```\n",
    ):
        page.write_text(wrong, encoding="utf-8")
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            reader.read(page)
