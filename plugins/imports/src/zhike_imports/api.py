"""Routes about imports: which there were, and undoing them."""

from __future__ import annotations

import msgspec

from zhike import wire
from zhike.api import Call, Page, PageQuery, Route
from zhike.events.undo import Undone
from zhike_imports.run import listing, undoing
from zhike_imports.run.listing import Import

MANAGE = "imports.manage"


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


async def list_imports(call: Call, query: PageQuery) -> Page[Import]:
    """List imports, the newest first."""
    return await listing.list_(call.db, limit=query.size, cursor=query.cursor, key=call.host.cursor_key)


async def read_import(call: Call) -> Import:
    """Show one import."""
    return await listing.get(call.db, call.id("import_id"))


async def undo_import(call: Call) -> UndoAnswer:
    """Have a job take back what an import has brought, or say what that is."""
    import_id = call.id("import_id")
    request = wire.decode(call.body or b"{}", call.body_type, UndoRequest)
    counted = await undoing.plan(call.host.platform, import_id)
    if not request.dry_run:
        await undoing.start(call.host.platform, call.actor, import_id, queue=True)
    return UndoAnswer(not request.dry_run, counted)


_PLACE = {"import_id": "The import's id"}
ROUTES = (
    Route(
        method="GET",
        path="/imports",
        handler=list_imports,
        permission=MANAGE,
        summary="Imports",
        query=PageQuery,
        answer=Page[Import],
    ),
    Route(
        method="GET",
        path="/imports/{import_id}",
        handler=read_import,
        permission=MANAGE,
        summary="One import",
        answer=Import,
        places=_PLACE,
    ),
    Route(
        method="POST",
        path="/imports/{import_id}/undo",
        handler=undo_import,
        permission=MANAGE,
        summary="Take back what an import has brought",
        body=UndoRequest,
        answer=UndoAnswer,
        places=_PLACE,
        statuses=(404, 409),
    ),
)
