"""How large a condition may be, whatever it says."""

from __future__ import annotations

from typing import Any

from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Not, Trend
from zhike.i18n import text

MAX_DEPTH = 32
MAX_NODES = 500
MAX_EVENT_NODES = 200
MAX_TEXT = 1_000
MAX_LIST = 1_000


class Limits:
    """Counts nodes while walking, so that nothing after decoding meets an unbounded condition."""

    def __init__(self) -> None:
        self.nodes = 0
        self.events = 0

    def check(self, node: Condition, path: str, depth: int = 1) -> None:
        """Refuse a node that lies beyond the limits, or below which something does.

        Args:
            node: The node.
            path: Its place.
            depth: How deep it stands.

        Raises:
            BadCondition: With the place and the limit.
        """
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise too_deep()
        if self.nodes > MAX_NODES:
            raise BadCondition(text("the condition has more than {limit} nodes", limit=MAX_NODES))
        # Each is a join: PostgreSQL plans 200 in a second, and 500 in ten.
        self.events += {Event: 1, Trend: 2}.get(type(node), 0)
        if self.events > MAX_EVENT_NODES:
            raise BadCondition(
                text(
                    "the condition has more than {limit} nodes of type event; a trend counts as two",
                    limit=MAX_EVENT_NODES,
                )
            )
        match node:
            case All() | AnyOf():
                for index, part in enumerate(node.of):
                    self.check(part, f"{path}.of[{index}]", depth + 1)
            case Not():
                self.check(node.of, f"{path}.of", depth + 1)
            case Field() | Event() | Trend():
                for name, key in zip(node.__struct_fields__, node.__struct_encode_fields__, strict=True):
                    _check_value(getattr(node, name), f"{path}.{key}")
                if not isinstance(node, Field) and node.where is not None:
                    self.check(node.where, f"{path}.where", depth + 1)


def _check_value(value: Any, path: str) -> None:
    if isinstance(value, list | tuple):
        if len(value) > MAX_LIST:
            raise BadCondition(text("{path} has more than {limit} values", path=path, limit=MAX_LIST))
        for index, part in enumerate(value):
            if isinstance(part, str):
                check_text(part, f"{path}[{index}]")
    elif isinstance(value, str):
        check_text(value, path)


def check_text(value: str, path: str) -> None:
    """Refuse a text that is too long or that PostgreSQL has no room for, naming its place."""
    if len(value) > MAX_TEXT:
        raise BadCondition(text("{path} is longer than {limit} characters", path=path, limit=MAX_TEXT))
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadCondition(text("{path} has a character that is not text (NUL or half a surrogate pair)", path=path))


def too_deep() -> BadCondition:
    """Return the error for a condition that is nested too deeply."""
    return BadCondition(text("the condition is nested deeper than {limit} levels", limit=MAX_DEPTH))
