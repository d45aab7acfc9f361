"""Piccolo's configuration module: its engine is the database that is being migrated."""

from __future__ import annotations

from contextvars import ContextVar

from zhike.orm import Engine

migrating: ContextVar[Engine | None] = ContextVar("migrating", default=None)


def __getattr__(name: str) -> Engine | None:
    if name == "DB":
        return migrating.get()
    raise AttributeError(name)
