"""The one route by which files are read; whether one may is a matter of the file."""

from __future__ import annotations

from zhike.api import Call, Route, Stream
from zhike.contracts import PageRoute
from zhike.files import service

FILES_READ = "files.read"


async def read_file(call: Call) -> Stream:
    """Hand out a file to whoever holds its own permission, for its customer if it has one."""
    file = await service.readable(call.db, call.actor, call.id("file_id"))
    return Stream(service.open_(call.db, file), file.media_type, file.name, file.size)


ROUTES = (
    Route(
        method="GET",
        path="/files/{file_id}",
        handler=read_file,
        permission=FILES_READ,
        summary="A file's bytes; takes the file's own permission too",
        answer=bytes,
        statuses=(404,),
    ),
)
PAGES = (PageRoute(path="/files/{file_id}", handler=read_file, permission=FILES_READ),)
