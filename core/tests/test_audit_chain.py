"""The chain of the audit trail: whatever is changed in the database behind our back, `zhike audit verify` finds it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import pytest

from zhike import clock
from zhike._host.db import migrate
from zhike._host.db.apps import CORE, App
from zhike.access import audit, heads
from zhike.access import verify as verifying
from zhike.access.actor import Actor
from zhike.access.chain import START, Head, link
from zhike.access.sealer import Sealer
from zhike.access.verify import verify
from zhike.access.walk import Verified
from zhike.errors import Unavailable
from zhike.orm import Database
from zhike.settings import Settings
from zhike.vault import Keys, Vault

if TYPE_CHECKING:
    from conftest import Command
    from zhike.platform import Platform

ROWS = 9
ACTOR = Actor.command("test")
FORGED = Keys({}, 1, bytes(32), {})
"""The keys of somebody who does not know ours."""


class Trail:
    """An audit trail of `ROWS` sealed rows, and the means to spoil it and to have it as it was."""

    def __init__(self, platform: Platform, command: Command) -> None:
        self.platform = platform
        self.command = command
        self.sealer = Sealer(platform.db, platform.vault)

    async def write(self, count: int = ROWS) -> None:
        async with self.platform.db.transaction() as connection:
            changes = [(f"thing:{n}", {"n": n, "b": "ä", "a": 1.50}) for n in range(1, count + 1)]
            await audit.record_many(connection, ACTOR, "thing.change", changes)

    async def sql(self, *statements: str) -> None:
        async with self.platform.db.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def keep(self) -> None:
        await self.sql("CREATE TABLE kept AS SELECT * FROM audit", "CREATE TABLE kept_head AS SELECT * FROM audit_head")

    async def restore(self) -> None:
        await self.sql("TRUNCATE audit, audit_head", "INSERT INTO audit SELECT * FROM kept")
        await self.sql("INSERT INTO audit_head SELECT * FROM kept_head")

    async def problems(self, *arguments: str) -> list[str]:
        """Verify; return what is wrong, which agrees with the exit status and the count."""
        status, told = await self.command("audit", "verify", *arguments)
        *problems, summary = told.splitlines()
        assert status == bool(problems)
        assert summary.endswith(f"; {len(problems)} problems")
        return problems

    async def head(self) -> Head:
        async with self.platform.db.connection() as connection:
            return Head(**await connection.fetchrow("SELECT sequence, chain, at, mac FROM audit_head"))


@pytest.fixture
async def trail(platform: Platform, command: Command) -> Trail:
    made = Trail(platform, command)
    await made.write()
    assert await made.sealer.step()
    assert not await made.sealer.step()
    await made.keep()
    return made


async def test_a_whole_trail_is_whole(trail: Trail) -> None:
    status, told = await trail.command("audit", "verify")
    counts = "9 rows sealed, 0 of them with cleared details; 0 not sealed yet; 0 ids skipped; 0 exported heads"
    assert (status, told) == (0, f"{counts}; 0 problems\n")


async def test_a_changed_column_is_found_and_its_row_named(trail: Trail) -> None:
    row = "Row 5 (id 5) was changed, or moved there"
    details = "The details of row 5 (id 5) were changed"
    for change, expected in {
        "at = at + interval '1 microsecond'": [row],
        "actor = 'command:tess'": [row],
        "action = 'thing.chang'": [row],
        "action = action || object, object = ''": [row],
        "object = 'thing:6'": [row],
        "details = details || '{\"n\": 6}'": [details],
        "details = NULL": [details],
        "salt = NULL": [details],
        "salt = sha256(salt)": [details],
        "digest = sha256(digest)": [row, details],
        "details = '{}', digest = sha256(salt || '{}')": [row],
        "chain = sha256(chain)": [row],
        "id = 99": [row.replace("id 5", "id 99")],
        **{f"at = '{absurd}'": [row] for absurd in ("infinity", "-infinity", "4000-01-01 BC", "20000-01-01")},
        "sequence = -5": ["Row -5 (id 5) was changed, or moved there", "Rows 5 to 5 were removed"],
    }.items():
        await trail.sql(f"UPDATE audit SET {change} WHERE sequence = 5")
        assert await trail.problems() == expected, change
        await trail.restore()
    assert await trail.problems() == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("sequence = 1", ["Rows 1 to 1 were removed"]),
        ("sequence IN (4, 5)", ["Rows 4 to 5 were removed"]),
        ("sequence = 9", ["Rows 9 to 9 were removed"]),
        ("true", ["Rows 1 to 9 were removed"]),
    ],
)
async def test_removed_rows_are_found(trail: Trail, where: str, expected: list[str]) -> None:
    await trail.sql(f"DELETE FROM audit WHERE {where}")
    assert await trail.problems() == expected
    # That goes on to be seen when life goes on.
    await trail.write(3)
    assert await trail.sealer.step()
    assert await trail.problems() == expected


async def test_rows_that_changed_places_are_found(trail: Trail) -> None:
    for also in ("", ", chain = b.chain"):
        await trail.sql(
            "DROP INDEX audit_sequence",
            f"UPDATE audit AS a SET sequence = 11 - a.sequence{also} FROM kept AS b "
            "WHERE a.sequence IN (5, 6) AND b.sequence = 11 - a.sequence",
            "CREATE UNIQUE INDEX audit_sequence ON audit (sequence) WHERE sequence IS NOT NULL",
        )
        found = await trail.problems()
        assert found[:2] == [f"Row {n} (id {11 - n}) was changed, or moved there" for n in (5, 6)]
        await trail.restore()


async def test_a_row_put_in_or_taken_out_of_the_chain_is_found(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    await trail.sql("UPDATE audit SET sequence = NULL, chain = NULL WHERE sequence = 3")
    assert await trail.problems() == ["Rows 3 to 3 were removed"]
    await trail.restore()
    await trail.sql(
        "INSERT INTO audit (actor, action, object, digest, sequence, chain)"
        " SELECT actor, action, 'thing:0', digest, 10, chain FROM audit WHERE sequence = 9"
    )
    assert (await trail.problems())[0] == "Row 10 (id 10) was changed, or moved there"
    await trail.restore()
    await trail.sql("DROP INDEX audit_sequence", "UPDATE kept SET id = 99 WHERE id = 3")
    await trail.sql("INSERT INTO audit SELECT * FROM kept WHERE id = 99")
    assert "Row 3 (id 99) was changed, or moved there" in await trail.problems()
    monkeypatch.setattr(verifying, "CHUNK", 3)  # the end of a chunk between the two
    assert "1 rows have the number of another one" in await trail.problems()


async def test_a_head_that_is_not_ours_is_found_and_nothing_is_sealed_after_it(trail: Trail) -> None:
    head = await trail.head()
    forged = Head.make(FORGED, 9, head.chain, head.at)
    for change, expected in {
        "UPDATE audit_head SET sequence = 8": "The head was replaced",
        "UPDATE audit_head SET chain = sha256(chain)": "The head was replaced",
        "UPDATE audit_head SET at = at - interval '1 day'": "The head was replaced",
        f"UPDATE audit_head SET mac = '\\x{forged.mac.hex()}'": "The head was replaced",
        "UPDATE audit_head SET at = 'infinity'": "The head was replaced",
        "DELETE FROM audit_head": "The head was removed",
    }.items():
        await trail.sql(change)
        assert await trail.problems() == [expected], change
        await trail.write(1)
        with pytest.raises(Unavailable, match="head of the audit trail was replaced"):
            await trail.sealer.step()
        assert await trail.problems() == [expected], change
        await trail.restore()


async def test_a_chain_computed_again_without_the_key_is_found(trail: Trail) -> None:
    async with trail.platform.db.transaction() as connection:
        await connection.execute("UPDATE audit SET actor = 'user:1' WHERE sequence = 2")
        chain = START
        for row in await connection.fetch("SELECT *, timestamptz_send(at) AS at FROM audit ORDER BY sequence"):
            chain = link(FORGED, chain, row["sequence"], row)
            await connection.execute("UPDATE audit SET chain = $2 WHERE id = $1", row["id"], chain)
        head = Head.make(FORGED, ROWS, chain, clock.now())
        await connection.execute("UPDATE audit_head SET chain = $1, mac = $2", head.chain, head.mac)
    found = await trail.problems()
    assert found[:ROWS] == [f"Row {n} (id {n}) was changed, or moved there" for n in range(1, ROWS + 1)]
    assert found[ROWS:] == ["The head was replaced"]


async def test_another_key_tells_what_is_missing_and_judges_nothing(trail: Trail) -> None:
    status, told = await trail.command("audit", "verify", ZHIKE_SECRET_KEY="x" * 32)
    assert status == 1
    assert "which is not in the ring" in told
    assert "changed" not in told


async def test_cleared_details_are_counted_and_nothing_else_can_be_cleared(trail: Trail) -> None:
    async with trail.platform.db.transaction() as connection:
        await audit.clear(connection, ["thing:3", "thing:4", "thing:77"])
        kept = await connection.fetch("SELECT object FROM audit WHERE details IS NULL AND salt IS NULL ORDER BY id")
    assert [row["object"] for row in kept] == ["thing:3", "thing:4"]
    status, told = await trail.command("audit", "verify")
    assert (status, "2 of them with cleared details" in told) == (0, True)


async def test_the_tail_cannot_be_cut_behind_an_exported_head(trail: Trail, tmp_path: Path) -> None:
    platform, file = trail.platform, tmp_path / "audit-heads.jsonl"
    await heads.export((), platform)
    await trail.write(2)
    await trail.sealer.step()
    await heads.export((), platform)
    assert file.stat().st_mode & 0o777 == 0o600
    assert await trail.problems() == []

    # Somebody who has kept an earlier head and cuts all that came after it leaves a chain that is whole by itself.
    await trail.sql("DELETE FROM audit WHERE sequence > 9", "DELETE FROM audit_head")
    await trail.sql("INSERT INTO audit_head SELECT * FROM kept_head")
    assert await trail.problems() == ["Rows 10 to 11 were removed"]
    # Other rows in their place are not those; whoever has sealed those does not seal these.
    await trail.write(2)
    with pytest.raises(Unavailable, match="head of the audit trail was replaced"):
        await trail.sealer.step()
    assert await Sealer(platform.db, platform.vault).step()
    elsewhere = tmp_path / "kept elsewhere"
    elsewhere.write_bytes(file.read_bytes())
    found = ["Row 11 (id 13) is not the one that the exported head names"]
    assert await trail.problems("--head", str(elsewhere)) == found
    # Nor when their own head was exported after that.
    await heads.export((), platform)
    assert await trail.problems() == found
    file.unlink()
    assert await trail.problems() == []


async def test_a_file_of_heads_that_is_none_is_told(trail: Trail, tmp_path: Path) -> None:
    file, head = tmp_path / "heads", await trail.head()
    lines = [
        msgspec.json.encode(each) for each in (head, Head.make(FORGED, 3, START, datetime(2026, 1, 1, tzinfo=UTC)))
    ]
    file.write_bytes(b"\n".join(lines))
    assert await trail.problems("--head", str(file)) == [
        "1 exported heads were not made by this installation, or were changed"
    ]
    file.write_bytes(lines[0][:-5])
    assert "cannot be read as a file of heads" in (await trail.command("audit", "verify", "--head", str(file)))[1]
    assert (await trail.command("audit", "verify", "--head", str(tmp_path / "none")))[0] == 1


async def test_rows_that_no_sealer_has_come_to_are_counted(trail: Trail) -> None:
    await trail.write(3)
    await trail.sql("DELETE FROM audit WHERE id = 10")
    status, told = await trail.command("audit", "verify")
    assert (status, "2 not sealed yet; 1 ids skipped" in told) == (0, True)


async def test_rows_of_an_older_installation_are_sealed(empty_database_url: str, tmp_path: Path) -> None:
    apps = [first_only(app, tmp_path / app.name) for app in CORE]
    await migrate.forwards(empty_database_url, apps)
    old = (
        "INSERT INTO audit (actor, action, object, details) SELECT 'user:1', 'a', n, '[1]' FROM generate_series(1, 3) n"
    )
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(old)
    await connection.close()
    assert "access_0004_audit" in await migrate.forwards(empty_database_url)

    db = await Database.open(empty_database_url)
    vault = Vault(db, Settings(data=tmp_path))
    assert await Sealer(db, vault).step()
    found = Verified()
    assert [problem async for problem in verify(db, await vault.keys(), [], found)] == []
    assert (found.sealed, found.cleared) == (3, 0)
    async with db.transaction() as connection:
        await connection.execute("UPDATE audit SET details = '{}' WHERE id = 2")
    assert len([problem async for problem in verify(db, await vault.keys(), [], Verified())]) == 1
    await db.close()


def first_only(app: App, folder: Path) -> App:
    """Return an app as it was at its first migration."""
    shutil.copytree(app.folder, folder, ignore=lambda _, names: [name for name in names if "_0001_" not in name])
    return replace(app, folder=folder)
