"""Which plugins are known, enabled and well; every process reads and writes it here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from zhike.i18n import Text
from zhike.orm import Connection
from zhike.platform import Platform, Problem

FIRST_PARTY = ("exports", "imports", "privacy", "sample", "tagging")
"""Plugins of this repository, in distributions `zhike-<name>`, which are enabled when they are first seen."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that discovery has found.

    Args:
        name: Its name.
        distribution: The distribution it comes with; empty for a file of the hooks folder.
        version: The distribution's version, or "".
        code: Fingerprint of its code, or "" when nobody has looked at that.
    """

    name: str
    distribution: str = ""
    version: str = ""
    code: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is one of this repository."""
        return self.name in FIRST_PARTY and self.distribution.lower() == f"zhike-{self.name}"

    @property
    def enabled(self) -> bool:
        """Whether it is enabled when it is first seen: one of ours, or a file of the hooks folder."""
        return self.ours or not self.distribution


class Look(msgspec.Struct, frozen=True):
    """What a look at this machine has found.

    Args:
        installed: The plugins.
        problems: What is wrong with some of them, by name, and with what is there and can be no plugin.
    """

    installed: Sequence[Installed]
    problems: Mapping[str, Problem]

    def code(self, name: str) -> str:
        """Return the fingerprint of a plugin's code, or "" if it is not installed."""
        return next((each.code for each in self.installed if each.name == name), "")

    def over(self, known: Mapping[str, Known]) -> dict[str, Known]:
        """Return by name what is known, as far as it can be seen here as it is seen, and what is new or no plugin."""
        seen = {name: msgspec.structs.replace(each, installed=False) for name, each in known.items()}
        for name in self.problems:
            seen.setdefault(name, Known(name=name, problem=self.problems[name]))
        for each in self.installed:
            before = known.get(each.name) or Known(name=each.name, enabled=each.enabled)
            seen[each.name] = msgspec.structs.replace(
                before, distribution=each.distribution, version=each.version, installed=True
            )
        return dict(sorted(seen.items()))


async def look(platform: Platform) -> Look:
    """Look at what is installed on this machine by now; at nothing where the plugins were given to the process."""
    return await asyncio.to_thread(platform.look) if platform.look else Look((), {})


