"""Files of customers: who is made, changed, told apart and refused, and that it can all be taken back."""

from __future__ import annotations

import csv
import json
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from zhike.access.actor import Actor
from zhike.contracts import RecordedEvent
from zhike.customers.merging import MergeRequest, merge
from zhike.customers.unmerge import unmerge
from zhike.events.undo import Undone
from zhike.platform import Platform
from zhike.work import begin
from zhike_imports import service
from zhike_imports.run import undoing
from zhike_imports.run.plan import prepare
from zhike_imports.run.preview import preview
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options, Run

Record = Callable[..., Awaitable[list[RecordedEvent]]]
ACTOR = Actor.command("import")


class Imports:
    """Brings files of customers into a platform, and takes them back."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.path = folder / "people.csv"
        self.rejected = folder / "rejected.csv"

    async def __call__(self, content: str, encoding: str = "utf-8", **options: Any) -> Run:
        self.path.write_bytes(content.encode(encoding))
        plan = prepare(self.path, Options(**{"kind": "customers", **options}), self.platform.settings)
        with closing(RejectFile(self.rejected, plan.header, "en")) as rejects:
            run, done = await service.run(self.platform, plan, rejects)
        assert done
        return run

    async def undo(self, run: Run) -> Undone:
        await undoing.start(self.platform, ACTOR, run.id, queue=False)
        return await undoing.carry_out(self.platform, run.id, origin=ACTOR.origin)

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.platform.db.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    async def people(self) -> list[tuple[Any, ...]]:
        rows = await self.fetch("SELECT name, phone, attributes::text FROM customer ORDER BY id")
        return [(name, phone, json.loads(attributes)) for name, phone, attributes in rows]

    def reasons(self) -> list[tuple[str, str]]:
        with self.rejected.open(encoding="utf-8-sig", newline="") as file:
            return [(row[2], row[3]) for row in list(csv.reader(file))[1:]]


@pytest.fixture
def imports(platform: Platform, tmp_path: Path) -> Imports:
    return Imports(platform, tmp_path)


HEADER = "客户编号,姓名,手机号,城市,标签,生日\n"
TWO = HEADER + "A1,王伟,13800138000,上海,VIP；老客户,1990/1/5\nA2,李娜,139 0013 9000,北京,,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-8-sig"])
async def test_a_chinese_file_makes_customers_without_any_option(imports: Imports, encoding: str) -> None:
    run = await imports(TWO, encoding)
    assert (run.accepted, run.duplicate, run.rejected) == (2, 0, 0)
    assert await imports.people() == [
        ("王伟", "+8613800138000", {"city": "上海", "tags": ["VIP", "老客户"], "birthday": "1990-01-05"}),
        ("李娜", "+8613900139000", {"city": "北京"}),
    ]
    assert (
        await imports.fetch("SELECT name, origin, live, import_id, behaviour FROM event ORDER BY id")
        == [("customer.created", f"import:{run.id}", False, run.id, False)] * 2
    )


async def test_the_same_file_adds_nothing_and_another_one_changes(imports: Imports) -> None:
    await imports(TWO)
    again = await imports(TWO)
    assert (again.accepted, again.duplicate) == (0, 2)
    run = await imports(HEADER + "A1,王大伟,13800138000,,,\nA3,赵敏,13700137000,,,\n")
    assert (run.accepted, run.duplicate) == (2, 0)
    assert [(name, values.get("city")) for name, _, values in await imports.people()] == [
        ("王大伟", "上海"),
        ("李娜", "北京"),
        ("赵敏", None),
    ]
    names = await imports.fetch("SELECT name FROM event WHERE import_id = $1 ORDER BY name", run.id)
    assert names == [("customer.created",), ("customer.updated",)]


async def test_rows_are_known_by_their_key_across_files(imports: Imports) -> None:
    await imports(TWO, key=("客户编号",))
    run = await imports(HEADER + "A1,别人,,,,\nA4,新人,,,,\nA4,又来,,,,\n", key=("客户编号",))
    assert (run.accepted, run.duplicate) == (1, 2)
    assert [name for name, *_ in await imports.people()] == ["王伟", "李娜", "新人"]


async def test_what_does_not_fit_is_set_aside(imports: Imports) -> None:
    await imports(TWO)
    run = await imports(HEADER + "A1,x,13900139000,,,\nA5,y,123,,,\n,z,,,,\nA6,好,,,,1990-13-01\nA7,行,,,,\n")
    assert (run.accepted, run.rejected) == (1, 4)
    reasons = imports.reasons()
    assert [code for code, _ in reasons] == ["conflict", "identity", "no_identity", "attributes.birthday"]
    assert reasons[0][1] == "external_id **** and phone +86****9000 belong to different customers"
    # What was set aside is not known: mended, or taken with another mapping, it goes in.
    assert (await imports(HEADER + "A1,x,,,,\n")).accepted == 1


async def test_a_phone_does_not_bring_two_customer_numbers_together(imports: Imports) -> None:
    """Neither across files nor within one: the second name would take the place of the first."""
    await imports(TWO)
    run = await imports(HEADER + "A8,孙八,13800138000,,,\nA9,周九,13700137000,,,\nA10,吴十,13700137000,,,\n")
    assert (run.accepted, run.rejected) == (1, 2)
    assert imports.reasons()[0] == (
        "conflict",
        "phone +86****8000 belongs to a customer with another external_id than external_id ****",
    )
    assert [name for name, *_ in await imports.people()] == ["王伟", "李娜", "周九"]


async def test_owner_team_and_first_day_are_taken_over(imports: Imports) -> None:
    await imports.fetch("INSERT INTO app_user (login, name, password_hash, role) VALUES ('li', 'Li', 'x', 'agent')")
    await imports.fetch("INSERT INTO team (name) VALUES ('East'), ('West'), ('West')")
    run = await imports("客户编号,负责人,团队,注册时间\nA1,li,East,2020-01-02\nA2,nobody,,\nA3,,West,\n")
    assert (run.accepted, run.rejected) == (1, 2)
    assert [code for code, _ in imports.reasons()] == ["owner", "team"]
    shown = "SELECT u.login, t.name, c.created_at::date::text FROM customer c, app_user u, team t"
    assert await imports.fetch(f"{shown} WHERE u.id = owner AND t.id = team") == [("li", "East", "2020-01-01")]
    await imports.undo(run)
    assert await imports.people() == []


async def test_rows_of_one_customer_add_up(imports: Imports) -> None:
    await imports.fetch("INSERT INTO app_user (login, name, password_hash, role) VALUES ('li', 'Li', 'x', 'agent')")
    await imports.fetch("INSERT INTO team (name) VALUES ('East')")
    run = await imports("客户编号,负责人,团队,姓名\nA1,,East,\nA1,li,,\nA1,,,王伟\n")
    assert run.accepted == 3
    shown = "SELECT u.login, t.name, c.name FROM customer c, app_user u, team t WHERE u.id = c.owner AND t.id = c.team"
    assert await imports.fetch(shown) == [("li", "East", "王伟")]


async def test_owner_and_team_are_told_and_taken_back(imports: Imports) -> None:
    logins = "INSERT INTO app_user (login, name, password_hash, role) VALUES"
    await imports.fetch(f"{logins} ('li', 'Li', 'x', 'agent'), ('wu', 'Wu', 'x', 'agent')")
    users = dict(await imports.fetch("SELECT login, id FROM app_user"))
    await imports("客户编号,负责人\nA1,li\n")
    told = "SELECT name, properties FROM event WHERE import_id = $1"
    assert await imports.fetch("SELECT properties::text FROM event") == [
        (f'{{"fields": {{"kind": "person", "owner": {users["li"]}}}}}',)
    ]
    run = await imports("客户编号,负责人,注册时间\nA1,wu,2020-01-02\n")
    [(name, properties)] = await imports.fetch(told, run.id)
    assert name == "customer.updated"
    assert json.loads(properties) == {"changes": {"owner": {"old": users["li"], "new": users["wu"]}}}
    assert await imports.fetch("SELECT created_at > '2021-01-01' FROM customer") == [(True,)]
    same = await imports("客户编号,负责人,姓名\nA1,wu,\n")
    assert await imports.fetch(told, same.id) == []
    await imports.undo(run)
    assert await imports.fetch("SELECT owner FROM customer") == [(users["li"],)]


async def test_visitors_merged_by_an_import_are_parted_by_its_undo(imports: Imports, record: Record) -> None:
    await record({"name": "page.view", "identities": {"anonymous_id": "a1"}, "traits": {"city": "Xi'an"}})
    await record({"name": "page.view", "identities": {"anonymous_id": "a2"}})
    await record({"name": "page.view", "identities": {"external_id": "A1"}})
    persons = "SELECT id, merged_into FROM customer ORDER BY id"
    identities = "SELECT namespace, value, customer_id FROM identity ORDER BY 1, 2"
    before = [await imports.fetch(query) for query in (persons, identities)]
    people = await imports.people()
    rows = "anon,visitor,uid,name\na1,,A1,x\na2,new,,y\n,new,A1,\na3,,,\na3,,B1,\n"
    options = {
        "maps": ("anon=identity:anonymous_id", "visitor=identity:device_id", "uid=identity:external_id", "name=name")
    }
    run = await imports(rows, **options)
    assert await imports.fetch("SELECT count(*) FROM customer WHERE merged_into IS NOT NULL") == [(2,)]
    counted = await undoing.plan(imports.platform, run.id)
    assert counted.merges == 2
    done = await imports.undo(run)
    assert (done.merges, done.deleted) == (2, 1)
    assert [await imports.fetch(query) for query in (persons, identities)] == before
    assert await imports.people() == people
    events = "SELECT count(*) FROM event WHERE behaviour AND customer_id = home_customer_id"
    assert await imports.fetch(events) == [(3,)]
    # Nobody has said that they are two: the same file merges them again.
    assert (await imports(rows, **options)).accepted == 5
    assert await imports.fetch("SELECT count(*) FROM customer WHERE merged_into IS NOT NULL") == [(2,)]


async def test_a_merge_whose_winner_was_merged_since_stays(imports: Imports, record: Record) -> None:
    await record({"name": "page.view", "identities": {"anonymous_id": "a1"}})
    await record({"name": "page.view", "identities": {"external_id": "A1"}})
    await record({"name": "page.view", "identities": {"external_id": "B1"}})
    run = await imports("anon,uid\na1,A1\n", maps=("anon=identity:anonymous_id", "uid=identity:external_id"))
    [(loser,), (winner,)] = await imports.fetch(
        "SELECT customer_id FROM identity WHERE namespace = 'external_id' ORDER BY value"
    )
    async with begin(imports.platform, origin=ACTOR.origin) as work:
        await merge(work, ACTOR, MergeRequest(winner=winner, losers=[loser]))
    assert (await imports.undo(run)).merges == 0
    assert await imports.fetch("SELECT DISTINCT customer_id FROM identity") == [(winner,)]


async def test_what_a_merge_that_stays_has_taken_stays_too(imports: Imports, record: Record) -> None:
    """The import has said the same field anew, in the very batch that merged the visitor."""
    await record(
        {"name": "page.view", "identities": {"anonymous_id": "a1"}, "traits": {"name": "Vis", "city": "Xi'an"}}
    )
    await record({"name": "page.view", "identities": {"external_id": "A1"}})
    await record({"name": "page.view", "identities": {"external_id": "B1"}, "traits": {"name": "Other", "city": "x"}})
    _, second, third = [row[0] for row in await imports.fetch("SELECT id FROM customer ORDER BY id")]
    maps = ("anon=identity:anonymous_id", "uid=identity:external_id", "name=name", "city=attribute:city")
    run = await imports("anon,uid,name,city\na1,A1,New,\n", maps=maps)
    one = "SELECT name, attributes->>'city' FROM customer WHERE id = $1"
    assert await imports.fetch(one, second) == [("New", "Xi'an")]
    async with begin(imports.platform, origin=ACTOR.origin) as work:
        merged, _ = await merge(work, ACTOR, MergeRequest(winner=third, losers=[second]))
    assert (await imports.undo(run)).merges == 0
    async with begin(imports.platform, origin=ACTOR.origin) as work:
        await unmerge(work, ACTOR, merged)
    assert await imports.fetch(one, second) == [("Vis", "Xi'an")]


async def test_a_dry_run_counts_and_writes_nothing(imports: Imports) -> None:
    await imports(TWO)
    rows = "A1,王伟,13800138000,上海,,\nA2,李小娜,,,,\nA9,新,,,,\nA1,x,13900139000,,,\n"
    imports.path.write_text(HEADER + rows, "utf-8")
    plan = prepare(imports.path, Options(kind="customers"), imports.platform.settings)
    seen = await preview(imports.platform, plan)
    assert (seen.created, seen.changed, seen.fresh, seen.rejected) == (1, 1, 3, 1)
    assert "13800138000" not in str(seen.table)
    assert await imports.fetch("SELECT count(*) FROM customer") == [(2,)]
    assert await imports.fetch("SELECT count(*) FROM import_change WHERE import_id < 0") == [(0,)]
    assert await imports.fetch("SELECT count(*) FROM imports_row") == [(2,)]


async def test_an_undone_import_leaves_what_others_have_said(imports: Imports, record: Record) -> None:
    await record({"name": "page.view", "identities": {"external_id": "A1"}, "traits": {"name": "Old", "city": "Xi'an"}})
    run = await imports(TWO)
    await record({"name": "page.view", "identities": {"external_id": "A1"}, "traits": {"city": "Later"}})
    done = await imports.undo(run)
    assert (done.deleted, done.changed) == (1, 1)
    assert await imports.people() == [("Old", None, {"city": "Later"})]
    assert await imports.fetch("SELECT namespace, value FROM identity") == [("external_id", "A1")]
    assert await imports.fetch("SELECT count(*) FROM event WHERE import_id IS NOT NULL") == [(0,)]
    told = "SELECT properties ->> 'reason' FROM event WHERE name = 'customer.history_changed'"
    assert await imports.fetch(told) == [("undo",)]
    assert (await imports(TWO)).accepted == 2
    assert [name for name, *_ in await imports.people()] == ["王伟", "李娜"]


async def test_undoing_the_first_of_two_imports_keeps_the_second(imports: Imports) -> None:
    first = await imports("客户编号,姓名,城市\nA1,One,Xi'an\n")
    second = await imports("客户编号,姓名\nA1,Two\n")
    await imports.undo(first)
    assert await imports.people() == [("Two", None, {})]
    await imports.undo(second)
    assert await imports.people() == [(None, None, {})]


async def test_customers_whom_others_have_touched_stay(imports: Imports, record: Record) -> None:
    run = await imports(TWO)
    await record({"name": "page.view", "identities": {"phone": "13900139000"}})
    [customer] = (await imports.fetch("SELECT customer_id FROM identity WHERE value = 'A1'"))[0]
    task = "INSERT INTO task (title, customer_id, status, priority, origin) VALUES ('x', $1, 'open', 1, 'x')"
    await imports.fetch(task, customer)
    done = await imports.undo(run)
    assert (done.deleted, done.changed) == (0, 2)
    assert await imports.people() == [(None, None, {}), (None, None, {})]
    assert len(await imports.fetch("SELECT FROM identity")) == 4


async def test_an_undone_import_of_events_is_as_if_it_had_never_been(imports: Imports, record: Record) -> None:
    await record({"name": "order.paid", "amount": "1", "identities": {"external_id": "1"}})
    stats = "SELECT customer_id, name, currency, count, sum FROM customer_event_stat ORDER BY 1, 2, 3"
    before = await imports.fetch(stats)
    rows = "customer_id,date,amount,city\n" + "".join(f"{n % 7},2024-01-05,{n}.00,x\n" for n in range(3000))
    options = {
        "kind": "events",
        "event": "order.paid",
        "maps": ("customer_id=identity:external_id", "date=occurred_at", "amount=amount", "city=trait:city"),
    }
    run = await imports(rows, **options)
    assert run.accepted == 3000
    counted = await undoing.plan(imports.platform, run.id)
    assert (counted.events, counted.deleted, counted.changed) == (3007, 6, 1)
    done = await imports.undo(run)
    assert (done.events, done.deleted) == (3007, 6)
    assert await imports.fetch(stats) == before
    assert await imports.people() == [(None, None, {})]
    assert (await imports(rows, **options)).accepted == 3000
