"""The `zhike` command: its subcommands are imported when they are called, so that every start is quick."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys

import click

from zhike import __version__
from zhike.errors import Refused, ZhikeError
from zhike.i18n import LOCALES, Text, text

# name -> (module, function, one line for --help)
COMMANDS = {
    "audit": ("audit", "audit", "Check the audit trail."),
    "bench": ("bench", "bench", "Measure the product against raw limits in the same run."),
    "consumers": ("consumers", "consumers", "Show, pause and restart the plugins' reading of the log."),
    "deadletters": ("deadletters", "deadletters", "List, replay and discard events that plugins could not take."),
    "demo": ("demo", "demo", "Start on a sample company, from nothing."),
    "keys": ("keys", "keys", "Show and rotate the keys that seal what is secret."),
    "migrate": ("migrate", "migrate", "Make the database ready, or bring it up to date."),
    "plugin": ("plugin", "plugin", "Begin, list, enable, disable, check and purge plugins."),
    "serve": ("serve", "serve", "Run the server."),
    "token": ("token", "token", "Create, list and revoke API tokens."),
    "user": ("user", "user", "Create, list and disable users."),
    "worker": ("worker", "worker", "Run further runners beside a server."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use: the core's, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for --help."""
        return [name for name, _ in _summaries()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None if there is none of that name."""
        if cmd_name in COMMANDS:
            module, function, _ = COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(f"zhike._host.cli.{module}"), function)
            return command
        from zhike._host.cli import extra

        found = next((each for each in extra.find() if each.command.name == cmd_name), None)
        ctx.obj = found  # handed on to the command's own context
        return found.load() if found else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(_summaries())


def _summaries() -> list[tuple[str, str]]:
    from zhike._host.cli import extra

    summaries = {name: summary for name, (_, _, summary) in COMMANDS.items()}
    with contextlib.suppress(ZhikeError):  # settings that cannot be used; commands say so
        summaries = {each.command.name: each.command.summary for each in extra.find()} | summaries
    return sorted(summaries.items())


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zhike")
def cli() -> None:
    """Zhike 知客, a customer operations platform."""


strict_option = click.option("--strict", is_flag=True, help="Refuse to start with a plugin that cannot be loaded.")


def main() -> None:
    """Run the command line; an error with a message prints it and ends with status 1."""
    try:
        _refuse_bytes()
        # click returns the status of ctx.exit() instead of raising it.
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ZhikeError as error:
        _fail(error.message)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of the output would fail again at the end
        _fail(text("the disk that the output goes to is full"))


def _fail(message: Text) -> None:
    locale = os.environ.get("ZHIKE_LOCALE")  # all other settings may be what is wrong
    click.echo(f"zhike: {message.render(locale if locale in LOCALES else LOCALES[0])}", err=True)
    sys.exit(1)


def _refuse_bytes() -> None:
    """Refuse bytes that are no text, which neither the database nor a log could take."""
    variables = [value for name, value in os.environ.items() if name.startswith("ZHIKE_")]
    for given in [*sys.argv[1:], *variables]:
        shown = os.fsencode(given).decode(errors="backslashreplace")
        if shown != given:
            raise Refused(text("{value} is no text; expected UTF-8", value=shown))
