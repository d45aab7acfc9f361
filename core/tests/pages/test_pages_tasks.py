"""The pages of tasks: list, board, calendar, forms, the page of one, and the panels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from zhike.access import own_roles
from zhike.access.actor import Actor

if TYPE_CHECKING:
    from conftest import As
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visitor, Visits


@pytest.fixture
async def customer(record: Record) -> int:
    """A customer with a name that is no HTML."""
    [event] = await record(
        {"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"name": "<script>王芳"}}
    )
    return event.customer_id


def listed(page: httpx.Response) -> set[int]:
    return {int(number) for number in re.findall(r'href="/tasks/(\d+)"', page.text)}


async def make(visitor: Visitor, **typed: Any) -> int:
    """Make a task by the form and return its id."""
    made = await visitor.post("/tasks/new", data={"title": "Call back", **typed})
    assert made.status_code == 303, made.text
    return int(made.headers["location"].rpartition("/")[2])


async def test_a_task_is_made_by_the_form(visit: Visits, customer: int) -> None:
    agent = await visit("agent")
    form = await agent.get(f"/tasks/new?customer_id={customer}")
    assert f'value="{customer}" selected>&lt;script&gt;王芳</option>' in form.text
    assert f'value="{agent.user_id}" selected>agent1</option>' in form.text
    field = await agent.part("/tasks/due?after=P1D")
    assert field.text.strip().startswith('<div id="task-due">')
    assert re.search(r'name="due_at" value="\d{4}-\d\d-\d\dT\d\d:\d\d"', field.text)
    task = await make(
        agent,
        title="<script>Call",
        customer=customer,
        assignee=agent.user_id,
        due_at="2031-03-05T09:30",
        reminders=["PT30M", "P1D"],
        items="first\n\n second \n",
        every="month",
        interval="2",
        nth="-1",
        weekdays="5",
        closed="previous",
        until="2033-01-01",
    )
    page = await agent.get(f"/tasks/{task}")
    assert "&lt;script&gt;Call" in page.text
    assert "<script>Call" not in page.text
    assert "Every 2 months, The last Friday, moved to the working day before, until 2033-01-01" in page.text
    assert 'datetime="2031-03-05T01:30:00+00:00"' in page.text
    assert "30 minutes before · A day before" in page.text
    assert re.findall(r'form-check-label">(\w+)<', page.text) == ["first", "second"]
    assert f'href="/customers/{customer}">&lt;script&gt;王芳</a>' in page.text


WRONG: list[tuple[dict[str, str], int, str]] = [
    ({"title": ""}, 422, "This is needed"),
    ({"title": "x" * 201}, 422, "At most 200 characters"),
    ({"due_at": "tomorrow"}, 422, "A date and time is expected"),
    ({"every": "week"}, 422, "a task without a due time cannot come again"),
    ({"assignee": "99"}, 422, "there is no active user 99"),
    ({"assignee": "9" * 30}, 422, "At most"),
    ({"customer": "99"}, 422, "There is no customer with the id 99"),
    ({"items": "x" * 501}, 422, "At most 100 lines"),
    ({"reminders": "P1D"}, 422, "the task has no due time"),
]


async def test_what_does_not_fit_stays_typed(visit: Visits) -> None:
    agent = await visit("agent")
    for typed, status, said in WRONG:
        answer = await agent.post("/tasks/new", data={"title": "Call back", "description": "all of it", **typed})
        assert (answer.status_code, said in answer.text) == (status, True), typed
        assert re.findall(r'id="f-(\w+)-error"', answer.text) == [*typed]
        assert "all of it</textarea>" in answer.text


async def test_lists_are_one_s_own_the_team_s_or_all(visit: Visits, customer: int) -> None:
    admin, manager = await visit("admin"), await visit("manager")
    own = await make(admin, assignee=admin.user_id, priority="urgent", due_at="2020-01-01T10:00")
    other = await make(admin, title="Send 100% wool", assignee=manager.user_id, customer=customer)
    done = await make(admin, assignee=admin.user_id)
    await admin.post(f"/tasks/{done}/status", data={"status": "done"})
    for query, found in (
        ("", {own}),
        ("?whose=all", {own, other}),
        ("?whose=team", set()),
        ("?whose=all&status=all", {own, other, done}),
        ("?status=done", {done}),
        ("?due=overdue", {own}),
        ("?due=today&whose=all", set()),
        ("?priority=urgent", {own}),
        (f"?whose=all&assignee={manager.user_id}", {other}),
        (f"?whose=all&customer={customer}", {other}),
        ("?whose=all&q=100%25+W", {other}),
        (f"?whose=all&q={other}", {other}),
    ):
        assert listed(await admin.get(f"/tasks{query}")) == found, query
    for sort, first in (("created_at", own), ("-created_at", other), ("-priority", other), ("due_at", own)):
        page = await admin.part(f"/tasks?whose=all&sort={sort}")
        assert page.text.strip().startswith('<section class="card zk-table" id="tasks"')
        assert re.findall(r'href="/tasks/(\d+)"', page.text)[0] == str(first), sort
    assert "&lt;script&gt;王芳" in (await admin.get("/tasks?whose=all")).text


async def test_a_bad_address_says_what_is_wrong(visit: Visits) -> None:
    admin = await visit("admin")
    for path, status in (
        ("/tasks?status=gone", 400),
        ("/tasks?q=%00", 400),
        ("/tasks?assignee=x", 400),
        ("/tasks?cursor=elsewhere", 400),
        ("/tasks?utm_source=mail", 200),
        ("/tasks/calendar?on=2026-02-30", 400),
        ("/tasks/calendar?on=0001-01-01", 400),
        ("/tasks/99", 404),
        ("/tasks/x", 404),
        ("/tasks/due?after=P5000D", 400),
    ):
        assert (await admin.get(path)).status_code == status, path


async def test_a_view_of_tasks_is_saved(visit: Visits) -> None:
    admin = await visit("admin")
    body = {"page": "tasks", "address": "page=tasks&whose=all&due=today", "name": "Today", "shared": "me"}
    saved = await admin.post("/views/new", data=body)
    assert saved.headers["location"] == "/tasks?whose=all&due=today"
    page = await admin.get(saved.headers["location"])
    assert re.search(r'<a href="/tasks\?[^"]+" aria-current="page">Today</a>', page.text)


async def test_a_card_is_moved_on_the_board(visit: Visits, customer: int) -> None:
    admin, viewer = await visit("admin"), await visit("viewer")
    task = await make(admin, customer=customer, items="a\nb")
    board = await admin.get("/tasks/board?whose=all")
    assert re.findall(r'data-column="(\w+)"', board.text) == ["open", "in_progress", "done"]
    assert "0/2" in board.text
    moved = await admin.post(
        "/tasks/board/move?whose=all",
        data={"item": str(task), "column": "done"},
        headers={"hx-request-type": "partial"},
    )
    assert moved.text.strip().startswith('<div class="zk-stack" id="board">')
    assert moved.text.index(f'data-item="{task}"') > moved.text.index('data-column="done"')
    assert "is at: Done" in moved.headers["hx-trigger"]
    for wrong in ({"item": str(task), "column": "cancelled"}, {"item": "x", "column": "open"}):
        assert (await admin.post("/tasks/board/move", data=wrong)).status_code == 400
    seen = await viewer.get("/tasks/board?whose=all")
    assert f'data-item="{task}"' in seen.text
    assert 'data-widget="board"' not in seen.text
    refused = await viewer.post("/tasks/board/move", data={"item": str(task), "column": "open"})
    assert refused.status_code == 403


async def test_the_calendar_shows_tasks_on_the_reader_s_days_with_holidays(visit: Visits) -> None:
    admin = await visit("admin", language="zh")
    task = await make(admin, assignee=admin.user_id, due_at="2026-10-01T00:30")
    page = await admin.get("/tasks/calendar?on=2026-10-15")
    days = dict(
        re.findall(r'"zk-calendar-day" datetime="([\d-]+)">(.*?)</li>\s*(?=<li class|</ol>)', page.text, re.DOTALL)
    )
    assert f"/tasks/{task}" in days["2026-10-01"]
    assert "国庆节" in days["2026-10-01"]
    assert "补班" in days["2026-10-10"]
    assert "2026-09-28" in days
    week = await admin.get("/tasks/calendar?span=week&on=2026-10-01")
    assert len(re.findall(r'class="zk-calendar-day"', week.text)) == 7
    assert "on=2026-09-27" in week.text
    assert ">2026年10月</h2>" in page.text
    english = await visit("agent")
    assert ">October 2026</h2>" in (await english.get("/tasks/calendar?on=2026-10-15")).text


async def test_a_task_is_begun_done_with_a_result_and_opened_again(visit: Visits) -> None:
    agent = await visit("agent")
    task = await make(agent, assignee=agent.user_id, due_at="2031-01-01T10:00", every="week")
    await agent.post(f"/tasks/{task}/status", data={"status": "in_progress"})
    assert "In progress" in (await agent.get(f"/tasks/{task}")).text
    asked = await agent.get(f"/tasks/{task}/end?status=done")
    assert "It comes again (Every week): the next one is made now." in asked.text
    done = await agent.post(f"/tasks/{task}/status", data={"status": "done", "result": "they <b>paid</b>"})
    assert done.headers["location"] == f"/tasks/{task}"
    page = await agent.get(f"/tasks/{task}")
    assert "they &lt;b&gt;paid&lt;/b&gt;" in page.text
    assert listed(await agent.get("/tasks")) - {task} != set()
    await agent.post(f"/tasks/{task}/status", data={"status": "open"})
    assert f"/tasks/{task}/end?status=done" in (await agent.get(f"/tasks/{task}")).text
    history = await agent.part(f"/tasks/{task}/history")
    said = re.findall(r'zk-timeline-title">([^<]+)<', history.text)
    assert said == ["To do", "Done", "In progress", "Made"]
    assert (await agent.post(f"/tasks/{task}/status", data={"status": "gone"})).status_code == 422


async def test_two_who_change_one_task_lose_nothing(visit: Visits) -> None:
    first, second = await visit("admin"), await visit("manager")
    task = await make(first, title="Old", assignee=first.user_id, due_at="2031-01-01T10:00", reminders="P3D")
    form = await first.get(f"/tasks/{task}/edit")
    version = re.findall(r'name="version" value="(\d+)"', form.text)[0]
    typed = {"version": version, "title": "Mine", "due_at": "2031-01-01T10:00", "description": "<i>mine</i>"}
    await second.post(f"/tasks/{task}/edit", data={**typed, "title": "Theirs", "priority": "high", "description": ""})
    overtaken = await first.post(f"/tasks/{task}/edit", data=typed)
    assert overtaken.status_code == 409
    assert "Theirs" in overtaken.text
    assert 'value="Mine"' in overtaken.text
    assert "&lt;i&gt;mine&lt;/i&gt;</textarea>" in overtaken.text
    now = re.findall(r'name="version" value="(\d+)"', overtaken.text)[0]
    assert int(now) > int(version)
    wrong = await first.post(f"/tasks/{task}/edit", data={**typed, "version": now, "title": ""})
    assert wrong.status_code == 422
    saved = await first.post(f"/tasks/{task}/edit", data={**typed, "version": now})
    assert saved.headers["location"] == f"/tasks/{task}"
    page = await first.get(f"/tasks/{task}")
    assert "&lt;i&gt;mine&lt;/i&gt;" in page.text
    assert "Remind" not in page.text.partition('id="task-history"')[0]


async def test_a_checklist_is_worked_on_in_place(visit: Visits) -> None:
    agent = await visit("agent")
    task = await make(agent, assignee=agent.user_id, items="one\ntwo\nthree")
    page = await agent.get(f"/tasks/{task}")
    ids = re.findall(r'id="item-(\d+)"', page.text)

    async def post(path: str, **data: str) -> httpx.Response:
        return await agent.post(f"/tasks/{task}/items{path}", data=data, headers={"hx-request-type": "partial"})

    ticked = await post(f"/{ids[1]}/tick", done="1")
    assert "1/3" in ticked.text
    assert "0/3" in (await post(f"/{ids[1]}/tick")).text
    moved = await post("/order", order=f"{ids[2]},{ids[0]},{ids[1]}")
    assert re.findall(r'form-check-label">(\w+)<', moved.text) == ["three", "one", "two"]
    assert (await post("/order", order=f"{ids[0]},{ids[1]}")).status_code == 409
    added = await post("", text=" <b>four ")
    assert "&lt;b&gt;four</span>" in added.text
    empty = await post("", text="  ")
    assert (empty.status_code, "This is needed" in empty.text) == (422, True)
    long = await post("", text="x" * 501)
    assert (long.status_code, "x" * 501 in long.text) == (422, True)
    removed = await post(f"/{ids[0]}/remove")
    assert re.findall(r'id="item-(\d+)"', removed.text)[:2] == [ids[2], ids[1]]
    assert (await post("/999/tick", done="1")).status_code == 404


async def test_colleagues_are_mentioned_in_comments(visit: Visits) -> None:
    admin, manager = await visit("admin"), await visit("manager", name="李雷")
    task = await make(admin, assignee=admin.user_id)
    offered = await admin.get(f"/tasks/{task}/comments/colleagues")
    assert 'data-insert="@manager2 "' in offered.text
    said = await admin.post(f"/tasks/{task}/comments", data={"text": "@manager2 look: <b>"})
    assert '<span class="zk-mention">@manager2</span> look: &lt;b&gt;' in said.text
    empty = await admin.post(f"/tasks/{task}/comments", data={"text": ""})
    assert (empty.status_code, "This is needed" in empty.text) == (422, True)
    [comment] = re.findall(r"/comments/(\d+)/edit", said.text)
    theirs = await manager.get(f"/tasks/{task}/comments")
    assert "@manager2" in theirs.text
    assert f"/comments/{comment}/edit" not in theirs.text
    refused = await manager.post(f"/tasks/{task}/comments/{comment}/edit", data={"text": "not mine"})
    assert refused.status_code == 403
    assert "@manager2 look" in (await admin.get(f"/tasks/{task}/comments/{comment}/edit")).text
    changed = await admin.post(f"/tasks/{task}/comments/{comment}/edit", data={"text": "never mind"})
    assert "never mind" in changed.text
    assert "close-dialog" in changed.headers["hx-trigger"]
    gone = await admin.post(f"/tasks/{task}/comments/{comment}/remove")
    assert "never mind" not in gone.text


async def test_a_mention_names_the_task_only_to_those_who_see_it(visit: Visits, platform: Platform) -> None:
    role = own_roles.NewRole(name="desk", label="desk", permissions={"tasks.read": "own"})
    await own_roles.create(platform.db, Actor.command("test"), role, platform.directory)
    admin, manager, desk = await visit("admin"), await visit("manager"), await visit("desk")
    task = await make(admin, title="Call Ms Wu", assignee=admin.user_id)
    await admin.post(f"/tasks/{task}/comments", data={"text": "@manager2 @desk3 look"})
    assert "mentioned in a comment on a task: Call Ms Wu" in (await manager.get("/notices")).text
    told = (await desk.get("/notices")).text
    assert f"mentioned in a comment on task {task}<" in told
    assert "Ms Wu" not in told


async def test_of_very_many_comments_the_latest_are_shown(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin")
    task = await make(admin)
    first = await admin.post(f"/tasks/{task}/comments", data={"text": "the very first"})
    assert "The latest 200" not in first.text
    async with platform.db.transaction() as connection:
        await connection.execute(
            "INSERT INTO task_comment (task_id, customer_id, author, origin, text, mentions, created_at)"
            " SELECT task_id, customer_id, author, origin, 'and ' || n, mentions, created_at"
            " FROM task_comment, generate_series(1, 199) AS n"
        )
    said = await admin.post(f"/tasks/{task}/comments", data={"text": "the very last"})
    assert ("the very last" in said.text, "the very first" in said.text) == (True, False)
    assert "The latest 200" in said.text


async def test_panels_show_what_is_due_and_tick_it_off(visit: Visits, customer: int) -> None:
    agent = await visit("agent")
    task = await make(agent, assignee=agent.user_id, customer=customer, due_at="2020-01-01T10:00")
    due = await agent.part("/start/panels/pages.tasks_due")
    assert re.findall(r'zk-tile-value">(\d+)<', due.text) == ["1", "0", "0", "0"]
    mine = await agent.part("/start/panels/pages.tasks_mine")
    assert listed(mine) == {task}
    assert "&lt;script&gt;王芳" in mine.text
    theirs = await agent.part(f"/customers/{customer}/panels/pages.tasks_customer")
    assert listed(theirs) == {task}
    assert f'href="/tasks/new?customer_id={customer}"' in theirs.text
    ticked = await agent.post(f"/tasks/{task}/tick", data={"done": "1", "customers": "1"})
    assert "zk-ended" in ticked.text
    assert listed(await agent.part("/start/panels/pages.tasks_mine")) == set()
    back = await agent.post(f"/tasks/{task}/tick", data={"customers": "1"})
    assert "zk-ended" not in back.text


async def test_scopes_hold_and_what_one_may_not_is_not_shown(visit: Visits, acting: As, customer: int) -> None:
    await acting({"tasks.read": "own", "tasks.write": "own", "customers.read": "own"})
    admin, agent, viewer = await visit("admin"), await visit("role-0"), await visit("viewer")
    task = await make(admin, title="Secret", assignee=admin.user_id)
    assert (await agent.get(f"/tasks/{task}")).status_code == 404
    assert listed(await agent.get("/tasks?whose=all")) == set()
    assert (await agent.post(f"/tasks/{task}/tick", data={"done": "1"})).status_code == 404
    assert (await agent.get("/tasks/new?customer_id=" + str(customer))).text.count("王芳") == 0
    page = await viewer.get(f"/tasks/{task}")
    assert "Secret" in page.text
    for hidden in ("/edit", "/end?", "/status", 'id="new-item"', 'id="new-comment"', "/tasks/new"):
        assert hidden not in page.text, hidden
    for path in ("/tasks/new", f"/tasks/{task}/edit", f"/tasks/{task}/end"):
        assert (await viewer.get(path)).status_code == 403
    for path in ("tick", "status", "edit", "items", "comments"):
        assert (await viewer.post(f"/tasks/{task}/{path}", data={"status": "done"})).status_code == 403


async def test_a_task_of_somebody_out_of_sight_is_nowhere_and_one_s_own_names_nobody(
    visit: Visits, acting: As, customer: int
) -> None:
    for number, scope in enumerate(("own", "team", "all")):
        await acting({"tasks.read": scope, "tasks.write": scope, "customers.read": "own"})
        admin, agent = await visit("admin"), await visit(f"role-{number}")
        due = {"customer": customer, "due_at": "2031-03-05T09:30", "priority": "urgent"}
        theirs = await make(admin, title="Zebra of others", assignee=admin.user_id, **due)
        taken = await make(admin, title="Zebra unassigned", **due)
        own = await make(admin, title="Zebra of mine", assignee=agent.user_id, **due)
        for path in (
            *("/tasks?whose=all", "/tasks?whose=all&q=Zebra", f"/tasks?whose=all&q={theirs}", "/tasks?whose=team"),
            *(f"/tasks?whose=all&customer={customer}", "/tasks?whose=all&sort=priority", "/tasks/board?whose=all"),
            *("/tasks/calendar?whose=all&month=2031-03", "/search?q=Zebra", f"/search?q={theirs}", "/notices"),
            *("/search/suggest?q=Zebra", f"/search/suggest?q={theirs}", "/start/panels/pages.tasks_mine"),
            *("/notices/bell", "/", "/start/panels/pages.tasks_due", f"/tasks/{own}"),
        ):
            page = await agent.get(path)
            assert page.status_code == 200, path
            assert not {theirs, taken} & listed(page), (scope, path)
            assert "Zebra of others" not in page.text, (scope, path)
            assert "Zebra unassigned" not in page.text, (scope, path)
            assert "王芳" not in page.text, (scope, path)
        for path in ("/tasks?whose=all&q=Zebra", "/tasks/board?whose=all", "/search?q=Zebra"):
            assert listed(await agent.get(path)) == {own}, (scope, path)
        board = await agent.get("/tasks/board?whose=all")
        assert re.findall(r'<h2 id=.*zk-count">(\d+)<', board.text) == ["1", "0", "0"], scope


async def test_pages_take_few_statements(visit: Visits, customer: int, query_counter: QueryCounter) -> None:
    admin = await visit("admin")
    for number in range(3):
        task = await make(admin, title=f"Task {number}", customer=customer, items="a\nb", due_at="2026-10-01T00:30")
        await admin.post(f"/tasks/{task}/comments", data={"text": "hello"})
    for path in ("/tasks?whose=all", "/tasks/board?whose=all", "/tasks/calendar?whose=all", f"/tasks/{task}"):
        await admin.get(path)
        query_counter.reset()
        assert (await admin.get(path)).status_code == 200
        assert 0 < query_counter.count <= 15, path
