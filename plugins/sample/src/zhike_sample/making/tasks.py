"""Makes the staff's tasks: overdue, due today and soon, waiting in a queue, done and given up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from zhike.contracts import Mode, Recurrence
from zhike.tasks import comments, items, service
from zhike.tasks.comments import CommentText
from zhike.tasks.items import ItemChange
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.work import begin
from zhike_sample.making.care import people
from zhike_sample.words.staff import COMPANY, KEY_ACCOUNTS, SERVICE, STAFF
from zhike_sample.words.work import ACCOUNTS, AGENDA, CARE, LEAD, OFFICE, QUESTION, REMARKS, SALES, STEPS, Kind

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

_MANAGER = {person.team: person.login for person in STAFF if person.role == "manager"}
_HEAD, _BOSS = _MANAGER[COMPANY], next(person.login for person in STAFF if person.role == "admin")
_CANDIDATES = """
SELECT id, name, owner, stage, kind FROM customer
WHERE merged_into IS NULL AND name IS NOT NULL AND owner IS NOT NULL AND stage = ANY($1::text[]) ORDER BY id LIMIT 3000
"""
_SCHEDULE = (
    (-6, "done"),
    (-4, "done"),
    (-3, "open"),
    (-2, "done"),
    (-1, "open"),
    (0, "open"),
    (0, "begun"),
    (2, "open"),
    (5, "open"),
)
"""For each of the staff: days from today until which something is to be done, and what has become of it."""


_UNSAID = """
SELECT id, assignee FROM task
WHERE status = 'open' AND customer_id IS NOT NULL AND key LIKE 'sample:%' AND NOT EXISTS (SELECT FROM task_comment)
ORDER BY id LIMIT 16
"""


_UNASKED = """
SELECT id FROM task AS t WHERE key = 'sample:office:0'
AND NOT EXISTS (SELECT FROM task_comment AS c WHERE c.task_id = t.id)
"""


class Planned(NamedTuple):
    """A task.

    Args:
        new: As it is made.
        made: When.
        by: Login of whoever makes it.
        end: What has become of it.
        result: And what came of that.
    """

    new: NewTask
    made: datetime
    by: str
    end: str
    result: str


async def make(company: DemoContext) -> None:
    """Make the tasks; those that are there already stay as they are."""
    company.say("安排任务 · tasks")
    users, teams = await people(company.platform)
    planned = [*_of_people(company.random, company.now, users, await _candidates(company))]
    planned += _of_office(company.random, company.now, users["admin"])
    planned += _of_lead(company.now, users[_HEAD])
    planned += _of_queue(company.now, teams[SERVICE])
    by_day: dict[tuple[datetime, str], list[Planned]] = defaultdict(list)
    for task in planned:
        by_day[task.made, task.by].append(task)
    for (made, login), tasks in sorted(by_day.items()):
        await _store(company, made, users[login], tasks)
    await _remark(company)
    await _ask(company, users["su.jing"])


async def _remark(company: DemoContext) -> None:
    """Have some of the staff say something about their open tasks, the evening before."""
    platform = company.platform
    async with platform.db.connection() as connection:
        rows = await connection.fetch(_UNSAID)
    for place, (task_id, user_id) in enumerate(rows):
        async with begin(platform, origin=f"user:{user_id}", mode="backfill", now=_morning(company.now, -1)) as work:
            said = CommentText(text=REMARKS[place % len(REMARKS)])
            await comments.add(work, task_id, said, actor=await platform.directory.user(user_id))


async def _ask(company: DemoContext, user_id: int) -> None:
    """Have somebody ask the administrator about a task of theirs, who is told so."""
    platform = company.platform
    async with platform.db.connection() as connection:
        task_id = await connection.fetchval(_UNASKED)
    if task_id is not None:
        async with begin(platform, origin=f"user:{user_id}", now=_morning(company.now, -1)) as work:
            said = CommentText(text=QUESTION)
            await comments.add(work, task_id, said, actor=await platform.directory.user(user_id))


async def _candidates(company: DemoContext) -> dict[tuple[int, str], list[Any]]:
    stages = sorted({stage for kind in (*SALES, *ACCOUNTS, *CARE) for stage in kind.stages})
    found: dict[tuple[int, str], list[Any]] = defaultdict(list)
    async with company.platform.db.connection() as connection:
        for row in await connection.fetch(_CANDIDATES, stages):
            found[row["owner"], row["stage"]].append(row)
    return found


def _of_people(
    chance: Random, now: datetime, users: dict[str, int], customers: dict[tuple[int, str], list[Any]]
) -> Iterator[Planned]:
    """Yield the tasks that sales and service staff have about customers."""
    for person in STAFF:
        kinds = ACCOUNTS if person.team == KEY_ACCOUNTS else CARE if person.team == SERVICE else SALES
        if person.role not in {"advisor", "agent", "service"}:
            continue
        user = users[person.login]
        for place, (days, planned) in enumerate(_SCHEDULE):
            kind = kinds[(place + user) % len(kinds)]
            customer = _one(chance, customers, user if person.team != SERVICE else None, kind.stages)
            if customer is None:
                continue
            new = _task(kind, customer, now, days, assignee=user, key=f"sample:{person.login}:{place}")
            end = "cancelled" if planned == "done" and chance.random() < 0.12 else planned
            if days < 0 and (user + place) % 3:
                end = end.replace("open", "done")  # most are on time
            yield Planned(new, _morning(now, days - chance.randint(3, 7)), _MANAGER[person.team], end, kind.result)


def _one(chance: Random, customers: dict[tuple[int, str], list[Any]], owner: int | None, stages: Sequence[str]) -> Any:
    found = [
        row for (who, stage), rows in customers.items() if stage in stages and owner in {None, who} for row in rows
    ]
    return chance.choice(found) if found else None


def _task(kind: Kind, customer: Any, now: datetime, days: int, **more: Any) -> NewTask:
    title = kind.title.format(name=customer["name"])
    due = _due(now, days, 10 + customer["id"] % 9)
    more["items"] = STEPS if kind.priority in {"high", "urgent"} else ()
    given = {"description": kind.description, "customer_id": customer["id"], "priority": kind.priority}
    return NewTask(title=title, due_at=due, **given, **more)


def _of_office(chance: Random, now: datetime, admin: int) -> Iterator[Planned]:
    """Yield tasks about no customer, which the administrator finds on the home page."""
    for place, (title, description, priority) in enumerate(OFFICE):
        days = (-1, 0, 0, 3, 6)[place]
        again = Recurrence(every="week", interval=2) if place == 1 else None
        due = _due(now, days, 17)
        new = NewTask(
            title=title,
            description=description,
            priority=priority,
            due_at=due,
            assignee=admin,
            recurrence=again,
            items=AGENDA if again else (),
            key=f"sample:office:{place}",
        )
        yield Planned(new, _morning(now, -chance.randint(3, 8)), _HEAD, "begun" if place == 2 else "open", "")


def _of_lead(now: datetime, head: int) -> Iterator[Planned]:
    """Yield what the administrator of the company has given to the head of operations."""
    for place, (title, description, priority) in enumerate(LEAD):
        given: dict[str, Any] = {"description": description, "priority": priority, "assignee": head}
        new = NewTask(title=title, due_at=_due(now, (0, 2, 5)[place], 16), key=f"sample:lead:{place}", **given)
        yield Planned(new, _morning(now, -2 - place), _BOSS, "begun" if place == 2 else "open", "")


def _of_queue(now: datetime, team: int) -> Iterator[Planned]:
    """Yield tasks that wait for whoever in the service team takes them."""
    for place, (title, description, priority) in enumerate(OFFICE[-2:] + OFFICE[:1]):
        new = NewTask(
            title=f"{title}（客服）", description=description, priority=priority, team=team, key=f"sample:queue:{place}"
        )
        yield Planned(new, _morning(now, -2), _MANAGER[SERVICE], "open", "")


def _due(now: datetime, days: int, hour: int) -> datetime:
    """Return an instant of a day; of today one that has not come yet."""
    due = datetime.combine(now.date() + timedelta(days), time(hour, 30), now.tzinfo)
    return due if days else max(due, min(now + timedelta(hours=2), due.replace(hour=23, minute=59)))


def _morning(now: datetime, days: int) -> datetime:
    """Return the morning of a day before today."""
    return datetime.combine(now.date() + timedelta(min(days, -1)), time(9), now.tzinfo)


async def _store(company: DemoContext, made: datetime, user_id: int, tasks: Sequence[Planned]) -> None:
    """Have one of the staff make tasks; whose they are works on them. Who is given one about no customer is told."""
    platform = company.platform
    mode: Mode = "backfill" if tasks[0].new.customer_id else "live"
    async with begin(platform, origin=f"user:{user_id}", mode=mode, now=made) as work:
        actor = await platform.directory.user(user_id)
        stored = await service.create(work, [task.new for task in tasks], actor=actor)
    for task, planned in zip(stored, tasks, strict=True):
        if task.status != "open" or task.assignee is None or planned.end == "open":
            continue
        whose, due = await platform.directory.user(task.assignee), task.due_at or made
        begun = planned.end == "begun"
        at = _morning(company.now, -1) if begun else due - timedelta(hours=2)
        async with begin(platform, origin=f"user:{task.assignee}", mode="backfill", now=at) as work:
            if begun:
                await service.change(work, [task.id], TaskChange(status="in_progress"), actor=whose)
                for item in (await items.list_(platform.db, whose, task.id)).items[:2] if whose else ():
                    await items.change(work, task.id, item.id, ItemChange(done=True), actor=whose)
            elif planned.end == "done":
                await service.complete(work, [task.id], planned.result, actor=whose)
            else:
                await service.cancel(work, [task.id], "客户暂不需要", actor=whose)
