"""Nothing comes back: later events of erased people, messages sent again, events on their way, and killed jobs."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from zhike import clock
from zhike.customers import erase, erasing, settling
from zhike.events import ingest
from zhike.events.checks import check_event
from zhike.events.schemas import IncomingEvent
from zhike.jobs.worker import JobWorker


def codes(answer):
    return [each["code"] for each in answer["rejected"]]


@pytest.fixture
async def erased(api, geng, run_until_idle):
    """The customer's id; it is erased, and nothing is left to do."""
    await api.erase(geng)
    await run_until_idle()
    return geng


async def test_later_events_are_refused(api, erased, known, traces):
    answer = await api.post(
        {"message_id": "new-1"},
        {"message_id": "new-2", "identities": {"phone": "139-1234-5678"}},
        {"message_id": "new-3", "identities": {"email": known.mail, "phone": "13800138000"}},
        {"message_id": "new-4", "identities": {"external_id": "somebody", "email": known.mail}},
        {"message_id": "new-5", "identities": known.device},
        {"message_id": "new-6", "identities": {"phone": "13800138000"}},
    )
    assert (answer["accepted"], codes(answer)) == (1, ["erased"] * 5)
    assert [each["index"] for each in answer["rejected"]] == [0, 1, 2, 3, 4]
    assert known.phone not in str(answer)
    assert await traces() == set()


async def test_a_device_that_others_use_is_left_out(api, erased, known, traces):
    sent = {"message_id": "new-1", "identities": {"phone": "13800138000", **known.device}}
    assert (await api.post(sent))["accepted"] == 1
    assert await traces("dev-geng-1") == set()
    assert (await api.post({"message_id": "new-2", "identities": known.device}))["accepted"] == 0


async def test_a_message_is_not_stored_again_not_even_for_somebody_else_or_after_new_consent(
    api, erased, known, platform
):
    again = {"message_id": "geng-1", "identities": {"phone": "13800138000"}}
    answer = await api.post(again)
    assert (answer["accepted"], answer["duplicate"]) == (0, 1)
    async with platform.db.transaction() as connection:
        pairs = list(known.person.items())
        assert await erase.readmit(connection, platform.vault, pairs) == 3
    answer = await api.post({"message_id": "geng-1"}, {"message_id": "geng-2"}, {"message_id": "fresh"})
    assert (answer["accepted"], answer["duplicate"]) == (1, 2)
    [anew] = await api.find()
    assert anew > erased
    events = (await api("GET", f"/customers/{anew}/events"))["items"]
    assert [each["message_id"] for each in events if each["kind"] == "behaviour"] == ["fresh"]


async def test_an_import_does_not_bring_them_back(api, erased, known, platform, traces):
    rows = [
        IncomingEvent(name="order.paid", message_id=f"imp:{number}", identities=identities, traits={"name": known.name})
        for number, identities in enumerate([known.person, {"phone": known.phone}, {"phone": "13800138000"}])
    ]
    rows[2].traits = None
    now = clock.now()
    events = [check_event(row, place, now=now, settings=platform.settings) for place, row in enumerate(rows)]
    async with platform.db.transaction() as connection:
        stored = await ingest.store(
            connection, events, origin="import:7", live=False, now=now, import_id=7, platform=platform
        )
    assert (stored.accepted, [each.code for each in stored.rejected]) == (1, ["erased", "erased"])
    assert await traces() == set()


async def test_an_event_whose_customer_is_erased_while_it_is_stored(api, geng, known, platform, traces, run_until_idle):
    now = clock.now()
    item = IncomingEvent(name="order.paid", message_id="late", identities={"phone": known.phone})
    event = check_event(item, 0, now=now, settings=platform.settings)
    stored, commit = asyncio.Event(), asyncio.Event()

    async def store():
        async with platform.db.transaction() as connection:
            done = await ingest.store(connection, [event], origin="test", live=True, now=now, platform=platform)
            assert done.accepted == 1
            stored.set()
            await commit.wait()

    storing = asyncio.create_task(store())
    await stored.wait()
    erasing_it = asyncio.create_task(api.erase(geng))
    await asyncio.wait([erasing_it], timeout=0.3)
    working = asyncio.create_task(JobWorker(platform).step())  # has to wait for what had begun
    await asyncio.wait([working], timeout=0.3)
    commit.set()
    await storing
    number = await erasing_it
    await working
    await run_until_idle()
    assert await api.state(number) == "done"
    assert await traces("late", known.phone) == set()


