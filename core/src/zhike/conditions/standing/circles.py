"""Refuses a rule that would ask for its own members, directly or by way of other rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.conditions.comparison import MEMBERSHIP
from zhike.errors import BadRequest
from zhike.i18n import text

if TYPE_CHECKING:
    from asyncpg import Record


def refuse_circles(field: str, changed: Collection[int], rules: Sequence[Record]) -> None:
    """Refuse rules after which others might never come to rest.

    Args:
        field: The condition field by which conditions ask for members of rules.
        changed: Ids of the rules that are new or others.
        rules: All rules in use, as rows of `id`, `name`, `family` and `condition` as text, also those that are paused:
            nobody would be there to be told when they go on. Those of a family depend on each other: one of them wins.

    Raises:
        BadRequest: With code `circle`, also if a rule asks for members in a way that does not say of which rules.
    """
    nodes: dict[str, int | str] = {each["name"]: each["family"] or each["name"] for each in rules}
    asks: dict[int | str, set[str]] = defaultdict(set)
    for each in rules:
        asks[nodes[each["name"]]].update(_asked(field, msgspec.json.decode(each["condition"])))
    for own in {nodes[each["name"]] for each in rules if each["id"] in changed}:
        seen, ahead = set(), set(asks[own])
        while ahead:
            name = ahead.pop()
            node = nodes.get(name, name)
            if node == own:
                said = text("condition: the rule would ask for its own members, by {name}", name=name)
                raise BadRequest(said, code="circle")
            if node not in seen:
                seen.add(node)
                ahead |= asks[node]


def _asked(field: str, node: Any) -> Iterator[str]:
    """Yield the names that a condition asks for; it is read as it is stored, since a paused one cannot be checked."""
    if isinstance(node, list):
        for part in node:
            yield from _asked(field, part)
    elif isinstance(node, dict) and node["type"] != "field":
        yield from _asked(field, node.get("of"))
    elif isinstance(node, dict) and node["field"] == field:
        if node["op"] not in MEMBERSHIP:
            raise BadRequest(text("condition: a rule can ask for {field} only by names", field=field), code="circle")
        yield from map(str, node["value"] if isinstance(node["value"], list) else [node["value"]])
