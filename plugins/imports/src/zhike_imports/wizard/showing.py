"""Pages of one import: what would come of it, how far it is, what came of it, and taking it back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from zhike.api import Stream
from zhike.errors import BadRequest, Conflict
from zhike.i18n import text
from zhike.ui import Form, FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import decode
from zhike_imports.api import read_rejected as handed_out
from zhike_imports.run import listing, profiles, reject_rows, undoing, uploads
from zhike_imports.run.listing import Import

_SHOWN_REJECTED = 100
_HEADINGS = {
    "row": text("Row"),
    "name": text("Event"),
    "occurred_at": text("When"),
    "identities": text("Customer"),
    "amount": text("Amount"),
    "traits": text("Known of the customer"),
    "properties": text("Properties"),
}


class NewProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for to save a mapping.

    Args:
        name: The profile's name.
    """

    name: Annotated[
        str,
        asked(
            "What it is called",
            help="It is offered when a file with the same columns is uploaded. One of this name is replaced.",
            placeholder="Monthly orders of the shop",
            min_length=1,
            max_length=100,
        ),
    ]


async def show(call: PageCall) -> Html:
    """Show an import: what would come of it if it is a dry run, else what comes of it."""
    found = await _import(call)
    shows = uploads.sees_rows(call.actor, found.started_by)
    if found.dry_run:
        headings, rows = _drawn(found) if shows else ([], [])
        after = await uploads.begun_after(call.db, found.id)
        return await call.render(
            "imports/preview.html", found=found, shows=shows, headings=headings, rows=rows, after=after
        )
    rejected = found.rejected if found.file_id is not None else 0
    groups = await reject_rows.groups(call.db, found.id, call.locale) if rejected else []
    first = await reject_rows.first(call.db, found.id, _SHOWN_REJECTED, call.locale) if rejected and shows else []
    return await call.render("imports/show.html", found=found, shows=shows, groups=groups, first=first)


async def progress(call: PageCall) -> Html | Redirect:
    """Show how far an import is; when it has ended, the page shows what came of it."""
    found = await _import(call)
    if not found.running:
        return call.redirect(f"/imports/{found.id}")
    return await call.render("imports/progress.html", fragment="progress", found=found)


async def run(call: PageCall) -> Redirect:
    """Begin the import that was tried; asked for again, it is the same one."""
    uploads.require(call.actor)
    tried = await _import(call)
    begun = await uploads.begun_after(call.db, tried.id)
    if begun is None:
        if not tried.dry_run or tried.file_id is None or tried.options is None:
            raise Conflict(text("the import {id} is not running", id=tried.id))
        begun = await uploads.start(
            call.host.platform, call.actor, tried.file_id, tried.options, dry_run=False, after=tried.id
        )
    return call.redirect(f"/imports/{begun}")


async def cancel(call: PageCall) -> Redirect:
    """End an import; what it has brought stays."""
    uploads.require(call.actor)
    found = await _import(call)
    if found.running:
        await uploads.cancel(call.host.platform, call.actor, found.id)
    return call.redirect(f"/imports/{found.id}", toast=text("The import is cancelled"))


async def ask_undo(call: PageCall) -> Html:
    """Say what an undo would take back."""
    uploads.require(call.actor)
    found = await _import(call)
    counted = await undoing.plan(call.host.platform, found.id)
    return await call.render("imports/undo.html", found=found, counted=counted)


async def undo(call: PageCall) -> Redirect:
    """Have a job take an import back; asked for again, it is gone on with."""
    uploads.require(call.actor)
    found = await _import(call)
    if found.state != "undone":
        await undoing.start(call.host.platform, call.actor, found.id, queue=True)
    return call.redirect(f"/imports/{found.id}")


async def rejected(call: PageCall) -> Stream:
    """Hand out the rows that were set aside, to be mended and uploaded again."""
    return await handed_out(call)


async def ask_profile(call: PageCall) -> Html:
    """Ask for the name under which a mapping is kept."""
    found = await _mapped(call)
    stem = found.file_name.rpartition(".")[0] or found.file_name
    return await call.render("imports/profile.html", found=found, form=Form(NewProfile, {"name": stem[:100]}))


async def save_profile(call: PageCall) -> Html | Redirect:
    """Keep a mapping under a name."""
    uploads.require(call.actor)
    found = await _mapped(call)
    assert found.options is not None  # noqa: S101  # `_mapped` sees to it
    try:
        name = decode(NewProfile, call.form).name
    except FormError as error:
        return await call.render("imports/profile.html", status=422, found=found, form=error.form)
    await profiles.save(call.db, call.actor, name, found.header, found.options)
    return call.redirect(f"/imports/{found.id}", toast=text("The profile {name} is saved", name=name))


async def remove_profile(call: PageCall) -> Redirect:
    """Delete a profile."""
    await profiles.delete(call.db, call.actor, call.id("profile_id"))
    return call.redirect("/imports", toast=text("The profile is removed"))


async def _import(call: PageCall) -> Import:
    return await listing.get(call.db, call.id("import_id"), call.locale)


async def _mapped(call: PageCall) -> Import:
    found = await _import(call)
    if found.options is None or not found.header:
        raise BadRequest(text("This import has no columns that could be kept"))
    return found


def _drawn(found: Import) -> tuple[list[object], list[list[str]]]:
    """Return the first rows as they would be stored, without columns of which none has anything."""
    header, *rows = found.found.table if found.found is not None and found.found.table else [[]]
    kept = [place for place in range(len(header)) if any(row[place] not in {"", "{}"} for row in rows)]
    if found.kind == "customers":
        kept = [place for place in kept if header[place] not in {"name", "occurred_at"}]
    return (
        [_HEADINGS[header[place]] for place in kept],
        [[_said(header[place], row[place]) for place in kept] for row in rows],
    )


def _said(heading: str, value: str) -> str:
    """Return a cell of the preview for people: an instant without its offset, properties without JSON's marks."""
    if heading == "occurred_at":
        return value[:19]
    if heading != "properties":
        return value
    pairs = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).items()
    return ", ".join(f"{key}={bytes(raw).decode().strip(chr(34))}" for key, raw in pairs)
