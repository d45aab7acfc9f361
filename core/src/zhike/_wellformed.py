"""Whether what a plugin registers holds together, before anything that all plugins share works with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

import msgspec

from zhike import wire
from zhike.api import Personal, Public
from zhike.conditions.check import ops_of
from zhike.conditions.checked import Relation
from zhike.contracts import ConditionField, EventType, Job, PageRoute, Route, Schedule, SettingsGroup
from zhike.cron import check
from zhike.i18n import Text, text


class Misuse(Exception):
    """Something a plugin registered cannot be taken.

    Args:
        message: What it is and what was expected.
    """

    def __init__(self, message: Text) -> None:
        super().__init__(str(message))
        self.message = message


def check_struct(struct: msgspec.Struct) -> None:
    """Check one struct by itself: Python lets a plugin put anything into its fields.

    Raises:
        Misuse: If a field is not what the struct declares, or names a type that cannot be used.
    """
    name = type(struct).__name__
    try:
        msgspec.convert(msgspec.structs.asdict(struct), type(struct))
        if isinstance(struct, Job):
            wire.decoder("json", struct.payload)
        elif isinstance(struct, EventType):
            _check_fields(struct.payload)
        elif isinstance(struct, ConditionField):
            _check_condition_field(struct)
        elif isinstance(struct, PageRoute):
            _check_fields(struct.query)
            _check_places(struct.path)
        elif isinstance(struct, SettingsGroup):
            struct.struct()  # every setting has a default
        elif isinstance(struct, Route):
            _check_fields(struct.query)
            _check_places(struct.path)
            _describe(*(each for each in (struct.answer, struct.body, struct.query) if each))
    except (TypeError, ValueError, RecursionError) as error:  # msgspec.ValidationError is a ValueError
        raise Misuse(text("{struct}: {why}", struct=name, why=" ".join(str(error).split()))) from error


@lru_cache(maxsize=1024)  # a run of tests puts the same routes together a thousand times
def _describe(*types: Any) -> None:
    """Raise what the description of the API would, which is made of all routes at once."""
    msgspec.json.schema_components(types)


def _check_fields(kind: Any) -> None:
    if kind is not None and not issubclass(kind, msgspec.Struct):
        raise TypeError(f"{kind.__name__} is no msgspec.Struct")


def _check_condition_field(field: ConditionField) -> None:
    if "*" in field.changed_by:
        raise ValueError("changed_by names every event; expected the few after which the value may differ")
    fitting = ops_of(Relation(field.relation, field.type, field.many))
    if unfit := [op for op in field.ops if op not in fitting]:
        many = " with many values" if field.many else ""
        raise ValueError(f"{unfit[0]} is no operator of {field.type}{many}; expected some of {', '.join(fitting)}")


def _check_places(path: str) -> None:
    places = re.findall(r"{(\w+)}", path)
    if len(set(places)) < len(places):
        raise ValueError(f"{path} has two places of one name")


def check_references(registered: Mapping[str, Sequence[Any]], permissions: Set[str]) -> None:
    """Check what one plugin's structs say about each other.

    Args:
        registered: Kind, such as `event_types`, to the structs of it.
        permissions: Those of the core and of the plugins before it.

    Raises:
        Misuse: If something is named that is not there, or cannot be as it is said.
    """
    jobs = {job.name: job for job in registered.get("jobs", ())}
    for schedule in registered.get("schedules", ()):
        if schedule.job not in jobs:
            raise Misuse(text("schedule {name!r} names the unknown job {job!r}", name=schedule.name, job=schedule.job))
        if problem := check(schedule) or _payload_problem(schedule, jobs[schedule.job]):
            raise Misuse(problem)
    known = permissions | {permission.key for permission in registered.get("permissions", ())}
    for route in (*registered.get("routes", ()), *registered.get("pages", ())):
        if not isinstance(route.permission, Public | Personal) and route.permission not in known:
            raise Misuse(
                text("the route {path} needs the unknown permission {key!r}", path=route.path, key=route.permission)
            )
    for part in ("nav_items", "panels", "columns", "bulk_actions", "pickers", "settings_groups"):
        for each in registered.get(part, ()):
            if each.permission is not None and each.permission not in known:
                raise Misuse(
                    text(
                        "{kind} {name!r} needs the unknown permission {key!r}",
                        kind=part,
                        name=each.key,
                        key=each.permission,
                    )
                )
    for kind in registered.get("event_types", ()):
        if kind.permission is not None and kind.permission not in known:
            raise Misuse(
                text("the event type {name} needs the unknown permission {key!r}", name=kind.name, key=kind.permission)
            )


def _payload_problem(schedule: Schedule, job: Job) -> Text | None:
    try:
        encoded = wire.encode(schedule.payload, "json")
        wire.decoder("json", job.payload).decode(encoded)
        if b"\\u0000" in encoded:
            raise ValueError("it holds a NUL, which PostgreSQL does not store")
    except (TypeError, ValueError, RecursionError) as error:
        return text(
            "schedule {name!r}: the payload is not what {job} takes: {why}",
            name=schedule.name,
            job=job.name,
            why=str(error),
        )
    return None
