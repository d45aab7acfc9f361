"""The log as a process reads it: nothing is left out when its cache is full or its past is deleted."""

from __future__ import annotations

import asyncio

from zhike.consumers.log import LogReader, Want

ALL = Want(None, 0, 63)


async def test_two_readers_of_the_same_batch_both_get_it_though_nothing_can_be_kept(stand, monkeypatch) -> None:
    sent = await stand.add(3, batch=1)
    reader = LogReader(stand.db, None)
    await reader.look()
    monkeypatch.setattr("zhike.consumers.log.CACHE_BYTES", 0)
    (few, _), (many, _) = await asyncio.gather(reader.stretch((1, 0), ALL, 1), reader.stretch((1, 0), ALL, 10))
    assert len(few) == 1
    assert [event.message_id for event in many if event.behaviour] == sent


async def test_what_was_deleted_is_passed_over_up_to_where_the_mode_changes(stand) -> None:
    sent = await stand.add(8, batch=1)
    await stand.execute("DELETE FROM log_batch WHERE position BETWEEN 2 AND 6")
    reader = LogReader(stand.db, None)
    await reader.look()
    before, place = await reader.stretch((1, 0), ALL, 100, until=4)
    assert [event.message_id for event in before if event.behaviour] == sent[:1]
    assert place == (4, 0)
    after, place = await reader.stretch(place, ALL, 100)
    assert [event.message_id for event in after if event.behaviour] == sent[6:]
    assert place == (9, 0)


async def test_events_are_found_by_their_batches_before_the_table_was_ever_analysed(
    stand, recorder, query_counter
) -> None:
    await stand.execute("ALTER TABLE event SET (autovacuum_enabled = off)")
    consumers = await stand.registered(probe=recorder("probe", events=("order.paid",)))
    await stand.add(3000, batch=500)
    query_counter.reset()
    await stand.until(consumers)
    [statement] = {each for each in query_counter.statements if "FROM event\n" in each and "ORDER BY" in each}
    asked = statement.replace("$1", "'{3}'").replace("$2", "'{order.paid}'")
    async with stand.db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {asked}"))
    assert "event_pkey" in plan
    assert "event_name_time" not in plan
