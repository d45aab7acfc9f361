"""The register family of the core's hooks: what a plugin adds to the vocabulary."""

# mypy: disable-error-code="empty-body"
# A hook is declared by its signature and docstring; it is never run.

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import (
    Command,
    ConditionField,
    Consumer,
    CustomerRows,
    EventType,
    Job,
    Permission,
    Route,
    Schedule,
)
from zhike.hooks import hook

__all__ = [
    "register_commands",
    "register_condition_fields",
    "register_consumers",
    "register_customer_rows",
    "register_event_types",
    "register_jobs",
    "register_permissions",
    "register_routes",
    "register_schedules",
]


@hook(family="register", since="0.1")
def register_event_types() -> Sequence[EventType]:
    """Return the event types that the plugin records itself.

    Events from outside need no registration. Only what `work.emit` is called with is looked up here, and its
    properties are checked against the payload struct.

    Returns:
        Types whose names begin with the plugin's name or a noun of its `CLAIMS`.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_event_types():
            return [EventType(name="stamps.given", kind="platform", label="Stamp given")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_permissions() -> Sequence[Permission]:
    """Return the permissions that the plugin's routes ask for.

    Each says which of the shipped roles grant it; `admin` grants all of them.

    Returns:
        Permissions whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_permissions():
            return [Permission(key="stamps.read", label="See stamps", roles=("manager", "agent"))]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_routes() -> Sequence[Route]:
    """Return the routes of the plugin's API.

    They are served below `/api/v1` and described at `/schema` like the core's own.

    Returns:
        Routes whose paths begin with the plugin's name, each with a permission or `Public`.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_routes():
            async def show(call):
                return {"stamps": 3}

            what = {"summary": "Count stamps", "answer": dict[str, int]}
            return [Route(method="GET", path="/stamps/count", handler=show, permission="customers.read", **what)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_jobs() -> Sequence[Job]:
    """Return the kinds of deferred work that the plugin enqueues.

    Whatever waits, repeats, or talks to another system is a job: a handler or hook that does it itself stops others.

    Returns:
        Jobs whose names begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_jobs():
            async def remind(items, work):
                for item in items:
                    work.emit("stamps.reminded", item.customer_id, cause=item)

            return [Job(name="stamps.remind", run=remind, batch=100)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_schedules() -> Sequence[Schedule]:
    """Return when the plugin's jobs are to be enqueued again and again.

    A time that passed while nothing ran is made up for once.

    Returns:
        Schedules of jobs that the same plugin registers, with names that begin with its own.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_schedules():
            return [Schedule(name="stamps.nightly", job="stamps.remind", cron="30 2 * * *")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_consumers() -> Sequence[Consumer]:
    """Return how the plugin wants to be given the event log.

    Without it a plugin that implements `on_events_recorded` is given all events from now on.

    Returns:
        One consumer, or none.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_consumers():
            return [Consumer(events=("order.paid",), start="beginning")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_commands() -> Sequence[Command]:
    """Return the subcommands that the plugin adds to `zhike`.

    The module of a command is imported when the command is called, so that it costs the others nothing.

    Returns:
        Commands named by the plugin's name or a noun of its `CLAIMS`.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_commands():
            return [Command(name="stamps", target="zhike_stamps.commands:stamps", summary="Look after stamps")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_customer_rows() -> Sequence[CustomerRows]:
    """Return the plugin's tables that hold rows about customers.

    The core moves these rows when customers are merged and deletes them when a customer is erased, also while the
    plugin is switched off.

    Returns:
        Tables whose names begin with the plugin's.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_customer_rows():
            return [CustomerRows(table="stamps_stamp", on_merge="move", on_erase="delete")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_condition_fields() -> Sequence[ConditionField]:
    """Return what conditions can ask of the plugin's data: segments, rules, reports and all others that use them.

    The plugin keeps a table or view of values; the core makes the SQL from it.

    Returns:
        Fields whose keys begin with the plugin's name or a noun of its `CLAIMS`, on relations whose names begin with
        the plugin's.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_condition_fields():
            what = {"type": "number", "relation": "stamps_total", "changed_by": ("stamps.given",)}
            return [ConditionField(key="stamps.total", label="Stamps", **what)]

    Since: 0.1
    """
