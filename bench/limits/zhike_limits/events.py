"""The events both sides are given: made from a seed, so that a client process and a limit agree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

NAMESPACE = "external_id"
CURRENCY = "CNY"
_NAMES = ("page.view",) * 6 + ("app.login",) * 2 + ("order.paid", "cart.added")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One series of batches.

    Args:
        seed: Two loads with different seeds share no message_id and no new identity.
        batches: How many batches.
        size: Events in a batch.
        population: Customers that exist already, known by `external_id` c1 to c<population>.
        new: Share of events whose identity is not known yet, 0 to 1.
        now: Unix time in seconds; the events lie in the hour before it.
    """

    seed: int
    batches: int
    size: int
    population: int
    new: float = 0.05
    now: float

    @property
    def events(self) -> int:
        """The number of events in all batches."""
        return self.batches * self.size


def batches(load: Load) -> Iterator[list[dict[str, Any]]]:
    """Yield the batches as the items `POST /events` takes, about 250 bytes of JSON each."""
    rng, known = random.Random(load.seed), load.population
    base = datetime.fromtimestamp(load.now, UTC) - timedelta(hours=1)
    for batch in range(load.batches):
        items: list[dict[str, Any]] = []
        for number in range(batch * load.size + 1, (batch + 1) * load.size + 1):
            new = rng.random() < load.new
            name = _NAMES[int(rng.random() * len(_NAMES))]
            item: dict[str, Any] = {
                "name": name,
                "message_id": f"{load.seed:08x}-{rng.getrandbits(64):016x}-{number:x}",
                "occurred_at": (base + timedelta(milliseconds=int(rng.random() * 3_500_000))).isoformat(),
                "identities": {NAMESPACE: f"n{load.seed}-{number}" if new else f"c{int(rng.random() * known) + 1}"},
                "properties": {"path": f"/p/{number % 500}", "device": "ios", "campaign": "spring"},
                "source": "web",
            }
            if name == "order.paid":
                item |= {"amount": f"{int(rng.random() * 900) + 1}.{number % 100:02d}", "currency": CURRENCY}
            items.append(item)
        yield items


def bodies(load: Load) -> list[bytes]:
    """Return the batches as JSON request bodies."""
    return [msgspec.json.encode({"events": items}) for items in batches(load)]


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as the arrays one SQL statement takes, in the order of its parameters."""

    message_id: list[str]
    name: list[str]
    identity: list[str]
    occurred_at: list[datetime]
    amount: list[int | None]
    currency: list[str | None]
    properties: list[str]
    source: list[str]


def columns(load: Load) -> list[Columns]:
    """Return the batches as columns; amounts are in minor units."""
    return [_columns(items) for items in batches(load)]


def _columns(items: list[dict[str, Any]]) -> Columns:
    return Columns(
        message_id=[item["message_id"] for item in items],
        name=[item["name"] for item in items],
        identity=[item["identities"][NAMESPACE] for item in items],
        occurred_at=[datetime.fromisoformat(item["occurred_at"]) for item in items],
        amount=[int(Decimal(item["amount"]) * 100) if "amount" in item else None for item in items],
        currency=[item.get("currency") for item in items],
        properties=[msgspec.json.encode(item["properties"]).decode() for item in items],
        source=[item["source"] for item in items],
    )
