"""The `zhike` command: its subcommands are imported when they are called, so that every start is quick."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from zhike import __version__, settings
from zhike.errors import ZhikeError

# name -> (module, function, one line for --help)
COMMANDS = {
    "bench": ("bench", "bench", "Measure the product against raw limits in the same run."),
    "demo": ("demo", "demo", "Start on a sample company, from nothing."),
    "import": ("imports", "import_", "Bring a file of events in."),
    "migrate": ("migrate", "migrate", "Make the database ready, or bring it up to date."),
    "serve": ("serve", "serve", "Run the server."),
    "token": ("token", "token", "Create, list and revoke API tokens."),
    "user": ("user", "user", "Create, list and disable users."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for --help."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"zhike._host.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zhike")
def cli() -> None:
    """Zhike 知客, a customer operations platform."""


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded database (or ZHIKE_DATA). Default: $XDG_DATA_HOME/zhike",
)


def main() -> None:
    """Run the command line; an error with a message prints it and ends with status 1."""
    try:
        # click returns the status of ctx.exit() instead of raising it.
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ZhikeError as error:
        try:
            locale = settings.load().locale
        except ZhikeError:
            locale = "zh_CN"
        click.echo(f"zhike: {error.message.render(locale)}", err=True)
        sys.exit(1)
