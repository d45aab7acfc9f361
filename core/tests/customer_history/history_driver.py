"""Does the same at random to an installation and to the model, and compares the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from history_model import OWN, Model, Said
from history_stand import EVENT_MAPS, PEOPLE_MAPS, TEAMS, USERS, Stand, check_index, check_sound, equal

from zhike.testing.plugin import FrozenNow

WEIGHTS = {
    "post": 30,
    "late": 10,
    "merge": 14,
    "unmerge": 12,
    "write": 9,
    "upsert": 3,
    "erase": 3,
    "bring_events": 5,
    "bring_people": 6,
    "again": 3,
    "undo": 6,
    "task": 4,
    "pin": 5,
    "step": 5,
    "settle": 4,
}
WINDOW = 14
"""Values of a namespace that are used at a time; others follow, since those of the erased are used up."""


class Step(NamedTuple):
    """Something to be done, chosen by numbers so that it can be done whatever was done before."""

    name: str
    seed: int


def steps_of(seed: int, size: int) -> list[Step]:
    """Return a random sequence."""
    random = Random(seed)  # no secret
    names = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=size)
    return [Step(name, random.getrandbits(32)) for name in names]


class File(NamedTuple):
    """A file that was imported."""

    content: str
    kind: str
    rows: list[Said]


class Driver:
    """Drives an installation and the model.

    Args:
        stand: The installation.
        now: Its clock.
    """

    def __init__(self, stand: Stand, now: FrozenNow) -> None:
        self.stand = stand
        self.now = now
        self.model = Model()
        self.ids: list[int] = []
        self.merge_ids: list[int] = []
        self.files: list[File] = []
        self.sent: list[Said] = []
        self.imports: list[int] = []
        self.base = 0
        self.count = 0
        self.random = Random(0)  # no secret

    async def do(self, step: Step) -> None:
        """Do one step."""
        self.random = Random(step.seed)  # no secret
        self.now.advance(seconds=1)
        self.base += self.random.random() < 0.12
        await getattr(self, step.name)()
        await self._follow()

    # steps

    async def post(self) -> None:
        """Send events."""
        await self._send([self._said() for _ in range(self.random.choice([1, 1, 2, 4]))])

    async def late(self) -> None:
        """Send events for identities that came with somebody merged away since, or were erased."""
        model, random = self.model, self.random
        homes = [pair for pair, each in model.identities.items() if model.root(each.home) != each.home]
        gone = sorted(model.erased)[-5:]
        pool = sorted(homes)[-40:] + gone
        if not pool:
            return
        said = []
        for _ in range(random.choice([1, 2])):
            namespace, value = random.choice(pool)
            said.append(self._said({namespace: value, **(self._identities() if random.random() < 0.4 else {})}))
        await self._send(said)

    async def merge(self) -> None:
        """Merge customers."""
        model, random = self.model, self.random
        pool = self._pool()
        if len(pool) < 2:
            return
        winner, *losers = random.sample(pool, min(len(pool), random.choice([2, 2, 2, 3, 4])))
        roots = list(dict.fromkeys(model.root(each) for each in losers if model.root(each) != model.root(winner)))
        everybody = [model.root(winner), *roots]
        chosen = {}
        for name in ("name", "city", *OWN):
            having = [each for each in everybody if model.word(each, name).value is not None]
            if having and random.random() < 0.25:
                chosen[name] = random.choice(having)
        named = {model.root(each): self.ids[each] for each in (*reversed(losers), winner)}
        fields = {name if name != "city" else "attributes.city": named[each] for name, each in chosen.items()}
        body = {"winner": self.ids[winner], "losers": [self.ids[each] for each in losers], "fields": fields}
        expected = 404 if not all(model.here(each) for each in (winner, *losers)) else 200 if roots else 409
        if expected != 200:
            body["fields"] = {}
        status, answer = await self.stand("POST", "/customers/merge", body)
        assert status == expected, (status, answer, expected)
        if status == 200:
            self._happen(lambda: model.merge(model.root(winner), roots, chosen))
            assert answer["loser_ids"] == [self.ids[each] for each in roots]

    async def unmerge(self) -> None:
        """Undo a merge."""
        model, random = self.model, self.random
        if not model.merges:
            return
        open_ = [each for each in model.merges if not each.undone]
        merge = random.choice(open_[-12:] if open_ and random.random() < 0.9 else model.merges)
        winner = merge.winner
        if model.customers[winner].state == "deleted" or not model.here(winner):
            expected = 404
        else:
            expected = 409 if merge.undone or model.customers[winner].merged is not None else 200
        merge_id = self.merge_ids[merge.group]
        status, answer = await self.stand("POST", "/customers/unmerge", {"merge_id": merge_id})
        assert status == expected, (status, answer, expected)
        if status == 200:
            self._happen(lambda: model.unmerge(merge.group))

    async def write(self) -> None:
        """Change a customer by hand."""
        model, random = self.model, self.random
        pool = self._pool()
        if not pool:
            return
        customer = random.choice(pool)
        traits = self._traits()
        own = {name: value for name, value in self._own().items() if random.random() < 0.5}
        if random.random() < 0.15:
            own["owner"] = None  # type: ignore[assignment]  # takes it away
        add = self._identities() if random.random() < 0.3 else {}
        root = model.root(customer)
        others = {model.owner(pair) for pair in add.items()} - {None, root}
        erased = any(pair in model.erased and pair not in model.identities for pair in add.items())
        mine = [pair for pair in sorted(model.identities) if model.owner(pair) == root]
        remove = random.choice(mine) if mine and random.random() < 0.15 else None
        strong = [pair for pair in mine if pair[0] not in ("device_id", "anonymous_id")]
        lost = (
            remove is not None
            and strong == [remove]
            and not any(pair[0] not in ("device_id", "anonymous_id") for pair in add.items())
        )
        expected = 404 if not model.here(customer) else 409 if others or erased or lost else 200
        body: dict[str, Any] = {name: value for name, value in traits.items() if name != "city"}
        body |= {"attributes": {"city": traits["city"]}} if "city" in traits else {}
        body |= {**own, "add_identities": add, "remove_identities": {} if remove is None else {remove[0]: remove[1]}}
        if remove is not None and remove in add.items():
            return
        status, answer = await self.stand("PATCH", f"/customers/{self.ids[customer]}", body)
        assert status == expected, (status, answer, expected)
        if status == 200:

            def change() -> None:
                model.write(root, traits, own, self.now())
                model.give(root, add.items())
                if remove is not None:
                    del model.identities[remove]

            self._happen(change)

    async def upsert(self) -> None:
        """Make or change a customer by what identifies them."""
        model = self.model
        identities, traits = self._identities(), self._traits()
        owners = {model.owner(pair) for pair in identities.items()} - {None}
        erased = any(pair in model.erased and pair not in model.identities for pair in identities.items())
        body: dict[str, Any] = {name: value for name, value in traits.items() if name != "city"}
        body |= {"attributes": {"city": traits["city"]}} if "city" in traits else {}
        status, answer = await self.stand("POST", "/customers", {**body, "identities": identities})
        expected = {409} if len(owners) > 1 or erased else {200, 201}
        assert status in expected, (status, answer, expected)
        if status != 409:

            def change() -> None:
                customer = owners.pop() if owners else model.make()
                assert customer is not None
                model.write(customer, traits, {}, self.now())
                said = Said("x", "", self.now(), identities)
                model.give(customer, said.pairs)

            self._happen(change)

    async def erase(self) -> None:
        """Erase a customer, rather one of many."""
        model, random = self.model, self.random
        pool = self._pool()
        if not pool:
            return
        winners = [each for each in pool if any(model.customers[n].merged == each for n in range(len(self.ids)))]
        customer = random.choice(winners if winners and random.random() < 0.6 else pool)
        expected = 202 if model.here(customer) else 404
        status, answer = await self.stand("DELETE", f"/customers/{self.ids[customer]}")
        assert status == expected, (status, answer, expected)
        if status == 202:
            self._happen(lambda: model.erase(model.root(customer), answer["request_id"]))

    async def bring_events(self) -> None:
        """Import a file of events."""
        rows = []
        for _ in range(self.random.randint(1, 5)):
            said = self._said(self._identities(("external_id", "device_id")))
            traits = {name: value for name, value in said.traits.items() if name != "name" and value is not None}
            said = replace(said, traits=traits)
            rows.append(
                {
                    "said": said,
                    "cells": [
                        said.name,
                        said.identities.get("external_id", ""),
                        said.identities.get("device_id", ""),
                        said.occurred_at.isoformat(),
                        "" if said.amount is None else f"{said.amount / 100:.2f}",
                        said.traits.get("city") or "",
                        said.traits.get("stage") or "",
                        said.source,
                    ],
                }
            )
        await self._bring("events", EVENT_MAPS, rows)

    async def bring_people(self) -> None:
        """Import a file of customers."""
        rows = []
        for _ in range(self.random.randint(1, 4)):
            said = self._said(self._identities(("external_id", "phone", "device_id")))
            own = {} if self.random.random() < 0.6 else self._own()
            traits = {name: value for name, value in said.traits.items() if value is not None}
            if "phone" in said.identities:
                traits["phone"] = said.identities["phone"]
            said = replace(said, name="", traits=traits, own=own, amount=None, currency=None)
            rows.append(
                {
                    "said": said,
                    "cells": [
                        *(said.identities.get(name, "") for name in ("external_id", "phone", "device_id")),
                        *(traits.get(name, "") for name in ("name", "city", "stage")),
                        said.occurred_at.isoformat(),
                        said.source,
                        f"u{own['owner']}" if "owner" in own else "",
                        f"t{own['team']}" if "team" in own else "",
                    ],
                }
            )
        await self._bring("customers", PEOPLE_MAPS, rows)

    async def again(self) -> None:
        """Import a file that was imported before, whatever has become of that."""
        if self.files:
            await self._import(self.random.choice(self.files[-8:]))

    async def undo(self) -> None:
        """Undo an import, some twice."""
        model = self.model
        if not self.imports:
            return
        number = self.random.choice(self.imports[-6:])
        done = await self.stand.undo(number)
        assert done == (number not in model.undone)
        if done:
            self._happen(lambda: model.undo(number), silent=True)

    async def task(self) -> None:
        """Make a task."""
        pool = self._pool()
        if not pool:
            return
        customer = self.random.choice(pool)
        self.count += 1
        body = {"title": f"task {self.count}", "customer_id": self.ids[customer]}
        status, answer = await self.stand("POST", "/tasks", body)
        expected = {200, 201} if self.model.here(customer) else {400, 404}
        assert status in expected, (status, answer, expected)
        if status < 300:
            root = self.model.root(customer)
            self.model.pin("task", root, body["title"])
            self.model.customers[root].marks.append(None)

    async def pin(self) -> None:
        """Have a plugin note something about a customer."""
        pool = [each for each in self._pool() if self.model.here(each)]
        if not pool:
            return
        root, label = self.model.root(self.random.choice(pool)), self.random.choice("abc")
        sql = "INSERT INTO pins_pin (customer_id, label) VALUES ($1, $2) ON CONFLICT DO NOTHING"
        await self.stand.fetch(sql, self.ids[root], label)
        self.model.pin("pins_pin", root, label)

    async def step(self) -> None:
        """Run a job."""
        await self.stand.step()

    async def settle(self) -> None:
        """Run everything."""
        await self.stand.settle()

    # values

    def _pool(self) -> list[int]:
        """Return customers, the latest and some who are gone."""
        model = self.model
        latest = [n for n, each in enumerate(model.customers) if each.state == "here"][-40:]
        return latest + [n for n, each in enumerate(model.customers) if each.state != "here"][-2:]

    def _value(self, namespace: str) -> str:
        number = self.base + self.random.randrange(WINDOW)
        match namespace:
            case "phone":
                return f"+86138{number:08d}"
            case "email":
                return f"e{number}@example.com"
        return f"{namespace[0]}{number}"

    def _identities(self, namespaces: tuple[str, ...] = ()) -> dict[str, str]:
        names = namespaces or ("external_id", "phone", "email", "member_no", "device_id", "anonymous_id")
        chosen = self.random.sample(names, min(len(names), self.random.choice([1, 1, 1, 2, 2, 3])))
        return {name: self._value(name) for name in chosen}

    def _traits(self) -> dict[str, Any]:
        self.count += 1
        drawn = {
            "name": f"zq{self.count:06d}",
            "city": f"c{self.count}",
            "stage": self.random.choice(["lead", "customer", "lost"]),
        }
        return {
            name: value if self.random.random() < 0.9 else None
            for name, value in drawn.items()
            if self.random.random() < 0.35
        }

    def _own(self) -> dict[str, int]:
        self.count += 1
        own = {"owner": 1 + self.count % USERS, "team": 1 + self.count % TEAMS}
        return {name: value for name, value in own.items() if self.random.random() < 0.7}

    def _said(self, identities: Mapping[str, str] | None = None) -> Said:
        random = self.random
        self.count += 1
        amount = random.choice([None, None, 1200, 7, -5])
        known = random.choice(self.sent[-30:]).message_id if self.sent and random.random() < 0.08 else None
        return Said(
            name=random.choice(["order.paid", "page.view"]),
            message_id=known or f"m{self.count}",
            occurred_at=self.now() - timedelta(minutes=random.randrange(600)),
            identities=self._identities() if identities is None else identities,
            traits=self._traits() if random.random() < 0.5 else {},
            amount=amount,
            currency=None if amount is None else "CNY",
            source=random.choice(["", "crm", "shop"]),
        )

    # how

    async def _send(self, batch: list[Said]) -> None:
        items = [
            {
                "name": said.name,
                "message_id": said.message_id,
                "occurred_at": said.occurred_at.isoformat(),
                "identities": said.identities,
                "source": said.source,
                **({"traits": said.traits} if said.traits else {}),
                **({} if said.amount is None else {"amount": f"{said.amount / 100:.2f}", "currency": said.currency}),
            }
            for said in batch
        ]
        status, answer = await self.stand("POST", "/events", {"events": items})
        verdicts = self._happen(lambda: self.model.take(batch))
        assert status == 200, answer
        rejected = [(index, verdict) for index, verdict in enumerate(verdicts) if verdict in {"erased", "conflict"}]
        counts = {
            "accepted": verdicts.count("accepted"),
            "duplicate": verdicts.count("duplicate"),
            "rejected": rejected,
        }
        equal("answer", {**answer, "rejected": [(each["index"], each["code"]) for each in answer["rejected"]]}, counts)
        self.sent += batch

    async def _bring(self, kind: str, maps: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
        header = ",".join(each.partition("=")[0] for each in maps)
        content = "\n".join([header, *(",".join(row["cells"]) for row in rows)]) + "\n"
        file = File(content, kind, [row["said"] for row in rows])
        self.files.append(file)
        await self._import(file)

    async def _import(self, file: File) -> None:
        run = await self.stand.bring_in(file.content, file.kind, EVENT_MAPS if file.kind == "events" else PEOPLE_MAPS)
        number = self.files.index(file)
        rows = [replace(said, message_id=f"f{number}.{place}") for place, said in enumerate(file.rows)]
        verdicts = self._happen(lambda: self.model.take(rows, ("import", run.id)), by=run.id)
        refused = verdicts.count("erased") + verdicts.count("conflict")
        expected = (verdicts.count("accepted"), verdicts.count("duplicate"), refused)
        assert (run.accepted, run.duplicate, run.rejected) == expected, (file.content, verdicts)
        assert run.id not in self.imports
        self.imports.append(run.id)

    def _happen(self, change: Callable[[], Any], *, by: int | None = None, silent: bool = False) -> Any:
        self.model.begin()
        result = change()
        self.model.end(None if by is None else ("import", by), self.now(), silent=silent)
        return result

    async def _follow(self) -> None:
        """Find out the ids of whoever and whatever is new, and which erasures are done."""
        new = await self.stand.fetch("SELECT id FROM customer WHERE id > $1 ORDER BY id", max(self.ids, default=0))
        self.ids += [row[0] for row in new]
        assert len(self.ids) == len(self.model.customers), (len(self.ids), len(self.model.customers))
        merges = await self.stand.fetch("SELECT merge_id, winner_id, loser_id FROM customer_merge ORDER BY id")
        self.merge_ids = [row[0] for row in merges]
        pairs = [(self.ids[each.winner], self.ids[each.loser]) for each in self.model.merges]
        equal("merges", [row[1:] for row in merges], pairs)
        for (number,) in await self.stand.fetch("SELECT id FROM erasure WHERE state = 'done'"):
            if number in self.model.erasing:
                self.model.erasure_done(number)

    # comparing

    async def check(self, sample: int | None = None) -> None:
        """Compare everything; of the API's answers those for `sample` customers."""
        await self._check_tables()
        await check_index(self.stand)
        numbers = list(range(len(self.ids)))
        if sample is not None:
            self.random.shuffle(numbers)
            numbers = numbers[:sample]
        for number in numbers:
            await self._check_customer(number)

    async def check_settled(self) -> None:
        """Compare everything once nothing is under way."""
        await self.stand.settle()
        await self._follow()
        await self.check()
        await check_sound(self.stand)
        assert not self.model.erasing
        [[events]] = await self.stand.fetch("SELECT count(*) FROM event WHERE behaviour")
        equal("events", events, len(self.model.events))

    async def _check_customer(self, number: int) -> None:
        model = self.model
        status, shown = await self.stand("GET", f"/customers/{self.ids[number]}")
        if not model.here(number):
            assert status == 404, shown
            return
        root = model.root(number)
        assert status == 200, shown
        for name in ("created_at", "updated_at"):
            shown.pop(name)
        equal(f"customer {number}", shown, {"id": self.ids[root], **model.shown(root)})
        status, page = await self.stand("GET", f"/customers/{self.ids[number]}/events", limit=1000)
        times = [each["occurred_at"] for each in page["items"]]
        assert times == sorted(times, reverse=True)
        mine = [each for each in page["items"] if each["kind"] == "behaviour"]
        expected = [model.events[each].said for each in model.timeline(root)]
        stored = [(each["name"], datetime.fromisoformat(each["occurred_at"])) for each in mine]
        equal(f"timeline of {number}", stored, [(said.name, said.occurred_at) for said in expected])
        ids = [each["message_id"] for each in mine if each["message_id"][0] == "m"]
        equal(f"timeline of {number}", ids, [each.message_id for each in expected if each.message_id[0] == "m"])
        status, stages = await self.stand("GET", f"/customers/{self.ids[number]}/stages")
        stored = [(each["value"], datetime.fromisoformat(each["valid_from"])) for each in stages["items"]]
        equal(f"stages of {number}", stored, model.customers[root].stages)
        for query in [
            model.word(root, "name").value,
            *(pair[1] for pair in model.identities if model.owner(pair) == root),
        ]:
            if query is not None:
                await self._check_search(query)

    async def _check_search(self, query: str) -> None:
        model = self.model
        found = {model.owner(pair) for pair in model.identities if pair[1] == query}
        if not found:
            found = {
                number
                for number, each in enumerate(model.customers)
                if each.state == "here" and each.merged is None and model.word(number, "name").value == query
            }
        _, page = await self.stand("GET", "/customers", q=query)
        ids = {self.ids[number] for number in found if number is not None}
        equal(f"search {query}", {each["id"] for each in page["items"]}, ids)

    async def _check_tables(self) -> None:
        model, fetch = self.model, self.stand.fetch
        stats = await fetch(
            "SELECT s.customer_id, s.name, s.currency, s.count, s.sum, s.first_at, s.last_at"
            " FROM customer_event_stat AS s JOIN customer AS c ON c.id = s.customer_id WHERE c.erased_at IS NULL"
        )
        figures = {(self.ids[customer], *key): row for (customer, *key), row in model.stats().items()}
        equal("stats", {row[:3]: row[3:] for row in stats}, figures)
        identities = await fetch("SELECT namespace, value, customer_id, home_customer_id FROM identity")
        homes = {pair: each.home for pair, each in model.identities.items()}
        owned = {pair: (self.ids[model.root(home)], self.ids[home]) for pair, home in homes.items()}
        equal("identities", {row[:2]: row[2:] for row in identities}, owned)
        rows = await fetch(
            "SELECT 'task', customer_id, title FROM task UNION ALL SELECT 'pins_pin', customer_id, label FROM pins_pin"
        )
        erased = {self.ids[n] for n, each in enumerate(model.customers) if each.state == "erased"}
        kept = sorted((row.table, self.ids[row.customer], row.label) for row in model.rows if model.here(row.customer))
        equal("rows", sorted(row for row in rows if row[1] not in erased), kept)
