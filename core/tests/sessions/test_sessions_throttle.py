"""Guessing passwords: how long guessers wait, and that nobody is locked out by others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from browsers import Browser, make_user

from zhike._host.plugins.load import load
from zhike._host.web.app import Application, create_app
from zhike.access.throttle import subscriber
from zhike.orm import Database
from zhike.settings import Settings
from zhike.testing.plugin import FrozenNow

WRONG = "nine yellow ladders"


@pytest.fixture
async def processes(settings: Settings, database_url: str) -> AsyncIterator[list[Application]]:
    """The application of two processes, each with connections of its own."""
    async with AsyncExitStack() as stack:
        applications = []
        for _ in range(2):
            db = await Database.open(database_url)
            stack.push_async_callback(db.close)
            application = create_app(settings, database_url)
            platform = await load(settings, db, threads=False)
            await stack.enter_async_context(application.services.serving(platform))
            applications.append(application)
        yield applications


async def fail(browser: Browser, login: str = "li.na") -> tuple[int, int]:
    """Try a wrong password; return the status and the seconds to wait."""
    answer = await browser.log_in(login, WRONG)
    if answer.status_code == 429:
        assert answer.json()["code"] == "throttled"
    return answer.status_code, int(answer.headers.get("retry-after", 0))


async def until_throttled(browser: Browser, login: str = "li.na") -> int:
    """Try wrong passwords until one has to wait; return how many were compared."""
    for count in range(100):
        if (await fail(browser, login))[0] == 429:
            return count
    raise AssertionError("never")


async def test_guessers_wait_ever_longer(browser: Browser, frozen_now: FrozenNow) -> None:
    assert await until_throttled(browser) == 6
    waits = []
    for _ in range(12):
        status, wait = await fail(browser)
        assert status == 429
        waits.append(wait)
        frozen_now.advance(seconds=wait - 0.5)
        assert (await fail(browser))[0] == 429  # and asking does not make it longer
        frozen_now.advance(seconds=0.5)
        assert (await fail(browser))[0] == 401
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_not_even_the_right_password_shortens_the_wait(browser: Browser, frozen_now: FrozenNow) -> None:
    await until_throttled(browser)
    assert (await browser.log_in()).status_code == 429
    frozen_now.advance(seconds=1)
    assert (await browser.log_in()).status_code == 200
    assert await until_throttled(browser) == 6  # it has emptied the bucket


async def test_another_spelling_of_the_login_is_no_way_around_the_wait(browser: Browser, frozen_now: FrozenNow) -> None:
    await until_throttled(browser)
    for login in (" LI.NA ", "li.na\u3000", "li\0.na", "\0Li.Na"):
        assert (await fail(browser, login))[0] == 429, login


async def test_two_processes_count_together(
    processes: list[Application], database: Database, frozen_now: FrozenNow
) -> None:
    await make_user(database)
    browsers = [Browser(application) for application in processes]
    statuses = [(await fail(browsers[number % 2]))[0] for number in range(8)]
    assert statuses == [401] * 6 + [429] * 2


async def test_guesses_at_the_same_time_are_counted_too(
    processes: list[Application], database: Database, frozen_now: FrozenNow
) -> None:
    await make_user(database)
    browsers = [Browser(application, f"198.51.100.{number}") for number in range(10) for application in processes]
    answers = await asyncio.gather(*(fail(browser) for browser in browsers))
    assert sorted(status for status, _ in answers) == [401] * 6 + [429] * 14


async def test_a_login_that_read_the_clock_before_the_last_one_was_counted_need_not_wait(
    processes: list[Application], database: Database, frozen_now: FrozenNow
) -> None:
    await make_user(database)
    for browser in [Browser(application) for application in processes * 2]:  # the first at an address never seen
        assert (await browser.log_in()).status_code == 200
        frozen_now.advance(seconds=-0.2)


async def test_a_guesser_cannot_end_the_wait_by_an_older_clock(browser: Browser, frozen_now: FrozenNow) -> None:
    assert await until_throttled(browser) == 6
    frozen_now.advance(seconds=-0.2)
    assert await fail(browser) == (429, 2)


async def test_a_stranger_cannot_keep_a_user_out(browser: Browser, app: Application, frozen_now: FrozenNow) -> None:
    await browser.log_in()
    strangers = [Browser(app, f"198.51.100.{number}") for number in range(30)]
    for stranger in strangers:
        await fail(stranger)
    assert (await fail(strangers[0]))[0] == 429
    assert (await Browser(app, "192.0.2.1").log_in()).status_code == 429  # the user, at a place never seen
    assert (await browser.log_in()).status_code == 200  # and at their own
    frozen_now.advance(days=1, seconds=1)
    assert (await Browser(app, "192.0.2.1").log_in()).status_code == 200


async def test_a_known_address_is_no_place_to_guess_either(browser: Browser, frozen_now: FrozenNow) -> None:
    await browser.log_in()
    assert await until_throttled(browser) == 6


async def test_an_address_that_tries_many_logins_waits(
    browser: Browser, app: Application, frozen_now: FrozenNow
) -> None:
    stranger = Browser(app, "198.51.100.9")
    for number in range(51):
        assert (await fail(stranger, f"user{number}"))[0] == 401
    assert (await fail(stranger, "another"))[0] == 429
    assert (await fail(Browser(app, "198.51.100.10"), "another"))[0] == 401


async def test_many_people_behind_one_address_log_in(browser: Browser, database: Database, app: Application) -> None:
    for number in range(12):
        await make_user(database, f"user{number}")
    for _ in range(5):
        for number in range(12):
            assert (await Browser(app).log_in(f"user{number}")).status_code == 200


async def test_unknown_logins_are_answered_and_counted_alike(browser: Browser, frozen_now: FrozenNow) -> None:
    known, unknown = await browser.log_in("li.na", WRONG), await browser.log_in("nobody", WRONG)
    assert known.status_code == unknown.status_code == 401
    assert known.json() == unknown.json()
    assert await until_throttled(browser, "nobody") == await until_throttled(browser) == 5


async def test_failures_are_in_the_audit_trail_without_what_was_typed(
    browser: Browser, database: Database, frozen_now: FrozenNow
) -> None:
    await browser.log_in("geheim-not-a-login", WRONG)
    await until_throttled(browser)
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT actor, action, object, details::text FROM audit WHERE action LIKE 'session%' ORDER BY id"
        )
    assert [tuple(row)[:3] for row in rows] == [
        ("system", "session.refuse", "login:g***"),
        *[("system", "session.refuse", "user:1")] * 5,
        ("system", "session.throttle", "user:1"),
    ]
    assert msgspec.json.decode(rows[-1]["details"]) == {"address": "203.0.113.7", "wait": 1}
    assert not any("geheim" in row["details"] or WRONG in row["details"] for row in rows)


HOPS = [
    ((), "10.0.0.1", "198.51.100.1", "10.0.0.1"),
    (("10.0.0.0/8",), "10.0.0.1", "198.51.100.1", "198.51.100.1"),
    (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
    (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
    (("10.0.0.0/8",), "192.0.2.9", "198.51.100.1", "192.0.2.9"),
    (("10.0.0.0/8",), "10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
    (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
    (("10.0.0.0/8",), "::ffff:10.0.0.1", "2001:DB8::1", "2001:db8::1"),
]


async def test_only_proxies_of_ours_say_where_a_client_is(
    browser: Browser, settings: Settings, app: Application, database: Database
) -> None:
    for proxies, peer, forwarded, counted in HOPS:
        app.services.settings = msgspec.structs.replace(settings, trusted_proxies=proxies)
        await Browser(app, peer).log_in(headers={"x-forwarded-for": forwarded})
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT address FROM session ORDER BY id DESC LIMIT 1") == counted


def test_one_subscriber_of_ipv6_is_one_guesser() -> None:
    assert subscriber("2001:db8:1:2:3:4:5:6") == subscriber("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert subscriber("2001:db8:1:3::1") != subscriber("2001:db8:1:2::1")
    assert subscriber("192.0.2.1") == "192.0.2.1"
