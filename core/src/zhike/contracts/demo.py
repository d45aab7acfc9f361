"""What a plugin works with that adds something to the sample company of `zhike demo`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from zhike.platform import Platform

_CUSTOMERS = "SELECT id FROM customer WHERE merged_into IS NULL AND erased_at IS NULL ORDER BY id"


class DemoContext(msgspec.Struct, frozen=True, kw_only=True):
    """What `DemoData.make` is called with.

    A start that was cut off is gone on with: `make` is called again with the same `now`, `size` and `random`, and
    leaves alone what it finds there already.

    Args:
        platform: The process's platform, with all plugins loaded.
        now: The instant at which the company's story ends: the first start, in the deployment's zone.
        size: How many customers were asked for.
        random: Where chance comes from: the same for a part of the same name, whatever the others draw.
        password: What everybody logs in with whom the part makes a user.
        say: Tells whoever waits how far it is, in a line.
    """

    platform: Platform
    now: datetime
    size: int
    random: Random
    password: str
    say: Callable[[str], None]

    async def customers(self) -> list[int]:
        """Return the ids of the customers who are there by now, visitors without a name among them, by age."""
        return [row[0] for row in await self.platform.db.fetch(_CUSTOMERS)]
