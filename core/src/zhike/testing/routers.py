"""One router for the tests that follow each other with the same routes: to make it takes longer than most of them."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar

from zhike._host.web import app

_build = app._router
_last: tuple[list[tuple[object, ...]], Litestar] | None = None


def router(*given: Sequence[object], **named: Sequence[object]) -> Litestar:
    """Return what `zhike._host.web.app` builds, but the same one again as long as the routes are the same objects.

    It keeps nothing of the requests it has answered.
    """
    global _last  # noqa: PLW0603  # a process runs one test after another
    if len(given) > 1:  # with a lifespan, which is of one application
        return _build(*given, **named)  # type: ignore[arg-type]  # whatever it takes
    routes = [tuple(each) for each in (*given, *named.values())]
    if _last is None or not _same(_last[0], routes):
        _last = routes, _build(*given, **named)  # type: ignore[arg-type]  # whatever it takes
    return _last[1]


def _same(some: Sequence[tuple[object, ...]], others: Sequence[tuple[object, ...]]) -> bool:
    return [list(map(id, each)) for each in some] == [list(map(id, each)) for each in others]