class Running(msgspec.Struct, frozen=True):
    """A running process.

    Args:
        host: Its machine.
        plugins: The enabled plugins it found, each with the fingerprint of its code then.
    """

    host: str
    plugins: Mapping[str, str]

    def lacks(self, name: str, code: str) -> bool:
        """Return whether it does not have a plugin, or not as it is on this machine by now."""
        other = self.host == socket.gethostname() and self.plugins.get(name) != code
        return name not in self.plugins or (bool(code) and other)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the database knows about a plugin.

    Args:
        name: Its name.
        distribution: The distribution it came with; empty for a file of the hooks folder.
        version: The version seen last.
        installed: Whether it was there when a process last looked.
        enabled: Whether it is to run.
        claims: The nouns it claimed when it was last loaded.
        problem: Why it does not run, or None.
        fingerprint: Of the code that passed the trial, or after a `!` of code that hung or crashed there; else None.
    """

    name: str
    distribution: str = ""
    version: str = ""
    installed: bool = True
    enabled: bool = False
    claims: tuple[str, ...] = ()
    problem: Problem | None = None
    fingerprint: str | None = None


_KNOWN = "SELECT name, distribution, version, installed, enabled, claims, stage, problem, hint, fingerprint FROM plugin"
_SEE = """
WITH found AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS f (name, distribution, version, enabled)
), gone AS (
  UPDATE plugin SET installed = false, updated_at = now() WHERE installed AND name <> ALL ($1::text[])
)
INSERT INTO plugin AS p (name, distribution, version, enabled) SELECT * FROM found
ON CONFLICT (name) DO UPDATE
SET distribution = excluded.distribution, version = excluded.version, installed = true, updated_at = now()
WHERE (p.distribution, p.version, p.installed) IS DISTINCT FROM (excluded.distribution, excluded.version, true)
"""
# A process says every few seconds that it is there.
_RUNNING = "SELECT host, plugins FROM process WHERE generation >= $1 AND seen_at > now() - interval '15 s'"
_RECORD = """
UPDATE plugin
SET claims = $2, stage = $3, problem = $4, hint = $5, fingerprint = $6, updated_at = now()
WHERE name = $1 AND (claims, stage, problem, hint, fingerprint) IS DISTINCT FROM ($2::text[], $3, $4, $5, $6)
"""


async def known(connection: Connection) -> dict[str, Known]:
    """Return all plugins that were ever seen and not purged, by name."""
    return {row["name"]: _known(row) for row in await connection.fetch(f"{_KNOWN} ORDER BY name")}


async def see(connection: Connection, installed: Sequence[Installed]) -> dict[str, Known]:
    """Note which plugins are installed now; the others stay known.

    What is known already costs no write.

    Args:
        connection: Where to.
        installed: All that discovery has found, each name once.

    Returns:
        What `known` returns afterwards.
    """
    before = await known(connection)
    now = {each.name: (each.distribution, each.version) for each in installed}
    if now != {each.name: (each.distribution, each.version) for each in before.values() if each.installed}:
        found = sorted(installed, key=lambda each: each.name)  # in one order, so that no two processes wait in a circle
        await connection.execute(
            _SEE,
            [each.name for each in found],
            [each.distribution for each in found],
            [each.version for each in found],
            [each.enabled for each in found],
        )
        before = await known(connection)
    return before


async def record(
    connection: Connection,
    name: str,
    problem: Problem | None,
    *,
    claims: Sequence[str] = (),
    fingerprint: str | None = None,
) -> None:
    """Note how loading a plugin went; what is known already costs no write.

    Args:
        connection: Where to.
        name: A known plugin.
        problem: Why it does not run, or None if it does.
        claims: The nouns it claims.
        fingerprint: Of its code if that was tried, now or earlier, as in `Known`.
    """
    why = (problem.stage, encode_text(problem.text), encode_text(problem.hint)) if problem else (None,) * 3
    await connection.execute(_RECORD, name, list(claims), *why, fingerprint)


async def generation(connection: Connection) -> int:
    """Return how often the set of plugins has changed."""
    number: int = await connection.fetchval("SELECT coalesce(max(generation), 0) FROM plugin_generation")
    return number


async def bump(connection: Connection) -> None:
    """Count the generation up inside the caller's transaction: once it is committed, all processes start anew."""
    await connection.execute(
        "INSERT INTO plugin_generation AS g (generation) VALUES (1)"
        " ON CONFLICT (one) DO UPDATE SET generation = g.generation + 1, tried = '{}'"
    )


async def running(connection: Connection, generation: int = 0) -> list[Running]:
    """Return the processes that run, or those of them that have come as far as a generation."""
    rows = await connection.fetch(_RUNNING, generation)
    return [Running(row["host"], msgspec.json.decode(row["plugins"])) for row in rows]


def _known(row: asyncpg.Record) -> Known:
    fields: dict[str, Any] = dict(row)
    stage, what, hint = (fields.pop(name) for name in ("stage", "problem", "hint"))
    problem = None
    if stage is not None:
        problem = Problem(plugin=fields["name"], stage=stage, text=decode_text(what), hint=decode_text(hint))
    return Known(**{**fields, "claims": tuple(fields["claims"])}, problem=problem)


def encode_text(value: Text) -> str:
    """Return a text as JSON, from which it can be rendered in any language."""
    return msgspec.json.encode(_plain(value)).decode()


def decode_text(value: str) -> Text:
    """Return the text that `encode_text` made JSON of."""
    decoded: Text = _decode(msgspec.json.decode(value))
    return decoded


def _plain(value: object) -> object:
    """Return a text and its values as JSON knows them; a foreign error's message may hold anything."""
    if isinstance(value, Text):
        return {"msgid": value.msgid, "params": {key: _plain(each) for key, each in value.params.items()}}
    return value if isinstance(value, int | float) else str(value)[:1000].encode(errors="replace").decode()


def _decode(value: Any) -> Any:
    """Return what `_plain` made a JSON value of: texts within texts are shown in the reader's language too."""
    if isinstance(value, dict):
        return Text(value["msgid"], {key: _decode(each) for key, each in value["params"].items()})
    return value
