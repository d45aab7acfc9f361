"""Histories of the same customers change at once: nothing is lost, and what is derived is right."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest
from history_model import RANKED
from history_stand import EVENT_MAPS, Stand, check_sound, equal, open_stand

from zhike.customers import settling
from zhike.testing.databases import Server

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1)
STEPS = max(50, int(500 * SCALE))
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


class Worker:
    """Does what comes to its mind, with message ids of its own.

    Args:
        stand: The installation.
        number: Which worker it is.
        erases: Whether it erases customers too.
    """

    def __init__(self, stand: Stand, number: int, *, erases: bool) -> None:
        self.stand = stand
        self.number = number
        self.random = Random(number)  # no secret
        self.stored = 0
        self.imports: dict[int, int] = {}
        self.names = ["post"] * 6 + ["merge"] * 4 + ["unmerge"] * 3 + ["write", "bring", "undo"] + ["erase"] * erases

    async def run(self) -> None:
        """Do as many steps as there are."""
        for place in range(STEPS):
            await getattr(self, self.random.choice(self.names))(place)

    async def post(self, place: int) -> None:
        """Send an event."""
        names = self.random.sample(["external_id", "phone", "device_id"], self.random.choice([1, 1, 2]))
        values = {"external_id": "e{}", "phone": "+861380000{:04d}", "device_id": "d{}"}
        identities = {name: values[name].format(self.random.randrange(12)) for name in names}
        event = {"name": "order.paid", "message_id": f"{self.number}-{place}", "identities": identities, "amount": 1}
        answer = await self._say("POST", "/events", {"events": [{**event, "traits": {"name": f"n{place}"}}]})
        self.stored += answer["accepted"]

    async def merge(self, place: int) -> None:
        """Merge two customers."""
        ids = [row[0] for row in await self.stand.fetch("SELECT id FROM customer ORDER BY id DESC LIMIT 25")]
        if len(ids) > 1:
            winner, loser = self.random.sample(ids, 2)
            await self._say("POST", "/customers/merge", {"winner": winner, "losers": [loser]})

    async def unmerge(self, place: int) -> None:
        """Undo a merge."""
        sql = "SELECT merge_id FROM customer_merge WHERE unmerged_at IS NULL ORDER BY id DESC LIMIT 8"
        if ids := [row[0] for row in await self.stand.fetch(sql)]:
            await self._say("POST", "/customers/unmerge", {"merge_id": self.random.choice(ids)})

    async def write(self, place: int) -> None:
        """Change a customer."""
        [[newest]] = await self.stand.fetch("SELECT coalesce(max(id), 1) FROM customer")
        await self._say("PATCH", f"/customers/{self.random.randint(1, newest)}", {"stage": f"s{place}", "owner": 1})

    async def erase(self, place: int) -> None:
        """Erase a customer."""
        [[newest]] = await self.stand.fetch("SELECT coalesce(max(id), 1) FROM customer")
        await self._say("DELETE", f"/customers/{self.random.randint(1, newest)}")

    async def bring(self, place: int) -> None:
        """Import a few events."""
        header = ",".join(each.partition("=")[0] for each in EVENT_MAPS)
        who, device = self.random.randrange(14), self.random.randrange(12)
        row = f"order.paid,e{who},d{device},2026-01-02,1.00,c{place},,w{self.number}"
        content = "\n".join([header, *[row] * self.random.randint(1, 5)]) + f"\norder.paid,x{place},,2026-01-01,,,,\n"
        run = await self.stand.bring_in(content, "events", EVENT_MAPS, name=f"file{self.number}")
        self.imports[run.id] = run.accepted
        self.stored += run.accepted

    async def undo(self, place: int) -> None:
        """Undo an import."""
        if self.imports:
            number = self.random.choice(list(self.imports))
            assert await self.stand.undo(number)
            self.stored -= self.imports.pop(number)

    async def _say(self, method: str, path: str, body: object = None) -> dict[str, int]:
        for _ in range(20):
            status, answer = await self.stand(method, path, body)
            if status != 503:  # others were in the way for too long: whoever is told so comes again
                break
            await asyncio.sleep(0.1)
        assert status < 500, (method, path, status, answer)
        return answer  # type: ignore[no-any-return]  # an object


async def _settle_now_and_then(stand: Stand) -> None:
    while True:
        await stand.step()
        await asyncio.sleep(0.02)


@pytest.mark.heavy
@pytest.mark.parametrize("erases", [False, True])
async def test_histories_that_change_at_once_stay_sound(
    erases: bool, database_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "CHUNK", 3)
    async with open_stand(database_server, tmp_path, ranked=RANKED, pool_size=8) as stand:
        workers = [Worker(stand, number, erases=erases) for number in range(2)]
        settler = asyncio.create_task(_settle_now_and_then(stand))
        await asyncio.gather(*(worker.run() for worker in workers))
        settler.cancel()
        await asyncio.wait([settler])
        await stand.settle()
        await check_sound(stand)
        [[events]] = await stand.fetch("SELECT count(*) FROM event WHERE behaviour")
        if not erases:
            equal("events", events, sum(worker.stored for worker in workers))
        assert await stand.fetch(_DEADLOCKS) == [(0,)]
