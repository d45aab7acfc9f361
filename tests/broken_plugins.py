"""Twelve plugins that are really broken, and one that works, as sources of distributions that pip installs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

WELL = '''
"""A plugin that works: it counts events, and has a job, a route and a table of its own."""

from zhike.api import Call, Public, Route
from zhike.contracts import Consumer, CustomerRows, Job
from zhike.hooks import hookimpl


async def count(call: Call) -> dict[str, int]:
    async with call.db.connection() as connection:
        return {
            "seen": await connection.fetchval("SELECT coalesce(sum(events), 0)::bigint FROM well_seen"),
            "done": await connection.fetchval("SELECT count(*) FROM well_done"),
        }


async def note(items, work) -> None:
    await work.connection.executemany(
        "INSERT INTO well_done (customer_id) VALUES ($1)", [(item.customer_id,) for item in items]
    )


@hookimpl
def register_routes():
    return [
        Route(
            method="GET", path="/well/count", handler=count, permission=Public("test"), summary="Count",
            answer=dict[str, int],
        )
    ]


@hookimpl
def register_jobs():
    return [Job(name="well.note", run=note, batch=100)]


@hookimpl
def register_consumers():
    return [Consumer(events=("order.paid",), start="beginning")]


@hookimpl
def register_customer_rows():
    return [CustomerRows(table="well_seen"), CustomerRows(table="well_done")]


@hookimpl
async def on_events_recorded(events, mode, work):
    for event in events:
        await work.connection.execute(
            "INSERT INTO well_seen (customer_id, events) VALUES ($1, 1)", event.customer_id
        )
        work.enqueue("well.note", {}, key=str(event.id), customer_id=event.customer_id, cause=event)
'''

MIGRATION = '''
from zhike.orm import MigrationManager, sql_migration

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "{plugin}", """{sql}""")
'''


def migration(plugin: str, slug: str, sql: str) -> str:
    return MIGRATION.format(id=slug, plugin=plugin, sql=sql)


@dataclass(frozen=True)
class Source:
    """A distribution.

    Args:
        name: The plugin's name.
        plugin: Source of its plugin.py.
        files: Further files of its package.
        requires: What it needs of Zhike.
        stage: Where `GET /plugins` must say it fails; "" if it loads and fails later.
        says: Words that the problem must hold, in English.
        poison: Whether it fails on events named `poison` only, and must leave a dead letter.
        entry: Name of its entry point, when it is not its own.
    """

    name: str
    plugin: str
    files: dict[str, str] = field(default_factory=dict)
    requires: str = "zhike"
    stage: str = ""
    says: str = ""
    poison: bool = False
    entry: str = ""

    @property
    def package(self) -> str:
        return f"zhike_{self.name}"


_HEAD = '''
"""A broken plugin."""

import asyncio
import os
import time

from zhike.contracts import Consumer, CustomerRows, EventType, HealthItem, Job
from zhike.hooks import hookimpl
'''

_POISON = """

@hookimpl
def register_consumers():
    return [Consumer(events=("order.paid", "poison"))]


@hookimpl
async def on_events_recorded(events, mode, work):
    for event in events:
        if event.name == "poison":
            {what}
"""

GOOD = Source(
    "well",
    WELL,
    {
        "piccolo_migrations/well_0001_first.py": migration(
            "well",
            "well_0001_first",
            "CREATE TABLE well_seen (id bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint, events int);"
            " CREATE TABLE well_done (id bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint)",
        )
    },
)

BROKEN = (
    Source("importfails", _HEAD + '\nraise RuntimeError("no licence")\n', stage="import", says="RuntimeError"),
    Source(
        "registerfails",
        _HEAD + "\n\n@hookimpl\ndef register_jobs():\n    return [1 / 0]\n",
        stage="register",
        says="register_jobs",
    ),
    Source(
        "halfway",
        _HEAD,
        {
            "piccolo_migrations/halfway_0001_first.py": migration(
                "halfway", "halfway_0001_first", "CREATE TABLE halfway_one (id int); SELECT 1 / 0"
            )
        },
        stage="migration",
        says="halfway_0001_first",
    ),
    Source(
        "families",
        _HEAD
        + """

@hookimpl
async def before_tokens_create(actor, tokens):
    raise ValueError("before")


@hookimpl
async def amend_incoming_events(events):
    events.clear()
    raise ValueError("amend")


@hookimpl
async def resolve_actor(authorization):
    raise ValueError("resolve")


@hookimpl
async def provide_health():
    raise SystemExit("provide")


@hookimpl
async def merge_customer_data(winner_id, loser_ids, work):
    raise ValueError("duty")
"""
        + _POISON.format(what='raise ValueError("on")'),
        poison=True,
    ),
    Source("hangsasync", _HEAD + _POISON.format(what="await asyncio.sleep(3600)"), poison=True),
    Source("hangssync", _HEAD + _POISON.format(what="time.sleep(3600)"), poison=True),
    Source("ends", _HEAD + _POISON.format(what="os._exit(9)"), poison=True),
    Source(
        "claims",
        _HEAD
        + """
CLAIMS = ("customer",)


@hookimpl
def register_event_types():
    return [EventType(name="customer.sold", kind="platform", label="Sold")]
""",
        stage="registry",
        says="customer",
    ),
    Source("othercore", _HEAD, requires="zhike>=99", stage="version", says=">=99"),
    Source("duplicate", _HEAD, stage="discover", says="well", entry="well"),
    Source(
        "foreignfile",
        _HEAD,
        {"piccolo_migrations/well_0002_second.py": migration("well", "well_0002_second", "DROP TABLE well_seen")},
        stage="migration",
        says="well_0002_second",
    ),
    Source(
        "norows",
        _HEAD,
        {
            "piccolo_migrations/norows_0001_first.py": migration(
                "norows", "norows_0001_first", "CREATE TABLE norows_notes (id int, customer_id bigint)"
            )
        },
        stage="migration",
        says="norows_notes",
    ),
)


def write(folder: Path, source: Source) -> Path:
    """Write a distribution's source tree and return it."""
    root = folder / source.name
    package = root / "src" / source.package
    files = {
        "pyproject.toml": f"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "zhike-{source.name}"
version = "1.0"
dependencies = ["{source.requires}"]

[project.entry-points."zhike.plugins"]
{source.entry or source.name} = "{source.package}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/{source.package}"]
""",
        f"src/{source.package}/__init__.py": '"""A plugin for tests."""\n',
        f"src/{source.package}/plugin.py": source.plugin,
        **{f"src/{source.package}/{place}": content for place, content in source.files.items()},
    }
    for place, content in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert package.is_dir()
    return root


def install(folder: Path, *sources: Source) -> dict[str, Path]:
    """Build each distribution with pip and install it into a folder of its own, to be put on PYTHONPATH."""
    places = {}
    for source in sources:
        target = folder / "installed" / source.name
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run(
            [*command, "--disable-pip-version-check", "--target", str(target), str(write(folder / "source", source))],
            check=True,
            timeout=120,
        )
        places[source.name] = target
    return places
