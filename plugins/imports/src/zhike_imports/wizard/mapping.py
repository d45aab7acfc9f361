"""The page on which people say what a file is of and what its columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zhike.errors import BadRequest, NotFound
from zhike.files import service as files
from zhike.files.service import File
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall, Redirect
from zhike_imports.run import listing, profiles, uploads
from zhike_imports.run.plan import Look
from zhike_imports.schemas import Options
from zhike_imports.wizard import choices, forms, problems
from zhike_imports.wizard.forms import Reading
from zhike_imports.wizard.problems import Problem

_SHOWN_VALUES = 3
_USUAL_EVENT = "order.paid"
"""What a file with amounts is probably about; it stands in the form, to be changed."""


async def show(call: PageCall, query: Reading) -> Html:
    """Show what a file's columns probably mean."""
    file = await _file(call)
    asked = await _asked(call, query)
    options = query.options if asked is None else forms.read_as(asked, query)
    how = query if asked is None else msgspec.structs.replace(forms.reading(options), profile=query.profile)
    try:
        seen = await uploads.look_through(call.host.platform, file.id, options, any_kind=how.kind is None)
    except BadRequest as error:
        if not options.maps:
            return await _page(call, file, how, None, {}, problem=problems.told(error.message))
        # The columns are others than those that the mapping was made for.
        how = msgspec.structs.replace(how, profile=None, like=None)
        seen = await uploads.look_through(call.host.platform, file.id, how.options, any_kind=how.kind is None)
    how = msgspec.structs.replace(how, kind=seen.plan.options.kind)
    targets = seen.plan.mapping
    known = await _choices(call, how)
    held = {column: choices.placed(str(target), known) for column, target in targets.items()}
    kinds = {target.kind for target in targets.values()}
    usual = _USUAL_EVENT if "amount" in kinds and "name" not in kinds and not options.maps else ""
    typed = {"event": options.event or usual, "source": options.source, "key": [*options.key]}
    return await _page(call, file, how, seen, held, typed=typed)


async def choose(call: PageCall, query: Reading) -> Html | Redirect:
    """Take what was chosen, and have the file tried by it."""
    file = await _file(call)
    options, errors = forms.said(call.form, query)
    problem = None
    if not errors:
        try:
            import_id = await uploads.start(call.host.platform, call.actor, file.id, options, dry_run=True)
            return call.redirect(f"/imports/{import_id}")
        except BadRequest as error:
            problem = problems.told(error.message)
            errors = dict.fromkeys(problem.columns, problem.message)
    try:
        seen = await uploads.look_through(call.host.platform, file.id, query.options, any_kind=False)
    except BadRequest as error:
        return await _page(call, file, query, None, {}, problem=problems.told(error.message), status=422)
    held = {column: forms.chosen(call.form, place, column) for place, column in enumerate(forms.columns(call.form))}
    typed = {"event": options.event or "", "source": options.source, "key": [*options.key]}
    return await _page(call, file, query, seen, held, typed=typed, errors=errors, problem=problem, status=422)


async def _file(call: PageCall) -> File:
    uploads.require(call.actor)
    try:
        return await files.find(call.db, call.id("file_id"), owner=uploads.OWNER)
    except NotFound:
        message = text("This file is there no more: uploaded files are kept for 30 days. Upload it again")
        raise NotFound(message) from None


async def _asked(call: PageCall, query: Reading) -> Options | None:
    """Return what was said of the file before, or of others like it; None if nothing was."""
    if query.like is not None:
        return (await listing.get(call.db, query.like, call.locale)).options
    if query.profile is not None:
        saved = {each.id: each for each in await profiles.list_(call.db)}
        if query.profile not in saved:
            raise NotFound(text("There is nothing with the id {id}", id=query.profile))
        return saved[query.profile].options
    return None


async def _choices(call: PageCall, how: Reading) -> choices.Groups:
    fields = (await call.host.platform.customer_fields.renew()).known
    return choices.groups(how.kind or "events", fields)


async def _page(
    call: PageCall,
    file: File,
    how: Reading,
    seen: Look | None,
    held: Mapping[str, tuple[str, str]],
    *,
    typed: Mapping[str, Any] | None = None,
    errors: Mapping[str, Text] | None = None,
    problem: Problem | None = None,
    status: int = 200,
) -> Html:
    header = list(seen.plan.header) if seen is not None else []
    shows = seen is not None and uploads.sees_rows(call.actor, file.created_by)
    values = seen.sample.values if seen is not None and shows else {}
    rows = [
        {
            "name": column,
            "values": list(dict.fromkeys(values.get(column, ())))[:_SHOWN_VALUES],
            "held": held.get(column, ("ignore", "")),
            "error": (errors or {}).get(column, ""),
        }
        for column in header
    ]
    fitting = await profiles.fitting(call.db, header) if header else []
    sheets = seen.sheets if seen is not None else ()
    return await call.render(
        "imports/columns.html",
        fragment="columns",
        status=status,
        file=file,
        how=how,
        seen=seen,
        rows=rows,
        header=header,
        shows=shows,
        groups=await _choices(call, how),
        profiles=[(str(each.id), each.name) for each in fitting],
        typed=typed or {"event": "", "source": "", "key": []},
        problem=problem,
        events=_events(call),
        sheets=[(each, each) for each in sheets],
    )


def _events(call: PageCall) -> Sequence[tuple[str, Text | str]]:
    """Return the behaviours that are known, to be picked from."""
    types = call.host.platform.registry.event_types.values()
    known = [(each.name, each.label) for each in types if each.kind == "behaviour" and each.permission is None]
    return sorted(known, key=lambda each: each[0])