async def test_events_that_come_while_a_customer_is_erased_leave_nothing(api, geng, known, traces, run_until_idle):
    async def send(number):
        event = {"message_id": f"race-{number}", "identities": {"phone": known.phone}}
        more = {"identities": known.person, "traits": {"city": known.city}} if number % 2 else {}
        return await api.post({**event, **more})

    sending = [asyncio.create_task(send(number)) for number in range(12)]
    number = await api.erase(geng)
    sending += [asyncio.create_task(send(number)) for number in range(12, 24)]
    answers = await asyncio.gather(*sending)
    await run_until_idle()
    assert await api.state(number) == "done"
    assert await traces("race-", known.phone, known.city) == set()
    assert all(each["accepted"] + len(each["rejected"]) == 1 for each in answers)
    assert all(codes(each) in ([], ["erased"]) for each in answers)


async def test_a_job_that_is_killed_goes_on_where_it_was(api, geng, platform, traces, monkeypatch, run_until_idle):
    await api.post(*({"message_id": f"geng-1{number}"} for number in range(9)))
    number = await api.erase(geng)
    monkeypatch.setattr(erasing, "CHUNK", 2)
    monkeypatch.setattr(erasing, "SECONDS", 0.0)
    real, calls, left = erasing.message_hashes, [], []

    def cut_short(keys, messages):
        calls.append(len(messages))
        if len(calls) % 2:
            raise RuntimeError("killed")
        return real(keys, messages)

    monkeypatch.setattr(erasing, "message_hashes", cut_short)
    worker = JobWorker(platform)
    while await api.state(number) != "done":
        async with platform.db.connection() as connection:
            await connection.execute("UPDATE job SET due_at = now() - interval '1 hour'")
            left.append(await connection.fetchval("SELECT count(*) FROM event WHERE customer_id = $1", geng))
        await worker.step()
        assert len(left) < 60
    await worker.drain()
    assert sorted(left, reverse=True) == left
    assert max(calls) == 2
    assert left[-1] < left[0]
    assert await traces() == set()
    await run_until_idle()


async def test_a_row_that_changes_at_that_moment_is_erased_too(
    api, geng, platform, traces, monkeypatch, run_until_idle
):
    real, begun, changing = erasing.erase_rows, asyncio.Event(), []

    async def change():
        """Change the task, and commit once the erasure waits for it."""
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)"
        async with platform.db.transaction() as connection:
            await connection.execute("UPDATE task SET priority = 3 WHERE customer_id = $1", geng)
            begun.set()
            while not await connection.fetchval(waits):  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.01)

    async def erase_rows(connection, customers):
        if not changing:
            changing.append(asyncio.create_task(change(), context=contextvars.Context()))
            await begun.wait()
        return await real(connection, customers)

    monkeypatch.setattr(erasing, "erase_rows", erase_rows)
    number = await api.erase(geng)
    await run_until_idle()
    await asyncio.gather(*changing)
    assert await api.state(number) == "done"
    assert await traces() == set()


async def test_an_erasure_waits_for_no_job_that_moves_events(api, geng, platform, monkeypatch, run_until_idle):
    monkeypatch.setattr(settling, "CHUNK", 2)
    await api.post(*({"message_id": f"card-{number}", "identities": {"external_id": "card"}} for number in range(7)))
    async with platform.db.connection() as connection:
        card = await connection.fetchval("SELECT customer_id FROM identity WHERE value = 'card'")
        await api("POST", "/customers/merge", json={"winner": geng, "losers": [card]})
        assert await connection.fetchval("SELECT count(*) FROM event WHERE customer_id = $1", card) > 2
        await connection.execute("DELETE FROM job WHERE name = 'customers.settle'")  # it never gets its turn
        number = await api.erase(geng)
        await run_until_idle()
        assert await api.state(number) == "done"
        assert await connection.fetchval("SELECT count(*) FROM event WHERE message_id LIKE 'card-%'") == 0


async def test_jobs_and_dead_letters_about_the_customer_go_with_it(api, geng, platform, run_until_idle):
    async with platform.db.connection() as connection:
        await connection.execute(
            "INSERT INTO dead_letter"
            " (consumer, batch_id, event_id, message_id, event_name, customer_id, shard, error, offered)"
            " SELECT 'watcher', batch_id, id, message_id, name, customer_id, shard, 'x', 1 FROM event"
            " WHERE message_id = 'geng-1'"
        )
        assert await connection.fetchval("SELECT count(*) FROM job WHERE customer_id = $1", geng) == 1
    await api.erase(geng)
    await run_until_idle()
    async with platform.db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM job") == 0
        assert await connection.fetchval("SELECT count(*) FROM dead_letter") == 0
