"""Commands that plugins bring: found without a database, run only while their plugin is enabled."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import click

from zhike import settings as configuration
from zhike._host.cli import context
from zhike._host.plugins import trial, versions
from zhike._host.plugins.discover import Candidate, discover
from zhike._host.plugins.importing import failure, import_plugin
from zhike._wellformed import Misuse
from zhike.contracts import Command
from zhike.errors import Refused
from zhike.i18n import text
from zhike.platform import Platform
from zhike.registry import Registry
from zhike.settings import Settings

SECONDS = 5.0
"""How long the code of one plugin may take to say which commands it has."""


class Extra(NamedTuple):
    """A plugin's command."""

    candidate: Candidate
    command: Command

    def load(self) -> click.Command:
        """Import the command; raises `Refused` if that fails."""
        module, _, attribute = self.command.target.partition(":")
        try:
            import_plugin(self.candidate)
            loaded: click.Command = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise Refused(failure(self.candidate, error).told) from error
        return loaded

    @asynccontextmanager
    async def open_platform(self, settings: Settings) -> AsyncIterator[Platform]:
        """Be the `zhike.commands.Host` that the command gets."""
        async with context.open_platform(settings) as platform:
            name = self.candidate.name
            if name not in platform.plugins:
                told = [problem.told for problem in platform.problems if problem.plugin == name]
                disabled = text("The plugin {name} is disabled; run `zhike plugin enable {name}`", name=name)
                raise Refused(told[0] if told else disabled)
            yield platform


def find() -> Iterator[Extra]:
    """Yield the commands of all installed plugins, those of this repository first.

    Code of others, enabled or not, is run in a process of its own, since it may hang. A plugin that fails is left
    out with a line on standard error, so that the other commands remain.
    """
    config = configuration.load()
    found = discover(config.hooks)
    registry = Registry()
    others = []
    for name, candidate in sorted(found.candidates.items()):
        if problem := found.problems.get(name) or versions.check(candidate):
            yield from _take(registry, candidate, trial.Report.of(problem), config)
        elif candidate.installed.ours:
            yield from _take(registry, candidate, _own(candidate), config)
        else:
            others.append(candidate)
    reports = asyncio.run(trial.reports(others, seconds=SECONDS)) if others else {}
    for candidate in others:
        yield from _take(registry, candidate, reports[candidate.name], config)


def _own(candidate: Candidate) -> trial.Report:
    try:
        plugin = import_plugin(candidate)
        commands = list(plugin.register_commands()) if hasattr(plugin, "register_commands") else []
    except Exception as error:
        return trial.Report.of(failure(candidate, error))
    return trial.Report(candidate.name, claims=getattr(plugin, "CLAIMS", ()), commands=commands)


def _take(registry: Registry, candidate: Candidate, report: trial.Report, config: Settings) -> Iterator[Extra]:
    problem = report.problem
    if problem is None:
        try:
            registry.claim(candidate.name, report.claims)
            registry.add(candidate.name, {"commands": report.commands})
        except Misuse as misuse:
            problem = candidate.problem("registry", misuse.message)
        else:
            yield from (Extra(candidate, command) for command in report.commands)
    if problem is not None:
        click.echo(f"zhike: {problem.told.render(config.locale)}", err=True)
