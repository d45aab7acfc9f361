"""Duplicates that are found in the background: what is found and why, who is shown it, and what they decide."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from zhike.customers import merging
from zhike.customers.duplicates import detect
from zhike.customers.duplicates.facts import company_name, person_name, reading_of
from zhike.customers.duplicates.rules import score_of, slip
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.jobs.worker import JobWorker
from zhike.work import begin

API = "/api/v1/customers"
ALL = {"customers.read": "all", "customers.merge": "all"}


class Review:
    """Makes customers, has them compared, and reads the queue."""

    def __init__(self, client: Any, platform: Any, run: Any) -> None:
        self.client, self.platform, self._run = client, platform, run
        self._made = 0

    async def make(self, name: str, phone: str = "", email: str = "", **fields: Any) -> int:
        """Write a customer as staff do; phone and e-mail are fields, not identities."""
        self._made += 1
        identities = {"external_id": f"e{self._made}"}
        said = {"phone": phone or None, "email": email or None, "name": name, "identities": identities, **fields}
        answer = await self.client.post(API, json=said)
        assert answer.status_code in {200, 201}, answer.text
        return int(answer.json()["id"])

    async def run(self) -> None:
        """Give the log its order and compare who has changed."""
        async with begin(self.platform, origin="test") as work:
            work.enqueue(detect.JOB, detect.Detection(), key="test")
        await self._run()

    async def pairs(self, client: Any = None, **query: Any) -> list[dict[str, Any]]:
        answer = await (client or self.client).get(f"{API}/duplicates", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def found(self) -> dict[tuple[int, int], tuple[set[str], int]]:
        """Return each open pair with its rules and score."""
        return {
            tuple(each["customer_ids"]): ({reason["rule"] for reason in each["reasons"]}, each["score"])
            for each in await self.pairs()
        }

    async def post(self, path: str, status: int = 200, client: Any = None, **body: Any) -> Any:
        answer = await (client or self.client).post(f"{API}/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.platform.db.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]


@pytest.fixture
def review(client: Any, platform: Any, run_until_idle: Any) -> Review:
    return Review(client, platform, run_until_idle)


def test_names_are_compared_without_what_spellings_differ_in() -> None:
    same = [
        "青禾家居有限公司",
        "上海青禾家居有限公司",
        "青禾家居（上海）股份有限公司",
        "上海市青禾家居有限责任公司",
        "青禾家居集团",
    ]
    assert {company_name(each) for each in same} == {"青禾家居"}
    assert {company_name(each) for each in ("Acme Co., Ltd.", "ACME Inc", "acme")} == {"acme"}
    # Without its place this would be any bank.
    assert company_name("北京银行股份有限公司") == "北京银行"
    assert company_name("（上海）") == "上海"
    assert (person_name("张 伟先生"), person_name("王先生"), person_name("伟")) == ("张伟", "王先生", "")
    assert reading_of("张伟") == reading_of("章玮") == reading_of(person_name("Zhang Wei")) == "zhangwei"
    assert [slip("13800138000", each) for each in ("13800138001", "13800138000", "13800183000", "13900138001")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert (score_of([]), score_of(["name_city"]), score_of(["name_email", "name_company"])) == (0, 40, 94)
    assert score_of(["name_phone"] * 5) == 99


async def test_what_is_found_and_why(review: Review) -> None:
    city = {"attributes": {"city": "杭州市"}}
    wei = await review.make("张伟", "13800138000", "wei@a.cn", company="上海青禾家居有限公司")
    typo = await review.make("张 伟", "13800138001")
    tail = await review.make("张伟", "13911118000", "wei+shop@b.cn", attributes={"city": "杭州"})
    sound = await review.make("章玮", "13722228000", **city)
    firms = [await review.make(name, kind="company") for name in ("杭州云上茶业有限公司", "云上茶业")]
    others = [await review.make("李娜", **city), await review.make("李娜", attributes={"city": "杭州"})]
    await review.make("张伟", "15500000000", kind="company")
    await review.run()
    found = await review.found()
    assert found == {
        (wei, typo): ({"phone_typo"}, 85),
        (wei, tail): ({"phone_tail", "name_email"}, 95),
        (wei, sound): ({"pinyin_phone"}, 60),
        (tail, sound): ({"pinyin_phone"}, 60),
        tuple(firms): ({"company_name"}, 80),
        tuple(others): ({"name_city"}, 40),
    }
    [first, *_] = await review.pairs()
    assert [each["name"] for each in first["customers"]] == ["张伟", "张伟"]
    assert {each["text"] for each in first["reasons"]} == {
        "Same name, phone numbers with the same last four digits",
        "Same name, same beginning of the e-mail address",
    }
    # What nobody has in common any more is closed; who comes to have it is found.
    await review.client.patch(f"{API}/{typo}", json={"phone": "13800138000"})
    await review.client.patch(f"{API}/{sound}", json={"name": "赵六"})
    await review.run()
    found = await review.found()
    assert found[wei, typo] == ({"name_phone"}, 95)
    assert not any(sound in pair for pair in found)
    assert [each["customer_ids"] for each in await review.pairs(rule="name_city")] == [others]
    assert len(await review.pairs(customer_id=tail)) == 2  # also with typo, whose number ends like its own by now
    assert [each["score"] for each in await review.pairs(min_score=95, limit=1)] == [95]


async def test_a_scan_goes_on_where_it_was_and_tells_whom_it_does_not_compare(
    review: Review, platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "CHUNK", 2)
    made = [await review.make("李娜", attributes={"city": "杭州"}) for _ in range(4)]
    pair = [await review.make("王芳", "13800138000"), await review.make("王芳", "13800138001")]
    # Before there was detection: nothing of the log is to be read any more.
    await review.run()
    await review.fetch("DELETE FROM customer_match")
    await review.fetch("DELETE FROM duplicate_candidate")
    await review.post("duplicates/scan")
    worker = JobWorker(platform)
    while (await review.fetch("SELECT scan_after FROM duplicate_scan"))[0][0] is None:
        assert await worker.step()
    assert (await review.client.get(f"{API}/duplicates/counts")).json()["scan"]["running"] is True
    await review.run()
    counts = (await review.client.get(f"{API}/duplicates/counts")).json()
    assert (counts["open"], counts["crowded"]) == (1, {"name_city": 1})
    assert (counts["scan"]["running"], counts["scan"]["compared"]) == (False, 6)
    assert counts["at_least"] == {"90": 0, "80": 1, "70": 1, "60": 1, "50": 1}
    assert [each["customer_ids"] for each in await review.pairs()] == [pair]
    # With one fewer the name says something again.
    await review.post("merge", winner=made[0], losers=[made[1]])
    await review.run()
    counts = (await review.client.get(f"{API}/duplicates/counts")).json()
    assert (counts["open"], counts["crowded"]) == (1 + 2, {})


async def test_decisions(review: Review) -> None:
    ids = [await review.make("王芳", f"1380013800{n}") for n in range(3)]
    await review.run()
    pairs = {tuple(each["customer_ids"]): each["id"] for each in await review.pairs()}
    assert len(pairs) == 3
    decided = await review.post(f"duplicates/{pairs[ids[0], ids[1]]}/decide", decision="distinct")
    assert decided == {"id": pairs[ids[0], ids[1]], "state": "distinct", "merge_id": None}
    await review.post(f"duplicates/{pairs[ids[0], ids[2]]}/decide", decision="later")
    assert [each["customer_ids"] for each in await review.pairs()] == [ids[1:3]]
    [put_off] = await review.pairs(state="later")
    assert (put_off["customer_ids"], put_off["decided_by"] is None) == ([ids[0], ids[2]], False)
    await review.post(f"duplicates/{put_off['id']}/decide", decision="open")
    # That they are two is remembered, also of the one whom somebody was merged into.
    pair = pairs[ids[1], ids[2]]
    assert (await review.post(f"duplicates/{pair}/decide", 400, decision="merge", winner=ids[0]))["code"] == "winner"
    done = await review.post(f"duplicates/{pair}/decide", decision="merge", winner=ids[1], fields={"phone": ids[2]})
    assert done["state"] == "merged"
    assert (await review.client.get(f"{API}/{ids[1]}")).json()["phone"] == "13800138002"
    await review.run()
    assert await review.pairs() == []
    await review.post(f"duplicates/{pair}/decide", 404, decision="merge")
    # Undone, they are two for ever.
    await review.post("unmerge", merge_id=done["merge_id"])
    await review.run()
    assert {tuple(each["customer_ids"]) for each in await review.pairs(state="distinct")} == {
        (ids[0], ids[1]), (ids[1], ids[2]),
    }  # fmt: skip
    assert [each["customer_ids"] for each in await review.pairs()] == [[ids[0], ids[2]]]
    actions = [row[0] for row in await review.fetch("SELECT action FROM audit ORDER BY id")]
    assert actions.count("customer.duplicate") == 3


async def test_of_three_who_are_parted_the_two_who_were_never_compared_may_be_one_again(review: Review) -> None:
    one, two, three = [await review.make("张伟", phone, "w@a.cn") for phone in ("13800138000", "", "13800138001")]
    await review.run()
    assert {(one, two), (one, three), (two, three)} <= (await review.found()).keys()
    done = await review.post("merge", winner=one, losers=[two, three])
    await review.post("unmerge", merge_id=done["merge_id"])
    assert list(await review.found()) == [(two, three)]


async def test_a_pair_that_is_being_merged_is_not_said_to_be_two(review: Review) -> None:
    first, second = await review.make("张伟", "13800138000"), await review.make("张伟", "13800138001")
    await review.run()
    [pair] = await review.pairs()
    async with review.platform.db.transaction() as connection:
        await connection.execute("UPDATE duplicate_candidate SET state = 'merged'")
        said = review.client.post(f"{API}/duplicates/{pair['id']}/decide", json={"decision": "distinct"})
        saying = asyncio.create_task(said, context=contextvars.Context())  # in a transaction of its own
        await asyncio.wait([saying], timeout=0.3)
    assert (await saying).status_code == 404
    assert await review.fetch("SELECT low_id, high_id, state FROM duplicate_candidate") == [(first, second, "merged")]


async def test_who_is_erased_is_in_no_pair(review: Review) -> None:
    ids = [await review.make("王芳", f"1380013800{n}") for n in range(2)]
    await review.run()
    assert len(await review.pairs()) == 1
    answer = await review.client.delete(f"{API}/{ids[0]}")
    assert answer.is_success, answer.text
    assert await review.pairs() == []
    await review.run()
    assert await review.fetch("SELECT customer_id FROM customer_match") == [(ids[1],)]
    assert await review.fetch("SELECT id FROM duplicate_candidate") == []


async def test_many_at_once(review: Review) -> None:
    for n in range(3):
        await review.make("王芳", f"1380013{n}000", "fang@a.cn")
        await review.make("李娜", f"1390013{n}111")
    await review.run()
    counted = await review.post("duplicates/accept", min_score=90)
    assert counted["merged"] == []
    changed = await review.post("duplicates/accept", 409, min_score=90, expected=counted["left"] - 1)
    assert changed["code"] == "changed"
    done = await review.post("duplicates/accept", min_score=90, expected=counted["left"])
    assert (done["left"], len(done["merged"])) == (0, 2)
    assert await review.fetch("SELECT count(*) FROM customer WHERE name = '王芳' AND merged_into IS NULL") == [(1,)]


async def test_one_of_many_that_somebody_else_has_just_merged_is_passed_over(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    await review.make("王芳", "13800138000", "fang@a.cn")
    await review.make("王芳", "13800138001", "fang@a.cn")
    await review.run()

    async def too_late(*_: object) -> None:
        merged = review.fetch("UPDATE duplicate_candidate SET state = 'merged' RETURNING id")
        await asyncio.create_task(merged, context=contextvars.Context())
        raise Conflict(text("They are merged"))

    counted = await review.post("duplicates/accept", min_score=50)
    assert counted["left"] == 1
    monkeypatch.setattr(merging, "merge", too_late)
    done = await review.post("duplicates/accept", min_score=50, expected=1)
    assert done == {"left": 0, "merged": [], "put_off": []}


async def test_who_is_shown_what(review: Review, acting: Any, platform: Any) -> None:
    first = await review.make("王芳", "13800138000", "fang@a.cn")
    second = await review.make("王芳", "13800138001", "fang@b.cn")
    third = await review.make("王芳", "15511112222", "fang@c.cn")
    await review.run()
    assert len(await review.pairs()) == 3
    # Who does not see phone numbers whole learns of no pair that is one by them, not even of its other reasons.
    masked = await acting(ALL, {"phone": "mask"})
    [one, other] = await review.pairs(masked)
    assert [one["customer_ids"], other["customer_ids"]] == [[second, third], [first, third]]
    assert one["customers"][0]["phone"] == "138****8001"
    assert (await masked.get(f"{API}/duplicates/counts")).json()["open"] == 2
    hidden = next(each["id"] for each in await review.pairs() if each["customer_ids"] == [first, second])
    await review.post(f"duplicates/{hidden}/decide", 404, masked, decision="distinct")
    assert await review.pairs(await acting(ALL, {"email": "hide", "phone": "mask"})) == []
    # Both must be the actor's.
    person = {"login": "ann", "name": "Ann", "role": "viewer", "password": "correct horse battery 7"}
    ann = (await review.client.post("/api/v1/users", json=person)).json()["id"]
    own = await acting({"customers.read": "own", "customers.merge": "own"}, user=ann)
    assert await review.pairs(own) == []
    await review.fetch("UPDATE customer SET owner = $2 WHERE id = ANY($1::bigint[])", [first, third], ann)
    assert [each["customer_ids"] for each in await review.pairs(own)] == [[first, third]]
    await review.post(f"duplicates/{hidden}/decide", 404, own, decision="merge")
    await review.post("duplicates/scan", 403, own)
    await review.post("duplicates/scan", 403, await acting({"customers.read": "all"}))
    assert (await review.post("duplicates/accept", 200, own, min_score=50))["left"] == 1
