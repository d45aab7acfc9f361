"""Every route of the running application, asked by those who do not see all: nothing masked, hidden or foreign is told.

Requests are made from what routes declare, so that a new one is among them without a word here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from leaks_asking import Request, canaries, reads, requests, shape, wording
from leaks_world import ATTACKERS, DECOY, FIELDS, LOSER, SPARE, VICTIM, Become, World, nobody_else

from zhike.access.masking import COLUMNS

if TYPE_CHECKING:
    from zhike.api import Route
    from zhike.platform import Platform

OF_OTHERS = {"phone", "phone 4", "email", "name", "spoken", "card"}
"""What is said about customers out of scope; in what ways a field can be asked about the others have found out."""
IDENTIFYING = ("phone", "email", "unionid")
"""What is said to routes that write, as identities; with other texts a route does the same whatever they are."""


def routes_of(platform: Platform) -> list[Route]:
    """Return the routes that need a permission."""
    return [route for _, route in platform.registry.routes if isinstance(route.permission, str)]


def test_the_attackers_see_no_column_whole() -> None:
    assert {field for field in FIELDS if "." not in field} == COLUMNS


def read_pairs(route: Route, world: World, kind: str) -> Iterator[tuple[str, Request, Request]]:
    """Yield what is said, and two requests: about a value that somebody has, and about one that nobody has."""
    customer = world.mine if kind == "own" else world.victim
    for what, value in VICTIM.forms.items():
        if kind == "own" and what not in OF_OTHERS:
            continue
        if kind == "masked" and what in {"phone", "phone+86"}:
            continue  # whoever sees a phone masked may ask whose it is; see `test_leaks_oracles`
        one, other = (requests(route, world, what, each, customer) for each in (value, DECOY.forms[what]))
        yield from ((what, *pair) for pair in zip(one, other, strict=True))


async def test_reading_tells_nothing(platform: Platform, become: Become, world: World) -> None:
    told, differ, asked = [], [], 0
    for kind in ATTACKERS:
        snoop, seen = await become(kind), set[str]()
        for route in filter(reads, routes_of(platform)):
            for what, one, other in read_pairs(route, world, kind):
                if repr(one) in seen:
                    continue
                seen.add(repr(one))
                locale = "zh-CN" if len(seen) % 2 else "en"
                answer = await snoop(*one, locale=locale)
                if found := canaries(answer, one):
                    told.append((kind, what, one, found))
                known, unknown = VICTIM.forms[what], DECOY.forms[what]
                if one != other and wording(answer, known) != wording(await snoop(*other, locale=locale), unknown):
                    differ.append((kind, what, one, answer.status))
        asked += snoop.requests
    assert not told
    assert not differ
    assert asked > 4000


@pytest.mark.parametrize("kind", ATTACKERS)
async def test_writing_tells_nothing(platform: Platform, become: Become, world: World, kind: str) -> None:
    told, differ, seen, snoop = [], [], set[str](), await become(kind)
    customer = world.mine if kind == "own" else world.spare
    routes = [route for route in routes_of(platform) if not reads(route)]
    # What is named by its name is made late, since there is nothing secret about what one has made.
    for route in sorted(routes, key=lambda route: (route.method == "DELETE", route.path == "/tagging/tags")):
        for person, what in itertools.product((VICTIM, SPARE), (*IDENTIFYING, "card")):
            if person is SPARE and (what == "card" or "customer" not in route.path):
                continue
            if kind == "masked" and what == "phone":
                continue  # as above
            value, decoy = person.forms[what], nobody_else(len(seen)).forms[what]
            pairs = (requests(route, world, what, each, customer) for each in (value, decoy))
            for one, other in zip(*pairs, strict=True):
                names = "identities" in repr(one.body) and what in IDENTIFYING
                # That nobody else can have an identity is no secret; see `test_leaks_oracles`.
                if repr(one) in seen or names is not (what in IDENTIFYING) or (names and kind == "own"):
                    continue
                seen.add(repr(one))
                answer = await snoop(*one)
                if found := canaries(answer, one) & LOSER.canaries:
                    told.append((what, one, found))
                if one != other and shape(answer, value) != shape(twin := await snoop(*other), decoy):
                    differ.append((what, one, answer.status, answer.text, twin.status, twin.text))
    assert not told
    assert not differ
    assert snoop.requests > 200
