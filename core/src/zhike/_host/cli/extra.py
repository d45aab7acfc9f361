"""Commands that plugins bring: found without a database, run only while their plugin is enabled."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import click

from zhike import settings as configuration
from zhike._host.cli import context
from zhike._host.plugins import versions
from zhike._host.plugins.discover import Candidate, discover
from zhike._host.plugins.importing import failure, import_plugin
from zhike.contracts import Command
from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.platform import Platform, Problem
from zhike.plugins.service import FIRST_PARTY
from zhike._wellformed import Misuse
from zhike.registry import Registry
from zhike.settings import Settings


class Extra(NamedTuple):
    """A plugin's command."""

    candidate: Candidate
    command: Command

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            Refused: If that fails.
        """
        module, _, attribute = self.command.target.partition(":")
        try:
            loaded: click.Command = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise Refused(_told(failure(self.candidate, error))) from error
        return loaded

    @asynccontextmanager
    async def open_platform(self, settings: Settings) -> AsyncIterator[Platform]:
        """Be the `zhike.commands.Host` that the command gets."""
        async with context.open_platform(settings) as platform:
            name = self.candidate.name
            if name not in platform.plugins:
                problem = next((each for each in platform.problems if each.plugin == name), None)
                if problem is not None:
                    raise Refused(_told(problem))
                raise Refused(text("The plugin {name} is disabled; run `zhike plugin enable {name}`", name=name))
            yield platform


def find() -> Iterator[Extra]:
    """Yield the commands of all installed plugins, those of this repository first.

    A plugin is imported when its turn has come. One that fails is left out with a line on standard error, so that
    the other commands remain.
    """
    config = configuration.load()
    found = discover(config.hooks)
    registry = Registry()
    for name in sorted(found.candidates, key=lambda name: (name not in FIRST_PARTY, name)):
        candidate = found.candidates[name]
        problem = found.problems.get(name) or versions.check(candidate)
        commands: list[Command] = []
        if problem is None:
            try:
                commands = _register(registry, candidate)
            except KeyboardInterrupt:
                raise
            except Misuse as misuse:
                problem = candidate.problem("registry", misuse.message)
            except BaseException as error:
                problem = failure(candidate, error)
        if problem is not None:
            click.echo(f"zhike: {_told(problem).render(config.locale)}", err=True)
        yield from (Extra(candidate, command) for command in commands)


def _register(registry: Registry, candidate: Candidate) -> list[Command]:
    plugin = import_plugin(candidate)
    register = getattr(plugin, "register_commands", None)
    if register is None or not hasattr(register, "zhike_impl"):  # pluggy's mark
        return []
    registry.claim(candidate.name, getattr(plugin, "CLAIMS", ()))
    commands = list(register())
    registry.add(candidate.name, {"commands": commands})
    return commands


def _told(problem: Problem) -> Text:
    return text("{plugin}: {what}. {hint}", plugin=problem.plugin, what=problem.text, hint=problem.hint)
