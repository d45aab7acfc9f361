"""Pages of lists: the links lead forth, and back over the same pages, however a list is narrowed and sorted."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from zhike.access import audit
from zhike.access.actor import Actor

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

ROWS = 117
SEED = (
    # Names and times that are the same, and those that are not there.
    """
    UPDATE customer SET name = CASE WHEN id % 3 > 0 THEN '王芳' || id % 7 END,
      stage = CASE WHEN id % 9 = 0 THEN 'won' ELSE 'lead' END
    """,
    "UPDATE event SET occurred_at = '2026-03-01T08:00:00Z'::timestamptz + (id % 3) * interval '1 hour'",
    """
    INSERT INTO task (title, customer_id, assignee, due_at, priority, origin, created_at)
    SELECT 'Call ' || n, 1, 1,
           CASE WHEN n % 3 > 0 THEN '2027-01-01T00:00:00Z'::timestamptz + n % 7 * interval '1 day' END,
           n % 2 + 1, 'system', '2026-03-01T08:00:00Z' FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO app_user (login, name, role, password_hash)
    SELECT 'row' || n, 'Row ' || n, 'viewer', '' FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO api_token (name, hash, role)
    SELECT 'row.n' || n, n::text::bytea, 'viewer' FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO progress (kind, label, started_by, created_at, updated_at)
    SELECT 'row', jsonb_build_object('msgid', 'row.n' || n, 'params', '{}'::jsonb), 'system', now(), now()
    FROM generate_series(1, $1::int) n
    """,
    "INSERT INTO job (name, due_at) SELECT 'row.n' || n, '2099-01-01T00:00:00Z' FROM generate_series(1, $1::int) n",
    """
    INSERT INTO schedule (name, job, cron, zone, next_at, plugin)
    SELECT 'row.n' || n, 'row', '0 0 * * *', 'UTC', '2099-01-01T00:00:00Z', 'row' FROM generate_series(1, 2 * $1::int) n
    """,
    "INSERT INTO event_type (name, behaviour) SELECT 'row.n' || n, true FROM generate_series(1, 2 * $1::int) n",
    """
    INSERT INTO dead_letter (consumer, batch_id, event_id, message_id, event_name, customer_id, shard, error, offered)
    SELECT 'row', n, n, 'row' || n, 'row.n' || n, 1, 1, 'row', 1 FROM generate_series(1, $1::int) n
    """,
)
CUSTOMER, TASK, EVENT, NAME = (
    r'href="(/customers/\d+)"',
    r'href="(/tasks/\d+)"',
    r'data-row="(\w+)"',
    r"\b(row\.n\d+)\b",
)
LISTS = {
    "/customers": CUSTOMER,
    "/customers?sort=name": CUSTOMER,
    "/customers?sort=-name&stage=lead": CUSTOMER,
    "/customers?sort=stage&columns=stage&columns=name": CUSTOMER,
    "/customers?q=crowd": CUSTOMER,
    "/events": EVENT,
    "/events?kind=behaviour&names=page.viewed": EVENT,
    "/events/types": NAME,
    "/tasks?whose=all": TASK,
    "/tasks?whose=all&sort=-due_at&q=Call": TASK,
    "/tasks?whose=all&sort=priority&status=open": TASK,
    "/users": r'href="(/users/\d+)"',
    "/users?q=row": r'href="(/users/\d+)"',
    "/tokens": NAME,
    "/audit?object=row": NAME,
    "/progress?whose=all": NAME,
    "/jobs?state=waiting": NAME,
    "/jobs/schedules": NAME,
    "/deadletters?consumer=row": NAME,
}


@pytest.fixture
async def crowd(platform: Platform, record: Record) -> None:
    """Three pages of everything, and little that tells its rows apart."""
    await record(
        *(
            {
                "name": "page.viewed",
                "occurred_at": "2026-03-01T08:00:00Z",
                "identities": {"external_id": f"crowd {n}"},
                "traits": {"name": f"crowd {n}"},
            }
            for n in range(ROWS)
        )
    )
    async with platform.db.transaction() as connection:
        for statement in SEED:
            await connection.execute(statement, *([ROWS] if "$1" in statement else []))
        for n in range(ROWS):
            await audit.record(connection, Actor.command("test"), f"row.n{n}", "row", {})


async def test_the_way_back_is_the_way_forth(visit: Visits, crowd: None) -> None:
    admin = await visit("admin")
    for path, row in LISTS.items():
        forth = await admin.walk(path, row)
        assert len(forth) >= 3, path
        named = [name for _, rows in forth for name in rows]
        assert len(named) == len(set(named)) >= ROWS * 0.8, path
        back = await admin.walk(forth[-1][0], row, "Previous")
        assert [rows for _, rows in back] == [rows for _, rows in reversed(forth)], path
        asked = [parse_qs(address.partition("?")[2]) for address in (back[-1][0], forth[1][0])]
        assert asked[0] == {name: asked[1][name] for name in asked[1].keys() - {"cursor", "past"}}, path


async def test_a_way_back_that_nobody_knows_leads_to_the_first_page(visit: Visits, crowd: None) -> None:
    admin = await visit("admin")
    forth = await admin.walk("/customers?sort=name", CUSTOMER)
    cursor = quote(parse_qs(forth[2][0])["cursor"][0])
    alone = await admin.walk(f"/customers?sort=name&cursor={cursor}", CUSTOMER, "First page")
    assert alone == [(f"/customers?sort=name&cursor={cursor}", forth[2][1]), ("/customers?sort=name", forth[0][1])]
    assert "Previous" not in (await admin.get(alone[0][0])).text
    sorting = (await admin.get(forth[2][0])).text  # which begins anew, as do filters
    assert re.findall(r'href="(/customers\?sort=-name[^"]*)"', sorting) == ["/customers?sort=-name"]
    for past in ("x", "~nobodys", "~" * 7_000, '~"><script>'):
        answer = await admin.get(f"{alone[0][0]}&past={quote(past)}")
        assert (answer.status_code, "<script>" in answer.text.replace("<script type", "")) == (200, False)


async def test_an_address_carries_as_much_of_the_way_as_fits(visit: Visits, crowd: None) -> None:
    admin, page = await visit("admin"), "~" + "x" * 299
    for spaces, given, kept in ((0, 20, 20), (4_500, 10, 7), (7_200, 2, 0)):
        condition = '{"type":"all","of":[]}' + " " * spaces
        first = await admin.get(f"/customers?condition={quote_plus(condition)}&past={page * given}")
        [following] = re.findall(r'href="([^"]*cursor=[^"]*)"[^>]*>Next', first.text)
        assert parse_qs(html.unescape(following).partition("?")[2])["past"] == [page * kept + "~"], spaces
        assert (await admin.get(html.unescape(following))).status_code == 200
