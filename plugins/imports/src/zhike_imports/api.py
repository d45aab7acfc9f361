"""Routes about imports: looking at an uploaded file, importing it, which imports there were, and undoing them."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access import audit
from zhike.api import Call, Page, PageQuery, Route, Stream
from zhike.errors import Forbidden
from zhike.events.undo import Undone
from zhike.files import service as files
from zhike.i18n import text
from zhike_imports.columns import mapping
from zhike_imports.run import listing, profiles, reject_rows, undoing, uploads
from zhike_imports.run.listing import Import
from zhike_imports.run.profiles import Profile
from zhike_imports.schemas import MANAGE, Asked, Found, ProfileRequest, StartRequest

SHOWN_ROWS = 10


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What an uploaded file is, and what would come of it.

    Args:
        format: Its format.
        encoding: Its encoding.
        size: Its bytes.
        header: Its columns.
        mapping: What each of them becomes, as it was said or guessed; empty if each line is a whole event or customer.
        rows: The first rows as they stand in the file; none where the caller may not see them.
        problem: Why nothing can be made of its columns so far, or null.
        found: What would come of its first 2,000 rows, or null while there is a problem.
        profiles: Profiles that are for files with these columns.
    """

    format: str
    encoding: str
    size: int
    header: list[str]
    mapping: dict[str, str]
    rows: list[list[str]]
    problem: str | None
    found: Found | None
    profiles: list[Profile]


class Profiles(msgspec.Struct, frozen=True):
    """All profiles.

    Args:
        items: They.
    """

    items: list[Profile]


class UndoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /imports/{import_id}/undo` takes.

    Args:
        dry_run: Whether it is only counted what would be taken back.
    """

    dry_run: bool = False


class UndoAnswer(msgspec.Struct, frozen=True):
    """What becomes of an undo.

    Args:
        started: Whether it was started; `GET /imports/{import_id}` says how far it is.
        takes_back: What the import has left at this moment.
    """

    started: bool
    takes_back: Undone


async def examine(call: Call) -> Examined:
    """Say what an uploaded file is, what its columns probably mean, and what would come of its first rows."""
    uploads.require(call.actor)
    asked = wire.decode(call.body, call.body_type, Asked)
    seen, tried = await uploads.examine(call.host.platform, asked.file_id, asked.options)
    file, plan = await files.find(call.db, asked.file_id, owner=uploads.OWNER), seen.plan
    shows = uploads.sees_rows(call.actor, file.created_by)
    fitting = await profiles.fitting(call.db, plan.header) if plan.header else []
    return Examined(
        format=str(plan.form),
        encoding=plan.found.encoding,
        size=plan.found.size,
        header=list(plan.header),
        mapping=mapping.described(plan.mapping),
        rows=[row.cells for row in seen.rows[:SHOWN_ROWS]] if shows else [],
        problem=None if seen.problem is None else seen.problem.render(call.locale),
        found=None if tried is None else _veiled(listing.found_in(uploads.found(tried), call.locale), shows=shows),
        profiles=fitting,
    )


async def start_import(call: Call) -> Import:
    """Import an uploaded file in the background, or count what would come of it."""
    uploads.require(call.actor)
    asked = wire.decode(call.body, call.body_type, StartRequest)
    platform = call.host.platform
    import_id = await uploads.start(platform, call.actor, asked.file_id, asked.options, dry_run=asked.dry_run)
    return await listing.get(call.db, import_id, call.locale)


async def cancel_import(call: Call) -> Import:
    """End an import that runs in the background; what it has brought stays until it is undone."""
    uploads.require(call.actor)
    await uploads.cancel(call.host.platform, call.actor, call.id("import_id"))
    return await read_import(call)


async def read_rejected(call: Call) -> Stream:
    """Hand out the rows of an uploaded file that were set aside, with their reasons, to be mended and imported."""
    found = await listing.get(call.db, call.id("import_id"), call.locale)
    if not uploads.sees_rows(call.actor, found.started_by):
        raise Forbidden(text("Rows of a file are for those who brought it, and for roles from which nothing is kept"))
    async with call.db.transaction() as connection:
        await audit.record(connection, call.actor, "import.rejected", f"import:{found.id}", {"rows": found.rejected})
    pieces = reject_rows.pieces(call.db, found.id, found.header, call.locale)
    return Stream(pieces, "text/csv; charset=utf-8", f"{found.file_name}.rejected.csv")


async def list_imports(call: Call, query: PageQuery) -> Page[Import]:
    """List imports, the newest first."""
    page = await listing.list_(call.db, call.locale, limit=query.size, cursor=query.cursor, key=call.host.cursor_key)
    return Page([_shown(call, each) for each in page.items], page.next)


async def read_import(call: Call) -> Import:
    """Show one import."""
    return _shown(call, await listing.get(call.db, call.id("import_id"), call.locale))


async def undo_import(call: Call) -> UndoAnswer:
    """Have a job take back what an import has brought, or say what that is."""
    uploads.require(call.actor)
    import_id = call.id("import_id")
    request = wire.decode(call.body or b"{}", call.body_type, UndoRequest)
    counted = await undoing.plan(call.host.platform, import_id)
    if not request.dry_run:
        await undoing.start(call.host.platform, call.actor, import_id, queue=True)
    return UndoAnswer(not request.dry_run, counted)


async def list_profiles(call: Call) -> Profiles:
    """List the profiles of imports."""
    return Profiles(await profiles.list_(call.db))


async def save_profile(call: Call) -> Profile:
    """Keep under a name how the columns of an uploaded file are read."""
    asked = wire.decode(call.body, call.body_type, ProfileRequest)
    return await profiles.save(call.db, call.actor, asked.name, asked.header, asked.options)


async def delete_profile(call: Call) -> Profiles:
    """Delete a profile, and list those that are left."""
    await profiles.delete(call.db, call.actor, call.id("profile_id"))
    return await list_profiles(call)


def _shown(call: Call, found: Import) -> Import:
    if found.found is None:
        return found
    seen = _veiled(found.found, shows=uploads.sees_rows(call.actor, found.started_by))
    return msgspec.structs.replace(found, found=seen)


def _veiled(found: Found, *, shows: bool) -> Found:
    """Return what a dry run has found without what quotes rows, unless these may be seen."""
    return found if shows else msgspec.structs.replace(found, table=[], reasons=[])


_ONE, _PROFILES = "/imports/{import_id}", "/imports/profiles"
_route = partial(Route, permission=MANAGE)
_of_one = partial(_route, places={"import_id": "The import's id"})

ROUTES = (
    _route(
        method="POST",
        path="/imports/preview",
        handler=examine,
        summary="What an uploaded file is, and what would come of it",
        body=Asked,
        answer=Examined,
        statuses=(404,),
    ),
    _route(
        method="POST",
        path="/imports",
        handler=start_import,
        summary="Import an uploaded file in the background",
        body=StartRequest,
        answer=Import,
        statuses=(404,),
    ),
    _route(
        method="GET",
        path="/imports",
        handler=list_imports,
        summary="Imports",
        query=PageQuery,
        answer=Page[Import],
    ),
    _route(method="GET", path=_PROFILES, handler=list_profiles, summary="Profiles of imports", answer=Profiles),
    _route(
        method="POST",
        path=_PROFILES,
        handler=save_profile,
        summary="Keep how columns are read",
        body=ProfileRequest,
        answer=Profile,
    ),
    _route(
        method="DELETE",
        path=f"{_PROFILES}/{{profile_id}}",
        handler=delete_profile,
        summary="Delete a profile of imports",
        answer=Profiles,
        places={"profile_id": "The profile's id"},
    ),
    _of_one(method="GET", path=_ONE, handler=read_import, summary="One import", answer=Import),
    _of_one(
        method="GET",
        path=f"{_ONE}/rejected",
        handler=read_rejected,
        summary="Rows of an uploaded file that were set aside, as CSV",
        answer=str,
    ),
    _of_one(
        method="POST",
        path=f"{_ONE}/cancel",
        handler=cancel_import,
        summary="End an import that runs in the background",
        answer=Import,
        statuses=(404, 409),
    ),
    _of_one(
        method="POST",
        path=f"{_ONE}/undo",
        handler=undo_import,
        summary="Take back what an import has brought",
        body=UndoRequest,
        answer=UndoAnswer,
        statuses=(404, 409),
    ),
)
