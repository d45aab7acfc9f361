"""What tests that stop imports share: an import that cannot end before it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import asyncpg
import pytest

HOLD = """
CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
CREATE OR REPLACE TRIGGER hold BEFORE UPDATE ON imports_run
  FOR EACH ROW WHEN (NEW.rows_done > greatest({row}, OLD.rows_done) OR NEW.undone_at IS NOT NULL)
  EXECUTE FUNCTION hold();
SELECT pg_advisory_lock(1);
"""


@pytest.fixture
def held(database_url: str) -> Callable[[int], AbstractContextManager[None]]:
    """Lets no import store what comes after a row, `with held(row):`, and no undo end, however long that takes."""

    @contextmanager
    def hold(row: int) -> Iterator[None]:
        with asyncio.Runner() as runner:
            holder = runner.run(asyncpg.connect(database_url))
            try:
                runner.run(holder.execute(HOLD.format(row=row)))
                yield
            finally:
                runner.run(holder.close())

    return hold
