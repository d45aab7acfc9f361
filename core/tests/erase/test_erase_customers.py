"""Erasing a customer: nobody sees it from the next request on, and afterwards nothing of it is in any table."""

from __future__ import annotations

import pytest


async def test_nobody_sees_an_erased_customer_from_the_next_request_on(api, geng, known):
    number = await api.erase(geng, reason="letter 12")
    for path in (f"/customers/{geng}", f"/customers/{geng}/events", f"/customers/{geng}/export"):
        await api("GET", path, 404)
    await api("DELETE", f"/customers/{geng}", 404)
    for q in (known.phone, known.mail, known.name, "5678"):
        assert await api.find(q) == []
    assert (await api("GET", "/tasks"))["items"] == []
    condition = {"type": "event", "event": "*", "measure": "count", "op": "gte", "value": 1}
    assert await api("POST", "/conditions/count", json={"condition": condition}) == {"count": 1}
    await api("POST", "/conditions/explain", 404, json={"condition": condition, "customer_id": geng})
    await api("POST", "/tasks", 400, json={"title": "Call", "customer_id": geng})
    shown = await api("GET", f"/customers/erasures/{number}")
    assert (shown["state"], shown["customer_id"], shown["reason"]) == ("waiting", geng, "letter 12")


async def test_nothing_of_an_erased_customer_is_in_any_table(api, geng, database, traces, run_until_idle, watcher):
    there = {"customer", "event", "identity", "task", "audit", "customer_search", "customer_stage"}
    assert {table for table, _, _ in await traces()} >= there
    number = await api.erase(geng)
    await run_until_idle()
    assert await traces() == set()
    assert await api.state(number) == "done"
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT erased_at FROM customer WHERE id = $1", geng) is not None
        for table in ("customer_event_stat", "event", "identity", "task", "job", "customer_stage"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE customer_id = $1", geng) == 0, table
        assert await connection.fetchval("SELECT count(*) FROM erased_message") >= 3
        assert await connection.fetchval("SELECT count(*) FROM erased_identity") == 4
        # The rows of the audit trail stay, without what they told.
        objects = [row["object"] for row in await connection.fetch("SELECT object FROM audit WHERE details IS NULL")]
    assert f"customer:{geng}" in objects
    assert any(each.startswith("task:") for each in objects)
    assert watcher.ERASED
    assert all(geng in each for each in watcher.ERASED)
    assert len(await api.find("13800138000")) == 1


async def test_all_who_were_merged_are_erased_and_nobody_is_parted_again(api, geng, known, traces, run_until_idle):
    await api.post(
        {"message_id": "second", "identities": {"email": "old@example.com"}, "traits": {"company": "初未商行"}},
        {"message_id": "third", "identities": {"email": "older@example.com"}},
    )
    [second], [third] = await api.find("old@example.com"), await api.find("older@example.com")
    await api("POST", "/customers/merge", json={"winner": second, "losers": [third]})
    merge = await api("POST", "/customers/merge", json={"winner": geng, "losers": [second]})
    number = await api.erase(third)  # who means the winner
    assert (await api("GET", f"/customers/erasures/{number}"))["customer_id"] == geng
    await api("POST", "/customers/unmerge", 404, json={"merge_id": merge["merge_id"]})
    [other] = await api.find("13800138000")
    await api("POST", "/customers/merge", 404, json={"winner": other, "losers": [geng]})
    await run_until_idle()
    assert await api.state(number) == "done"
    assert await traces("13912345678", "old@example.com", "older@example.com", "初未商行", "second", "third") == set()
    for customer_id in (geng, second, third):
        await api("GET", f"/customers/{customer_id}", 404)


async def test_who_was_parted_before_stays(api, geng, known, traces, run_until_idle):
    await api.post({"message_id": "second", "identities": {"email": "old@example.com"}})
    [second] = await api.find("old@example.com")
    merge = await api("POST", "/customers/merge", json={"winner": geng, "losers": [second]})
    await api("POST", "/customers/unmerge", json={"merge_id": merge["merge_id"]})
    await api.erase(geng)
    await run_until_idle()
    assert await api.find("old@example.com") == [second]
    names = [each["message_id"] for each in (await api("GET", f"/customers/{second}/events"))["items"]]
    assert "second" in names


async def test_a_table_that_only_an_absent_plugin_can_clear_blocks(
    api, geng, database, frozen_now, traces, run_until_idle
):
    async with database.connection() as connection:
        await connection.execute(
            "CREATE TABLE gone_note (id int, customer_id bigint);"
            "INSERT INTO customer_rows (plugin, table_name, column_name, on_merge, on_erase)"
            "VALUES ('gone', 'gone_note', 'customer_id', 'move', 'hook')"
        )
        await connection.execute("INSERT INTO gone_note VALUES (1, $1)", geng)
    number = await api.erase(geng)
    await run_until_idle()
    shown = await api("GET", f"/customers/erasures/{number}")
    assert shown["state"] == "blocked"
    assert "gone_note" in shown["blocked"][0]
    assert "zhike plugin purge gone" in shown["blocked"][0]
    assert {table for table, _, _ in await traces()} <= {"audit"}  # all else is deleted already
    frozen_now.advance(minutes=2)
    await run_until_idle()
    assert await api.state(number) == "blocked"
    async with database.connection() as connection:
        await connection.execute("DROP TABLE gone_note")
    frozen_now.advance(minutes=2)
    await run_until_idle()
    assert await api.state(number) == "done"
    assert await traces() == set()


@pytest.mark.parametrize("on_erase", ["delete", "null"])
async def test_rows_of_a_plugin_that_is_gone_are_erased_as_declared(api, geng, database, run_until_idle, on_erase):
    async with database.connection() as connection:
        await connection.execute(
            "CREATE TABLE gone_note (id int, customer_id bigint);"
            "INSERT INTO customer_rows (plugin, table_name, column_name, on_merge, on_erase)"
            f"VALUES ('gone', 'gone_note', 'customer_id', 'move', '{on_erase}')"
        )
        await connection.execute("INSERT INTO gone_note SELECT n, $1 FROM generate_series(1, 2500) AS n", geng)
    number = await api.erase(geng)
    await run_until_idle()
    assert await api.state(number) == "done"
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT customer_id, count(*) FROM gone_note GROUP BY 1")
    assert [tuple(row) for row in rows] == ([] if on_erase == "delete" else [(None, 2500)])


async def test_erasures_are_listed_and_only_who_may_sees_them(api, geng, make_token):
    number = await api.erase(geng)
    [listed] = (await api("GET", "/customers/erasures"))["items"]
    assert (listed["id"], listed["customer_id"]) == (number, geng)
    await api("GET", "/customers/erasures/999", 404)
    api.client.headers["authorization"] = f"Bearer {await make_token('manager')}"
    await api("GET", "/customers/erasures", 403)
    await api("DELETE", "/customers/1", 403)


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": 5}, {"reason": "a\0"}, {"why": "x"}])
async def test_a_request_that_says_something_else_is_refused(api, geng, known, body):
    await api("DELETE", f"/customers/{geng}", 400, json=body)
    assert await api.find(known.phone) == [geng]
