"""What is left behind: log lines, dead letters, failed jobs, the audit trail, and every column of every table."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from leaks_world import CANARIES, LOSER, PEOPLE, SPARE, VICTIM, Asker, World, nobody_else

from zhike._host.logs import JsonFormatter

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.testing.plugin import RunUntilIdle

COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'
  AND c.data_type IN ('text', 'jsonb', 'json', 'ARRAY', 'character varying', 'bytea')
"""
FOUND = 'SELECT count(*) FROM "{table}" WHERE "{column}"::text LIKE ANY ($1::text[])'
IMPORTED = nobody_else(77)


class Lines(logging.Handler):
    """Keeps the lines of a log as a server writes them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Everything that is logged, of every level."""
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


async def places(platform: Platform, values: set[str]) -> set[tuple[str, str]]:
    """Return the tables and columns in which one of some values stands, as text or as bytes."""
    patterns = [f"%{form}%" for value in values for form in (value, value.encode().hex())]
    async with platform.db.connection() as connection:
        columns = await connection.fetch(COLUMNS)
        assert len(columns) > 100
        return {
            (table, column)
            for table, column in columns
            if await connection.fetchval(FOUND.format(table=table, column=column), patterns)
        }


async def fail(admin: Asker, world: World, run_until_idle: RunUntilIdle) -> list[str]:
    """Have things fail that quote what they were given; return what is answered."""
    broken = {"id_card": {"number": VICTIM.id_card}}
    event = {"name": "order.paid", "identities": VICTIM.identities, "traits": broken}
    answers = [
        await admin("PATCH", f"/customers/{world.victim}", {"name": "explode"}),
        await admin("PATCH", f"/customers/{world.victim}", {"attributes": broken}),
        await admin("PATCH", f"/customers/{world.victim}", {"attributes": {"salary": "much"}}),
        await admin("POST", "/events", {"events": [event]}),
        await admin("GET", "/customers", query={"q": VICTIM.phone, "cursor": VICTIM.email}),
        await admin("POST", "/customers/search", {"condition": {"type": "field", "field": VICTIM.id_card}}),
    ]
    assert [answer.status for answer in answers] == [409, 400, 400, 200, 400, 400]
    with pytest.raises(AssertionError, match="dead letter of leaky"):
        await run_until_idle()
    return [answer.text for answer in answers[:4]]


async def test_no_line_letter_or_trail_quotes_what_it_is_about(
    platform: Platform, lines: list[str], admin: Asker, world: World, run_until_idle: RunUntilIdle
) -> None:
    answers = await fail(admin, world, run_until_idle)
    for path in ("/consumers", "/deadletters", "/jobs", "/plugins"):
        answers.append((await admin("GET", path)).text)
    assert not {each for each in CANARIES for answer in answers if each in answer}
    told = "\n".join(lines)
    assert all(name in told for name in ("zhike.jobs", "zhike.consumers", "zhike.hooks"))
    assert not {each for each in CANARIES if each in told}
    assert ("audit", "details") in await places(platform, {VICTIM.phone})  # the condition of an export
    kept = {("dead_letter", "error"), ("job", "last_error"), ("consumer_cursor", "last_error")}
    assert not kept & await places(platform, set(CANARIES))


async def test_a_value_of_an_encrypted_field_stands_nowhere(
    platform: Platform, admin: Asker, world: World, tmp_path: Path, run_until_idle: RunUntilIdle
) -> None:
    from zhike_imports import service
    from zhike_imports.run.plan import prepare
    from zhike_imports.run.rejects import RejectFile
    from zhike_imports.schemas import Options

    path = tmp_path / "people.csv"
    path.write_text(
        f"手机号,id_card\n{IMPORTED.phone},{IMPORTED.id_card}\n{VICTIM.phone},{IMPORTED.id_card}9\n", "utf-8"
    )
    plan = prepare(path, Options(kind="customers"), platform.settings)
    with closing(RejectFile(tmp_path / "rejected.csv", plan.header, "en")) as rejects:
        run, _ = await service.run(platform, plan, rejects)
    assert run.accepted == 2
    changed = nobody_else(78)
    traits = {"id_card": changed.id_card}
    event = {"name": "order.paid", "identities": SPARE.identities, "traits": traits, "properties": {"sku": "tea"}}
    assert (await admin("POST", "/events", {"events": [event]})).json["accepted"] == 1
    shown = (await admin("GET", f"/customers/{world.spare}")).json["attributes"]["id_card"]
    asked = {"type": "field", "field": "customer.attributes.id_card", "op": "eq", "value": changed.id_card}
    counted = (await admin("POST", "/conditions/count", {"condition": asked})).json
    assert (shown, counted) == (changed.id_card, {"count": 1})
    with pytest.raises(AssertionError):
        await run_until_idle()
    assert ("customer", "name") in await places(platform, {LOSER.name})  # as others do, in the place they belong
    assert not await places(platform, {person.id_card for person in (*PEOPLE, IMPORTED, changed)})
