"""`zhike import`: files of events come in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from zhike import settings as configuration
from zhike.commands import Host, data_option
from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.settings import Settings
from zhike_imports import service
from zhike_imports.run.plan import prepare
from zhike_imports.run.preview import drawn, preview
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options, Plan, Preview

REJECTED_STATUS = 3
INTERRUPTED_STATUS = 130


@click.group("import")
def import_() -> None:
    """Bring a file of events in."""


@import_.command("events", short_help="Import events from CSV, JSON Lines or columns.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event", metavar="NAME", help="Name of the events, such as order.paid, unless a column names them.")
@click.option(
    "--map",
    "maps",
    metavar="COLUMN=TARGET",
    multiple=True,
    help="What a column becomes: identity:external_id (or phone, email, any namespace), occurred_at, amount, "
    "currency, name, message_id, source, trait:KEY, property:KEY, text:KEY, number:KEY, ignore. Columns not "
    "named become properties. Without any --map the columns are guessed.",
)
@click.option("--key", metavar="COLUMNS", help="Columns, with commas between, that tell rows apart across files.")
@click.option("--source", default="", metavar="TEXT", help="Where the events come from.")
@click.option("--encoding", metavar="NAME", help="The file's encoding, when it is not recognised.")
@click.option("--rejected", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.rejected.csv")
@click.option("--dry-run", is_flag=True, help="Show the first rows as they would be read; write nothing.")
@data_option
@click.pass_obj
def events(
    host: Host,
    file: Path,
    event: str | None,
    maps: tuple[str, ...],
    key: str | None,
    source: str,
    encoding: str | None,
    rejected: Path | None,
    dry_run: bool,
    data: Path | None,
) -> None:
    """Import the events of FILE: CSV, tab-separated, JSON Lines, or columns with blanks between.

    The same file again adds nothing, and an import that was interrupted goes on where it stopped. Rows that
    cannot be taken are set aside in a file with the reason of each; mend it and import that file. The last
    line counts the rows. The exit status is 0 if no row was rejected, else 3.
    """
    settings = configuration.load(data)
    options = Options(
        event=event,
        maps=maps,
        key=tuple(column.strip() for column in key.split(",")) if key else (),
        source=source,
        encoding=encoding,
    )
    try:
        with _alone(file):
            status = asyncio.run(_import(host, settings, file, options, rejected, dry_run=dry_run))
    except asyncio.CancelledError:
        status = INTERRUPTED_STATUS
    sys.exit(status)


async def _import(
    host: Host, settings: Settings, file: Path, options: Options, rejected: Path | None, *, dry_run: bool
) -> int:
    plan = prepare(file, options, settings)
    _tell_plan(plan, settings)
    async with host.open_platform(settings) as platform:
        with _progress(plan.found.size) as on_progress:
            if dry_run:
                seen = await preview(platform, plan, on_progress=on_progress)
            else:
                rejects = RejectFile(
                    rejected or file.with_name(file.name + ".rejected.csv"), plan.header, settings.locale
                )
                with contextlib.closing(rejects), _stop_signals() as stop:
                    run, done = await service.run(platform, plan, rejects, on_progress=on_progress, stop=stop)
    if dry_run:
        _tell_preview(seen, settings)
        click.echo(f"dry run: accepted {seen.fresh}, duplicate {seen.stored}, rejected {seen.rejected}")
        return REJECTED_STATUS if seen.rejected else 0
    if run.rejected:
        _tell(settings, text("{count} rows were set aside in {path}", count=run.rejected, path=rejects.path))
    if not done:
        _tell(settings, text("stopped after row {row}; the same command goes on from there", row=run.rows_done))
    click.echo(f"accepted {run.accepted}, duplicate {run.duplicate}, rejected {run.rejected}")
    if not done:
        return INTERRUPTED_STATUS
    return REJECTED_STATUS if run.rejected else 0


def _tell(settings: Settings, message: Text) -> None:
    click.echo(message.render(settings.locale))


def _tell_plan(plan: Plan, settings: Settings) -> None:
    _tell(
        settings,
        text(
            "{path}: {form}, {encoding}, {size} bytes",
            path=plan.found.path.name,
            form=plan.form,
            encoding=plan.found.encoding,
            size=plan.found.size,
        ),
    )
    if plan.takes_items:
        _tell(settings, text("each line is an event as POST /events takes it"))
        return
    if not plan.options.maps:
        _tell(settings, text("guessed what the columns are; say otherwise with --map:"))
    for column, target in plan.mapping.items():
        click.echo(f"  {column} = {target}")


def _tell_preview(seen: Preview, settings: Settings) -> None:
    click.echo(drawn(seen.table))
    for row, rejection in seen.reasons:
        _tell(
            settings,
            text(
                "line {line} would be rejected ({code}): {reason}",
                line=row.line,
                code=rejection.code,
                reason=rejection.message,
            ),
        )
    if seen.looks_known:
        _tell(
            settings,
            text(
                "{count} of {rows} rows equal events stored under other ids (customer, name, time, amount); "
                "importing this file would count them twice",
                count=seen.alike,
                rows=seen.rows,
            ),
        )


@contextlib.contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Draw a progress bar by bytes on a terminal, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda position: None
        return
    with click.progressbar(length=size, file=sys.stderr) as bar:
        yield lambda position: bar.update(position - bar.pos)


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Let the first Ctrl-C or SIGTERM end the import after the running batch, and the second at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the file's lock, which the kernel frees however the process ends: two imports would mix counts."""
    import fcntl

    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise Refused(text("{path} cannot be read: {reason}", path=file, reason=error.strerror or error)) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(text("{path} is being imported by another process", path=file)) from None
        yield
    finally:
        os.close(descriptor)
