"""What a plugin's command works with: the option `--data`, and the host that runs it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from zhike.errors import Refused
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.settings import Settings


class _Folder(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # to a Path it would mean the current directory
            raise Refused(text("{name} is empty; expected a folder", name="--data"))
        return super().convert(value, param, ctx)


data_option = click.option(
    "--data",
    type=_Folder(file_okay=False, path_type=Path),
    help="Folder of the embedded database (or ZHIKE_DATA). Default: $XDG_DATA_HOME/zhike",
)
"""Gives a command the argument `data`, which it hands to `zhike.settings.load`."""


class Host(Protocol):
    """What runs a plugin's command, which gets it by `click.pass_obj`."""

    def open_platform(self, settings: Settings) -> AbstractAsyncContextManager[Platform]:
        """Open the deployment's database with all plugins loaded, for the length of one command.

        Args:
            settings: Says which database.

        Raises:
            Refused: If migrations are pending, or the command's own plugin is disabled or cannot be loaded.
            Unavailable: If the database cannot be reached.
        """
