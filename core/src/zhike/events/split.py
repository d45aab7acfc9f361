"""Takes the body of `POST /events` apart undecoded, so that one bad event does not spoil its neighbours."""

from __future__ import annotations

import re

from zhike.errors import BadRequest
from zhike.events.schemas import MAX_EVENTS
from zhike.i18n import text

MAX_STEPS = 1_000_000
"""How many tokens or msgpack values are looked at: under a second of work, 200 for each of 5,000 events."""

# Everything is possessive (re has it since Python 3.11): nothing is given back and tried again, so time stays
# linear.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_REST = rb'[^"{}\[\]]*+'


def _balanced(levels: int) -> bytes:
    """Return a pattern for an object or array whose brackets nest at most `levels` deep."""
    inner = _STRING
    for _ in range(levels):
        content = _REST + rb"(?:(?:" + inner + rb")" + _REST + rb")*+"
        inner = _STRING + rb"|\{" + content + rb"\}|\[" + content + rb"\]"
    return inner


# An ordinary event is one token; deeper nesting is taken bracket by bracket.
# The single characters are spelled out, which lets re skip to the next one.
_TOKEN = re.compile(_balanced(4) + rb'|\{|\}|\[|\]|,|"', re.DOTALL)
_HEAD = re.compile(rb'\s*+\{\s*+"events"\s*+:\s*+\[\s*+')
_TAIL = re.compile(rb"\s*+\}\s*+")
_CLOSING = {b"{": b"}", b"[": b"]"}


def split_json(body: bytes) -> list[bytes] | None:
    """Return the items of `{"events": [...]}`, well-formed or not, one more than are allowed at most.

    Args:
        body: The whole request body.

    Returns:
        The text of each item, or None if the body does not begin in that form.

    Raises:
        BadRequest: If it cannot be said where items end: a text without end, brackets that do not match.
    """
    head = _HEAD.match(body)
    if not head:
        return None
    items: list[bytes] = []
    start = head.end()
    expected: list[bytes] = []
    for step, token in enumerate(_TOKEN.finditer(body, start)):
        mark = body[token.start() : token.start() + 1]
        if step >= MAX_STEPS:
            raise _too_complex()
        if mark == b"," and not expected:
            items.append(body[start : token.start()])
            start = token.end()
            if len(items) > MAX_EVENTS:
                return items
        elif token.end() - token.start() > 1 or mark == b",":
            continue
        elif mark in _CLOSING:
            expected.append(_CLOSING[mark])
        elif expected and mark == expected[-1]:
            expected.pop()
        elif mark == b"]" and not expected and _TAIL.fullmatch(body, token.end()):
            last = body[start : token.start()]
            return [*items, last] if items or last.strip() else []
        else:
            raise _broken(token.start())
    raise _broken(len(body))


# The formats of msgpack by first byte (its specification, "Formats"): containers with the bytes their length
# takes and the values an entry has; sized values with the bytes of their length and how many follow besides;
# other sizes.
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
}
_FIXED |= {0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_ARRAYS = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})


def split_msgpack(body: bytes) -> list[bytes] | None:
    """Return the items of a msgpack `{"events": [...]}`; result and errors are as those of `split_json`."""
    if not body or body[0] not in {0x81, 0xDE, 0xDF}:
        return None
    children, key = _step(body, 0)
    if children != 2 or key >= len(body) or body[key] in _ARRAYS:
        return None
    _, array = _step(body, key)
    if not body[key:array].endswith(b"events") or array >= len(body) or body[array] not in _ARRAYS:
        return None
    count, position = _step(body, array)
    items: list[bytes] = []
    steps = 0
    for _ in range(min(count, MAX_EVENTS + 1)):
        start, pending = position, 1
        while pending:
            children, position = _step(body, position)
            pending += children - 1
            steps += 1
            if steps > MAX_STEPS:
                raise _too_complex()
        items.append(body[start:position])
    if count <= MAX_EVENTS and position != len(body):
        raise _broken(position)
    return items


def _step(body: bytes, position: int) -> tuple[int, int]:
    """Return how many values the one at `position` contains, and where it (without these) ends."""
    if position >= len(body):
        raise _broken(len(body))
    first = body[position]
    children, end = 0, position + 1
    if first >= 0xE0 or first <= 0x7F:
        pass
    elif first <= 0x8F:
        children = 2 * (first & 0x0F)
    elif first <= 0x9F:
        children = first & 0x0F
    elif first <= 0xBF:
        end += first & 0x1F
    elif first in _FIXED:
        end += _FIXED[first]
    elif first in _SIZED:
        width, more = _SIZED[first]
        end += width + more + int.from_bytes(body[end : end + width])
    elif first in _CONTAINERS:
        width, factor = _CONTAINERS[first]
        children, end = factor * int.from_bytes(body[end : end + width]), end + width
    else:
        raise _broken(position)
    if end > len(body):
        raise _broken(len(body))
    return children, end


def _broken(offset: int) -> BadRequest:
    return BadRequest(
        text(
            "body: malformed at byte {offset} so that it cannot be said where events begin and end",
            offset=offset,
        )
    )


def _too_complex() -> BadRequest:
    return BadRequest(
        text(
            "body: an event is malformed, and with over {limit} parts it is too much work to find which one",
            limit=MAX_STEPS,
        )
    )
