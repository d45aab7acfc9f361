"""`zhike import`: files of events and customers come in, and are taken back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from zhike import settings as configuration
from zhike.access.actor import Actor
from zhike.commands import Host, data_option
from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.settings import Settings
from zhike_imports import service
from zhike_imports.run import listing, undoing
from zhike_imports.run.plan import prepare
from zhike_imports.run.preview import drawn, preview
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options, Plan, Preview

REJECTED_STATUS = 3
INTERRUPTED_STATUS = 130


@click.group("import")
def import_() -> None:
    """Bring files of events and customers in, and take back what they have brought."""


def _file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that files of every kind have."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show the first rows as they would be read; write nothing."),
        click.option("--rejected", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.rejected.csv"),
        click.option("--encoding", metavar="NAME", help="The file's encoding, when it is not recognised."),
        click.option("--source", default="", metavar="TEXT", help="Where rows without a source come from."),
        click.option("--key", metavar="COLUMNS", help="Columns, commas between, that tell rows apart across files."),
    ):
        command = option(command)
    return data_option(command)


@import_.command("events", short_help="Import events from CSV, XLSX, JSON Lines or columns.")
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
@_file_options
@click.pass_obj
def events(host: Host, /, file: Path, event: str | None, maps: tuple[str, ...], **given: Any) -> None:
    """Import the events of FILE: CSV, tab-separated, XLSX, JSON Lines, or columns with blanks between.

    The same file again adds nothing, and an import that was interrupted goes on where it stopped. Rows that
    cannot be taken are set aside in a file with the reason of each; mend it and import that file. The last
    line counts the rows. The exit status is 0 if no row was rejected, else 3.
    """
    _run(host, file, Options(event=event, maps=maps), **given)


@import_.command("customers", short_help="Import customers from CSV, XLSX, JSON Lines or columns.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--map",
    "maps",
    metavar="COLUMN=TARGET",
    multiple=True,
    help="What a column becomes: identity:external_id (or any namespace), name, phone, email, company, kind, stage, "
    "owner (a login), team (its name), source, created_at, updated_at, attribute:KEY, text:KEY, number:KEY, date:KEY, "
    "list:KEY, ignore. Columns not named become attributes. Without any --map the columns are guessed.",
)
@_file_options
@click.pass_obj
def customers(host: Host, /, file: Path, maps: tuple[str, ...], **given: Any) -> None:
    """Import the customers of FILE: CSV, tab-separated, XLSX, JSON Lines, or columns with blanks between.

    Each row makes a customer, or changes the one with its identities. For the rest see `zhike import events --help`.
    """
    _run(host, file, Options(kind="customers", maps=maps), **given)


def _run(
    host: Host,
    file: Path,
    options: Options,
    *,
    key: str | None,
    source: str,
    encoding: str | None,
    rejected: Path | None,
    dry_run: bool,
    data: Path | None,
) -> None:
    settings = configuration.load(data)
    columns = tuple(column.strip() for column in key.split(",")) if key else ()
    options = msgspec.structs.replace(options, key=columns, source=source, encoding=encoding)
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
        # A batch is many objects and no cycles: looking for them took a quarter of the process's time.
        gc.freeze()
        gc.set_threshold(200_000)
        with _progress(plan.found.size) as on_progress:
            if dry_run:

                async def tell(position: int, _: Preview) -> None:
                    on_progress(position)

                seen = await preview(platform, plan, on_progress=tell)
            else:
                rejects = RejectFile(
                    rejected or file.with_name(file.name + ".rejected.csv"), plan.header, settings.locale
                )
                with contextlib.closing(rejects), _stop_signals() as stop:
                    run, done = await service.run(platform, plan, rejects, on_progress=on_progress, stop=stop)
    if dry_run:
        _tell_preview(seen, settings)
        if options.kind == "customers":
            unchanged = max(0, seen.fresh - seen.created - seen.changed)
            click.echo(f"dry run: new {seen.created}, changed {seen.changed}, unchanged {unchanged}")
        click.echo(f"dry run: accepted {seen.fresh}, duplicate {seen.stored}, rejected {seen.rejected}")
        return REJECTED_STATUS if seen.rejected else 0
    if run.rejected:
        _tell(
            settings,
            text("{count} {count:row was|rows were} set aside in {path}", count=run.rejected, path=rejects.path),
        )
    if not done:
        _tell(settings, text("stopped after row {row}; the same command goes on from there", row=run.rows_done))
    click.echo(f"accepted {run.accepted}, duplicate {run.duplicate}, rejected {run.rejected}")
    if not done:
        return INTERRUPTED_STATUS
    return REJECTED_STATUS if run.rejected else 0


@import_.command("list", short_help="List imports.")
@click.option("--limit", default=20, metavar="N", help="How many, the newest first.")
@data_option
@click.pass_obj
def list_imports(host: Host, limit: int, data: Path | None) -> None:
    """List imports, the newest first: number, kind, state, rows accepted, duplicate and rejected, start, file."""
    settings = configuration.load(data)

    async def run() -> None:
        async with host.open_platform(settings) as platform:
            page = await listing.list_(platform.db, platform.settings.locale, limit=limit)
        for each in page.items:
            counts = f"{each.accepted}/{each.duplicate}/{each.rejected}"
            at = each.started_at.astimezone(settings.zone).isoformat(" ", "seconds")
            click.echo("\t".join([str(each.id), each.kind, each.state, counts, at, _printable(each.file_name)]))

    asyncio.run(run())


@import_.command("undo", short_help="Take back what an import has brought.")
@click.argument("run", type=int)
@click.option("--dry-run", is_flag=True, help="Count what would be taken back; write nothing.")
@data_option
@click.pass_obj
def undo(host: Host, run: int, dry_run: bool, data: Path | None) -> None:
    """Take back what the import number RUN has brought: see `zhike import list`.

    Its events are deleted, fields go back to what they were unless a newer word has replaced them, and customers
    that only the import has made and nobody else has touched are deleted. The same file can be imported anew. An
    undo that was interrupted goes on when the same command is run again.
    """
    settings = configuration.load(data)

    async def carry_out() -> None:
        actor = Actor.command("import")
        async with host.open_platform(settings) as platform:
            found = await undoing.plan(platform, run)
            if not dry_run:
                await undoing.start(platform, actor, run, queue=False)
                with _progress(found.events) as on_progress:
                    done = await undoing.carry_out(platform, run, origin=actor.origin, on_progress=on_progress)
                found = done
        begin = "dry run: " if dry_run else ""
        counts = f"events {found.events}, customers deleted {found.deleted}, changed {found.changed}"
        click.echo(f"{begin}{counts}, merges {found.merges}")

    asyncio.run(carry_out())


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
        items = text("each line is an event as POST /events takes it")
        _tell(settings, items if plan.options.kind == "events" else text("each line is a customer as exported"))
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


def _printable(value: str) -> str:
    return "".join(character if character.isprintable() else "·" for character in value)


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
