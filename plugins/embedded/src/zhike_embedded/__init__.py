"""The embedded PostgreSQL: any command may start it, none owns it, and it stops when nobody needs it.

    command ──shared lock on clients.lock──┐
    command ───────────────────────────────┤
                                           ▼
    keeper ── parent of ──► postgres     stops it once clients.lock is free for 5 s, restarts it when it dies
      │ pipe                    ▲
      └──────► warden ──────────┘        stops it when the keeper itself is killed

Commands import this package, and so does the keeper, which must start fast: names are looked up when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zhike_embedded.client import attach, binaries, serve_lock

__all__ = ["attach", "binaries", "serve_lock"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from zhike_embedded import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
