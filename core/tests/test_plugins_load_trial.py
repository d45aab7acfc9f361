"""Trying new code in another process: whatever it does there is one plugin's problem, found in bounded time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from zhike._host.plugins import trial
from zhike._host.plugins.discover import Candidate
from zhike.platform import Problem

FINE = """
from zhike.contracts import Permission
from zhike.hooks import hookimpl

@hookimpl
def register_permissions():
    return [Permission(key=f"{__name__.removeprefix('zhike_hooks_')}.read", label="See them")]
"""
# Nothing is to be measured with it: only what never ends reaches it.
SECONDS = 20.0


@pytest.fixture
def write(tmp_path: Path):
    """Write a plugin of one file."""

    def write(name: str, source: str) -> Candidate:
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        return Candidate(name=name, file=str(file))

    return write


async def one(candidate: Candidate, seconds: float = SECONDS) -> Problem:
    """Try one plugin that has a problem."""
    (problem,) = (await trial.run([candidate], seconds=seconds)).values()
    assert problem.plugin == candidate.name
    return problem


async def test_each_is_tried_and_only_those_with_a_problem_are_named(write) -> None:
    candidates = [
        write("stamps", FINE),
        write("exits", "import os\nos._exit(0)\n"),
        write("coupons", FINE),
        write("crashes", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"),
        write("murders", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n"),
        write("raises", "raise RuntimeError('the password is hunter2')\n"),
        write("leaves", "raise SystemExit(0)\n"),
        write("interrupts", "raise KeyboardInterrupt\n"),
        write("cancels", "import asyncio\nraise asyncio.CancelledError\n"),
        write("recurses", "def f(): return f()\nf()\n"),
        write("lacks", "import no_such_module_anywhere.part\n"),
        write("mistyped", "def f(:\n"),
        write("empty", ""),
        write("points", FINE),
    ]
    problems = await trial.run(candidates, seconds=SECONDS)
    assert {name: problem.stage for name, problem in problems.items()} == {
        "exits": "trial",
        "crashes": "trial",
        "murders": "trial",
        "raises": "import",
        "leaves": "import",
        "interrupts": "import",
        "cancels": "import",
        "recurses": "import",
        "lacks": "import",
        "mistyped": "import",
    }
    what = {name: str(problem.text) for name, problem in problems.items()}
    assert "exit(0)" in what["exits"]
    assert "SIGSEGV" in what["crashes"]
    assert what["raises"].endswith("RuntimeError (raises.py:1)")
    assert "SystemExit" in what["leaves"]
    assert "RecursionError (recurses.py:1)" in what["recurses"]
    assert "SyntaxError: invalid syntax (mistyped.py, line 1)" in what["mistyped"]
    assert "no_such_module_anywhere" in what["lacks"]
    assert "provides the module no_such_module_anywhere," in str(problems["lacks"].hint)
    assert not [name for name, problem in problems.items() if "hunter2" in f"{problem.text}{problem.hint}"]


@pytest.mark.parametrize(
    "source",
    [
        "import time\nwhile True: time.sleep(3600)\n",
        "import os\nwhile True: os.write(1, b'x' * 65536)\n",
        # Neither what it ignores nor a process of its own saves it.
        "import os\nfrom signal import *\nfor n in (SIGTERM, SIGALRM, SIGINT): signal(n, SIG_IGN)\n"
        "os.fork()\nwhile True: pause()\n",
    ],
    ids=["sleeps", "floods", "ignores"],
)
async def test_what_never_ends_is_killed_with_all_it_started(write, source: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    note = f"import os\ndef note(): open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    candidate = write("stuck", f"{note}note()\nos.register_at_fork(after_in_child=note)\n{source}")
    problem = await one(candidate, seconds=1.0)
    assert problem.stage == "trial"
    assert "did not end within 1 seconds" in str(problem.text)
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 1 + source.count("os.fork()")
    for pid in started:
        await gone(pid)


async def test_a_register_hook_that_hangs_is_found_as_well(write) -> None:
    source = "from zhike.hooks import hookimpl\n@hookimpl\ndef register_permissions():\n    while True: pass\n"
    assert (await one(write("stuck", source), seconds=1.0)).stage == "trial"


@pytest.mark.parametrize(
    ("source", "stage", "words"),
    [
        ("@hookimpl\ndef register_permissions(): raise ValueError\n", "register", "ValueError"),
        ("@hookimpl\ndef register_permissions(): raise SystemExit\n", "register", "SystemExit"),
        ("@hookimpl\ndef register_permissions(): return 42\n", "register", "int"),
        ("@hookimpl\ndef register_permissions(): return ['x']\n", "registry", "str"),
        ("@hookimpl\nasync def on_event_recorded(events): ...\n", "register", "did you mean on_events_recorded?"),
        ("@hookimpl(wrapper=True)\ndef register_permissions(): yield\n", "register", "wrapper"),
        ("CLAIMS = ('customer',)\n", "registry", "'customer'"),
        ("def __getattr__(name): raise SystemExit(name)\n", "register", "SystemExit"),
    ],
)
async def test_a_mistake_in_registering_is_told_with_its_stage(write, source: str, stage: str, words: str) -> None:
    problem = await one(write("wrong", f"from zhike.hooks import hookimpl\n{source}"))
    assert problem.stage == stage
    assert words in str(problem.text)
    assert str(problem.hint)


async def test_what_a_plugin_prints_does_not_garble_the_reports(write) -> None:
    noise = (
        "import os, sys\nprint('{}' * 100_000)\nprint('x', file=sys.stderr)\nos.write(1, b'{\"plugin\": \"x\"}\\n')\n"
    )
    candidates = [write("noisy", noise), write("stamps", FINE), write("shut", "import os\nos.closerange(0, 256)\n")]
    problems = await trial.run(candidates, seconds=SECONDS)
    assert {name: problem.stage for name, problem in problems.items()} == {"shut": "trial"}


async def test_what_is_left_running_after_a_good_import_is_killed(write, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    source = (
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\n"
    )
    assert await trial.run([write("spawns", source)], seconds=SECONDS) == {}
    await gone(int(pid.read_text()))


async def test_a_trial_that_is_cancelled_leaves_nothing_running(write, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    stuck = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(3600)\n"
    before = {child.pid for child in psutil.Process().children()}  # of other tests of this process
    task = asyncio.create_task(trial.run([write("stuck", stuck)], seconds=600))
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(pid.read_text()))
    assert not [child for child in psutil.Process().children() if child.pid not in before and runs(child.pid)]


async def test_nothing_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)
    assert await trial.run([]) == {}


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_core_that_cannot_be_imported_is_not_a_plugins_fault(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    customize = tmp_path / "customize"
    customize.mkdir()
    (customize / "sitecustomize.py").write_text("import sys\nsys.modules['zhike.jobs.plugin'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(customize))
    problems = await trial.run([write("alpha", FINE), write("beta", FINE)])
    assert problems.keys() == {"alpha", "beta"}
    for problem in problems.values():
        # Not `trial`, which would keep it from being tried again.
        assert problem.stage == "import"
        assert "the core itself cannot be imported in a new process, which ended with exit(1)" in str(problem.text)
    assert "zhike.jobs.plugin" in capfd.readouterr().err
