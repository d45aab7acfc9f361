"""The sample company's tags: a start that is killed among them goes on where it was."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

# `zhike demo`, with pieces so small that it can be killed between two of an instant.
COMMAND = """
from zhike_tagging.shipped import demo
from zhike._host.cli.main import main
demo._AT_ONCE = 25
main()
"""
# After three instants, and once the first piece of another is there, the next one waits for whoever runs the test.
WAIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last bigint := (
  SELECT id FROM customer WHERE merged_into IS NULL AND created_at < NEW.valid_from ORDER BY id OFFSET 24 LIMIT 1
);
BEGIN
  IF NEW.customer_id > last
    AND EXISTS (SELECT FROM tagging_assignment WHERE valid_from = NEW.valid_from AND customer_id <= last)
    AND (SELECT count(DISTINCT valid_from) FROM tagging_assignment) > 3
  THEN PERFORM pg_advisory_xact_lock(7); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER wait BEFORE INSERT ON tagging_assignment FOR EACH ROW EXECUTE FUNCTION wait();
"""
WAITING = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
INSTANTS = "SELECT DISTINCT valid_from FROM tagging_assignment ORDER BY 1"
PEOPLE = "SELECT count(*) FROM customer WHERE merged_into IS NULL AND created_at < $1"
BY_HAND = "SELECT count(*) FROM audit WHERE action = 'tagging.assign'"


@pytest.mark.plugins("tagging", "sample")
async def test_a_start_that_was_killed_among_the_tags_goes_on(database_url, database, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZHIKE_")}
    environment = {**kept, "ZHIKE_DATABASE_URL": database_url, "ZHIKE_LOCALE": "en"}
    arguments = ["-c", COMMAND, "demo", "--data", str(tmp_path), "--port", "0", "--size", "50"]

    @asynccontextmanager
    async def demo():
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()

    async with database.connection() as connection:
        await connection.execute(WAIT)
        await connection.execute("SELECT pg_advisory_lock(7)")
        async with demo() as process:
            while not await database.fetch(WAITING):
                assert process.returncode is None
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
        assert 3 < len(await database.fetch(INSTANTS)) < 10
        await connection.execute("SELECT pg_advisory_unlock(7)")
    async with demo() as process:
        while b"the sample company is ready" not in (line := await process.stdout.readline()):
            assert line
        instants = [row[0] for row in await database.fetch(INSTANTS)]
        by_hand = await database.fetch(BY_HAND)
    assert [(later - earlier).days for earlier, later in pairwise(instants)] == [6] * 9
    expected = 0
    for instant in instants:
        [(people,)] = await database.fetch(PEOPLE, instant)
        pieces = [min(25, people - start) for start in range(0, people, 25)]
        expected += sum(math.ceil(piece * share) for piece in pieces for share in (0.006, 0.005, 0.002, 0.003))
    assert by_hand[0][0] == expected
