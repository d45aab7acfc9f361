"""Pages of imports: the list, the way from a file to what came of it, and profiles."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from zhike.api import PageQuery, Stream
from zhike.contracts import NavItem, PageRoute
from zhike.errors import BadRequest, NotFound, TooLarge
from zhike.files.service import CHUNK, MAX_SIZE
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall, Redirect
from zhike.ui.tables import Table, TableColumn
from zhike_imports.run import listing, profiles, uploads
from zhike_imports.run.listing import Import
from zhike_imports.schemas import MANAGE
from zhike_imports.wizard import mapping, showing
from zhike_imports.wizard.forms import Reading
from zhike_imports.wizard.samples import SAMPLES

_KINDS = {"events": text("Events"), "customers": text("Customers")}
_COLUMNS = (
    TableColumn(key="file_name", label=text("File")),
    TableColumn(key="kind", label=text("Of what")),
    TableColumn(key="state", label=text("State"), kind="custom"),
    TableColumn(key="accepted", label=text("Accepted"), kind="number"),
    TableColumn(key="duplicate", label=text("Known before"), kind="number"),
    TableColumn(key="rejected", label=text("Rejected"), kind="number"),
    TableColumn(key="by", label=text("By"), kind="custom"),
    TableColumn(key="started_at", label=text("Started"), kind="instant"),
)


async def list_(call: PageCall, query: PageQuery) -> Html:
    """List imports, with how far those are that run."""
    page = await listing.list_(call.db, call.locale, limit=query.size, cursor=query.cursor, key=call.host.cursor_key)
    table = Table(
        id="imports",
        path="/imports",
        columns=_COLUMNS,
        rows=[_row(each) for each in page.items],
        newer="" if query.cursor else None,
        older=page.next,
    )
    running = any(each.running for each in page.items)
    saved = await profiles.list_(call.db)
    return await call.render(
        "imports/list.html", fragment="list", table=table, running=running, profiles=saved, may_begin=_may_begin(call)
    )


def _row(found: Import) -> dict[str, object]:
    row = {**msgspec.structs.asdict(found), "kind": _KINDS[found.kind], "by": found.started_by}
    return row | {"path": f"/imports/{found.id}", "found": found, "state": found.state}


def _may_begin(call: PageCall) -> bool:
    return call.actor.scope(MANAGE) == "all"


async def ask(call: PageCall) -> Html:
    """Ask for a file."""
    uploads.require(call.actor)
    return await _ask(call)


async def upload(call: PageCall) -> Html | Redirect:
    """Store the file that comes, and go on with what it is; of one that is cut off nothing is kept."""
    given = call.uploaded
    if given is None or not given.name or given.name == "file":
        return await _ask(call, text("Choose a file first."))
    try:
        file = await uploads.store(
            call.host.platform, call.actor, name=given.name, media_type=given.media_type, pieces=given.pieces
        )
    except TooLarge as error:
        return await _ask(call, error.message)
    except BadRequest as error:
        cut = text("The upload was cut off before its end; nothing of it is kept. Send the file again.")
        return await _ask(call, error.message if error.code == "empty" else cut)
    return call.redirect(f"/imports/new/{file.id}")


async def _ask(call: PageCall, problem: Text | None = None) -> Html:
    return await call.render(
        "imports/upload.html",
        fragment="upload",
        status=200 if problem is None else 422,
        problem=problem,
        limit=MAX_SIZE // CHUNK,
    )


async def sample(call: PageCall) -> Stream:
    """Hand out a small file to begin with."""
    kind = call.path["kind"]
    if kind not in {"events", "customers"}:
        raise NotFound(text("There is nothing with the id {id}", id=kind[:50]))
    name, content = SAMPLES["customers" if kind == "customers" else "events", call.locale]

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield ("\ufeff" + content).encode()  # the mark by which Excel knows UTF-8

    return Stream(pieces(), "text/csv; charset=utf-8", name)


_NEW, _ONE = "/imports/new/{file_id}", "/imports/{import_id}"

PAGES = (
    PageRoute(path="/imports", handler=list_, permission=MANAGE, query=PageQuery),
    PageRoute(path="/imports/new", handler=ask, permission=MANAGE),
    PageRoute(method="POST", path="/imports/new", handler=upload, permission=MANAGE, upload=True),
    PageRoute(path=_NEW, handler=mapping.show, permission=MANAGE, query=Reading),
    PageRoute(method="POST", path=_NEW, handler=mapping.choose, permission=MANAGE, query=Reading),
    PageRoute(path="/imports/samples/{kind}", handler=sample, permission=MANAGE),
    PageRoute(path=_ONE, handler=showing.show, permission=MANAGE),
    PageRoute(path=f"{_ONE}/progress", handler=showing.progress, permission=MANAGE),
    PageRoute(method="POST", path=f"{_ONE}/run", handler=showing.run, permission=MANAGE),
    PageRoute(method="POST", path=f"{_ONE}/cancel", handler=showing.cancel, permission=MANAGE),
    PageRoute(path=f"{_ONE}/undo", handler=showing.ask_undo, permission=MANAGE),
    PageRoute(method="POST", path=f"{_ONE}/undo", handler=showing.undo, permission=MANAGE),
    PageRoute(path=f"{_ONE}/rejected", handler=showing.rejected, permission=MANAGE),
    PageRoute(path=f"{_ONE}/profile", handler=showing.ask_profile, permission=MANAGE),
    PageRoute(method="POST", path=f"{_ONE}/profile", handler=showing.save_profile, permission=MANAGE),
    PageRoute(
        method="POST",
        path="/imports/profiles/{profile_id}/remove",
        handler=showing.remove_profile,
        permission=MANAGE,
    ),
)
NAV = (
    NavItem(
        key="imports.list",
        label=text("Imports"),
        icon="file-import",
        path="/imports",
        permission=MANAGE,
        group="data",
        order=10,
    ),
)
