"""Passwords: which ones may be chosen, and how they are hashed and compared."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from browsers import PASSWORD, Browser

from zhike.access import passwords
from zhike.errors import BadRequest, TooMany
from zhike.orm import Database

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


GUESSED = (
    *("", "short", "123456789", "x" * 1001, "half a \ud83d surrogate"),
    *("1234567890", "password12", "P@ssw0rd123", "qwertyuiop", "aaaaaaaaaa", "1qaz2wsx3edc", "iloveyou12"),
    *("li.na@shop.cn", "li.na12345", "李娜 Li Na1", "李娜李娜李娜李娜李娜", "zhike12345"),
)


@pytest.mark.parametrize("password", GUESSED)
def test_what_is_soon_guessed_is_refused(password: str) -> None:
    with pytest.raises(BadRequest) as refused:
        passwords.check(password, login="li.na@shop.cn", name="李娜 Li Na")
    assert refused.value.code == "password"


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "正确的马电池订书钉好",
        "    a b  c d  ",
        "ÄÖÜß€ñçøå¿",
        "x7Kq-Wm3_zT9.bVr5+Hd2=Ls8:Yc4!Gf6?Nj1",
        "only small letters!",
        "7" * 3 + PASSWORD * 50,
    ],
)
def test_any_characters_will_do(password: str) -> None:
    passwords.check(password, login="li.na", name="李娜")


async def test_a_password_is_compared_as_it_was_typed() -> None:
    long = PASSWORD * 20
    stored = await passwords.hashed(long)
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, long)
    for other in (long[:-1], long.upper(), f" {long}", f"{long} ", "", "half a \ud83d surrogate"):
        assert not await passwords.matches(stored, other)


async def test_a_user_that_does_not_exist_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, stored: str, password: str) -> bool:
        compared.append(stored.rpartition("$")[0].rpartition("$")[0])
        return real(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    stored = await passwords.hashed(PASSWORD)
    assert await passwords.matches(stored, PASSWORD)
    assert not await passwords.matches(None, PASSWORD)
    assert len(compared) == 2
    assert compared[0] == compared[1]  # the same algorithm with the same cost


def test_nobodys_hash_is_one() -> None:
    with pytest.raises(VerifyMismatchError):  # and not an invalid one, which would be refused at once
        PasswordHasher().verify(passwords._nobodys(), PASSWORD)


async def test_few_are_compared_at_a_time_and_not_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, gate, full = 0, 0, threading.Event(), threading.Event()
    lock = threading.Lock()

    class Slow:
        def hash(self, password: str) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            if running == passwords.AT_ONCE:
                full.set()
            gate.wait(20)
            with lock:
                running -= 1
            return password

    monkeypatch.setattr(passwords, "_hasher", Slow)
    tasks = [asyncio.create_task(passwords.hashed(PASSWORD)) for _ in range(passwords.AT_ONCE + passwords.MOST_WAITING)]
    assert await asyncio.to_thread(full.wait, 20)
    await asyncio.sleep(0.05)  # the event loop goes on meanwhile; were there more threads, they would begin now
    with pytest.raises(TooMany):
        await passwords.hashed(PASSWORD)
    gate.set()
    assert await asyncio.gather(*tasks) == [PASSWORD] * len(tasks)
    assert most == passwords.AT_ONCE
    assert await passwords.hashed(PASSWORD) == PASSWORD


async def test_the_event_loop_goes_on_while_a_password_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = asyncio.Event()
    loop, gate = asyncio.get_running_loop(), threading.Event()

    class Waiting:
        def hash(self, password: str) -> str:
            loop.call_soon_threadsafe(inside.set)
            assert gate.wait(20)
            return password

    monkeypatch.setattr(passwords, "_hasher", Waiting)
    hashing = asyncio.create_task(passwords.hashed(PASSWORD))
    await inside.wait()  # which this loop could not notice if it were hashing
    gate.set()
    assert await hashing == PASSWORD


async def test_a_hash_with_other_parameters_is_replaced_at_login(browser: Browser, database: Database) -> None:
    query = "SELECT password_hash FROM app_user"
    async with database.connection() as connection:
        await connection.execute("UPDATE app_user SET password_hash = $1", CHEAP.hash(PASSWORD))
        assert (await browser.log_in(password=PASSWORD + "!")).status_code == 401
        before = await connection.fetchval(query)
        assert (await browser.log_in()).status_code == 200
        after = await connection.fetchval(query)
    assert passwords.outdated(before)
    assert not passwords.outdated(after)
    assert await browser.status() == 200
    assert (await browser.log_in()).status_code == 200


def test_judging_a_long_password_takes_no_time() -> None:
    begun = time.process_time()
    passwords.check(PASSWORD, login="li.na", name="n")
    short = time.process_time() - begun
    begun = time.process_time()
    passwords.check(PASSWORD * 50, login="li.na", name="n" * 200)
    assert time.process_time() - begun < 10 + short
