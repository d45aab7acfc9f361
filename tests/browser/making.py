"""Makes what a journey begins with, through the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest


def sent(answer: httpx.Response) -> Any:
    """Return what was answered, unless the request was refused."""
    assert answer.status_code < 300, answer.text
    return answer.json()


def customer(api: httpx.Client, name: str, phone: str, **said: Any) -> int:
    """Make a customer, and return the id.

    Args:
        api: The API.
        name: What they are called.
        phone: What they are known by; another one in each test.
        said: More that is said of them, such as `owner`.
    """
    given = {"identities": {"phone": phone}, "phone": phone, "name": name, **said}
    return int(sent(api.post("/customers", json=given))["id"])


def tag(api: httpx.Client, name: str, condition: Any = None) -> int:
    """Make a tag in the group that the sample company gives by hand, and return the id."""
    return int(sent(api.post("/tagging/tags", json={"group": "by_hand", "name": name, "condition": condition}))["id"])


def bought(api: httpx.Client, phone: str, amount: int) -> None:
    """Have a customer pay for an order now."""
    event = {"name": "order.paid", "identities": {"phone": phone}, "amount": amount, "source": "journey"}
    assert sent(api.post("/events", json={"events": [event]}))["accepted"] == 1


def until(ask: Callable[[], Any], seconds: float = 120) -> Any:
    """Ask again and again until there is something: what runs in the background takes a while.

    Args:
        ask: Returns something true once it is there.
        seconds: After which the test fails.
    """
    end = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > end:
            pytest.fail("it did not come")
        time.sleep(0.2)
    return found
