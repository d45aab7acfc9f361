"""What the API says about plugins."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from zhike.plugins.switching import Resume

State = Literal["ok", "pending", "impaired", "disabled", "quarantined", "missing"]


class OpenCircuit(msgspec.Struct, frozen=True, kw_only=True):
    """A hook that is switched off after repeated failures.

    Args:
        hook: The hook.
        opened_at: Since when.
        error: What happened last.
    """

    hook: str
    opened_at: datetime
    error: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a plugin says about how it is doing.

    Args:
        key: A stable word for programs.
        ok: Whether it is fine.
        detail: What is wrong, or a figure.
    """

    key: str
    ok: bool
    detail: str


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that is installed or known from earlier.

    Args:
        name: Its name.
        distribution: The distribution it comes with; empty for a file of the hooks folder.
        version: The distribution's version, or "".
        enabled: Whether it is to run.
        state: `ok`, `pending` when a running process lacks it or its present code, `impaired` when it gets no events
            or a hook of it is switched off, `disabled`, `quarantined` when it cannot run, or `missing` when it is not
            installed.
        stage: Where it failed, or null; `run` when it is impaired.
        problem: What is wrong, or null.
        hint: What mends it, or null.
        hooks: The hooks it implements, if it runs.
        circuits: Those that are switched off.
        health: How it is doing, as it says itself.
    """

    name: str
    distribution: str
    version: str
    enabled: bool
    state: State
    stage: str | None
    problem: str | None
    hint: str | None
    hooks: list[str] = []
    circuits: list[OpenCircuit]
    health: list[Health] = []


class Processes(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change of plugins has come.

    Args:
        newest: Processes that run the newest generation.
        all: Processes that are running.
    """

    newest: int
    all: int


class PluginsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All plugins.

    Args:
        items: By name.
        next: Always null: there is only this page.
        generation: How often the set of plugins has changed.
        processes: How many run it already.
    """

    items: list[PluginEntry]
    next: str | None = None
    generation: int
    processes: Processes


class EnableRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /plugins/{name}/enable` takes.

    Args:
        resume: Needed if the plugin read the log before: `continue` where it stopped, or `from_now`.
    """

    resume: Resume | None = None


class Changed(msgspec.Struct, frozen=True):
    """What became of it.

    Args:
        changed: False if it was so already.
    """

    changed: bool
