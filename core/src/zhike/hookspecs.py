"""The core's hooks: what a plugin may implement, grouped by family."""

# mypy: disable-error-code="empty-body"
# A hook is declared by its signature and docstring; it is never run.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zhike._registering import *  # noqa: F403 - the register family, declared there
from zhike._registering_pages import *  # noqa: F403 - the same, for the web UI
from zhike.access.actor import Actor
from zhike.contracts import HealthItem
from zhike.hooks import hook

if TYPE_CHECKING:
    from zhike.contracts import CustomerDraft, CustomersMerge, IncomingDraft, Mode, RecordedEvent, Task, TokenDraft
    from zhike.work import Work


# --- on: after the fact -----------------------------------------------------------------------------------------------


@hook(family="on", since="0.1")
async def on_events_recorded(events: Sequence[RecordedEvent], mode: Mode, work: Work) -> None:
    """React to events that are in the log.

    Runs in one transaction with the consumer's cursor: what `work` emits, enqueues and writes happens exactly once.
    To act on the outside world, enqueue a job. To change events before they are stored, use `amend_incoming_events`.

    Args:
        events: Those the plugin's consumer named, in the order of the log for each customer.
        mode: Why they are given: `live`, `backfill`, `rebuild` or `replay`. Notices and sends belong to `live` and
            `replay`, and there to events that are `live` themselves.
        work: The open transaction.

    Batching: Up to 500 events, or as many as the consumer asked for; query for all of them at once.
    Failure: Rolled back. Errors of the connection, deadlocks and the like are tried again; others are narrowed down
        to single events, which become the plugin's dead letters. Other plugins do not notice.

    Example:
        @hookimpl
        async def on_events_recorded(events, work):
            for event in events:
                work.emit("stamps.given", event.customer_id, cause=event)

    Since: 0.1
    """


@hook(family="on", since="0.1")
async def on_settings_changed(groups: Sequence[str]) -> None:
    """React to settings that somebody has changed while the process runs.

    Called in every process, after `platform.config` knows them; what only reads `platform.config.get(Struct)` needs
    no such hook. It runs in no transaction, and once in each process: work to be done once belongs into a job.

    Args:
        groups: The keys of all groups that have changed since the last call.

    Batching: All changes since the last call.
    Failure: Logged, and not tried again. Other plugins do not notice.

    Example:
        @hookimpl
        async def on_settings_changed(groups):
            if "stamps" in groups:
                print("The next order gets other stamps")

    Since: 0.1
    """


# --- before: may stop it ----------------------------------------------------------------------------------------------


@hook(family="before", since="0.1")
async def before_tokens_create(actor: Actor, tokens: Sequence[TokenDraft]) -> None:
    """Stop API tokens from being made.

    Runs in the transaction that makes them.

    Args:
        actor: Who makes them.
        tokens: What is to be made; none of it can be changed.

    Raises:
        Rejected: To stop it; the message is shown to the actor.

    Batching: All tokens of one request.
    Failure: Stops it as well, with a message that names the plugin; never skipped.

    Example:
        @hookimpl
        async def before_tokens_create(tokens):
            if any(token.expires_at is None for token in tokens):
                raise Rejected("Tokens must expire here")

    Since: 0.1
    """


@hook(family="before", since="0.1")
async def before_tasks_create(actor: Actor, tasks: Sequence[Task]) -> None:
    """Stop tasks from being made.

    Runs in the transaction that makes them, also when a plugin does that.

    Args:
        actor: Who makes them; the system when a plugin does.
        tasks: What is to be made; none of it can be changed. They have their ids already, but are not stored yet.

    Raises:
        Rejected: To stop it; the message is shown to the actor.

    Batching: All tasks of one request, or of one call of `zhike.tasks.service.create`.
    Failure: Stops it as well, with a message that names the plugin; never skipped.

    Example:
        @hookimpl
        async def before_tasks_create(tasks):
            if any(task.assignee is None and task.team is None for task in tasks):
                raise Rejected("Say who is to do it")

    Since: 0.1
    """


@hook(family="before", since="0.1")
async def before_tasks_complete(actor: Actor, tasks: Sequence[Task]) -> None:
    """Stop tasks from being marked as done.

    Runs in the transaction that does so, also when a plugin does that. A task that is cancelled is not shown here.

    Args:
        actor: Who marks them; the system when a plugin does.
        tasks: As they are going to be, with their result; none of it can be changed.

    Raises:
        Rejected: To stop it; the message is shown to the actor.

    Batching: All tasks of one request, or of one call of `zhike.tasks.service.complete`.
    Failure: Stops it as well, with a message that names the plugin; never skipped.

    Example:
        @hookimpl
        async def before_tasks_complete(tasks):
            if any(task.priority == "urgent" and not task.result for task in tasks):
                raise Rejected("Say what came of it")

    Since: 0.1
    """


@hook(family="before", since="0.1")
async def before_customers_save(actor: Actor, customers: Sequence[CustomerDraft]) -> None:
    """Stop customers from being written by a user, a token or a command.

    Runs in the transaction that writes them. What events, imports and merges say of customers is not shown here: see
    `amend_incoming_events`.

    Args:
        actor: Who writes them.
        customers: As they are going to be; none of it can be changed.

    Raises:
        Rejected: To stop it; the message is shown to the actor.

    Batching: All customers of one request, or of one piece of a large one, up to 5,000.
    Failure: Stops it as well, with a message that names the plugin; never skipped.

    Example:
        @hookimpl
        async def before_customers_save(customers):
            if any(each.fields.get("kind") == "company" and not each.fields.get("name") for each in customers):
                raise Rejected("A company needs a name")

    Since: 0.1
    """


@hook(family="before", since="0.1")
async def before_customers_merge(actor: Actor, merge: CustomersMerge) -> None:
    """Stop customers from being merged.

    Runs in the transaction that merges them, when somebody has said that they are one. Visitors whom ingest merges by
    itself are not shown here: they have no identity that is anybody's.

    Args:
        actor: Who merges them.
        merge: Who becomes part of whom; none of it can be changed.

    Raises:
        Rejected: To stop it; the message is shown to the actor.

    Batching: All losers of one request.
    Failure: Stops it as well, with a message that names the plugin; never skipped.

    Example:
        @hookimpl
        async def before_customers_merge(merge):
            if len(merge.loser_ids) > 5:
                raise Rejected("Merge five at most")

    Since: 0.1
    """


# --- amend: may change it on its way ----------------------------------------------------------------------------------


@hook(family="amend", since="0.1")
async def amend_incoming_events(events: list[IncomingDraft]) -> list[IncomingDraft] | None:
    """Complete, correct or drop events before they are stored.

    Runs for events from everywhere, before customers are looked up and outside the transaction; a caller waits for
    it. What can be done afterwards belongs into `on_events_recorded`.

    Args:
        events: Drafts to change in place: traits, properties, amount, currency and source; `dropped` has an event
            rejected as `dropped`. Identities cannot be changed, and none can be added.

    Returns:
        None after changes in place, or the list to go on with.

    Batching: Up to 1,000 events of one batch.
    Failure: The events stay as they were before this plugin, which is logged; after five failures in a row the
        plugin is skipped until someone switches it on again.

    Example:
        @hookimpl
        async def amend_incoming_events(events):
            for event in events:
                if event.properties.get("utm_source") == "internal":
                    event.dropped = True

    Since: 0.1
    """


# --- resolve: the first who knows -------------------------------------------------------------------------------------


@hook(family="resolve", since="0.1", fail_closed=True, returns=Actor)
async def resolve_actor(authorization: str) -> Actor | None:
    """Tell who sends a request whose Authorization header is no token of ours.

    Tokens made by `zhike token create` are never given to it. It is asked on every such request, so that it had
    better remember what it found for some seconds.

    Args:
        authorization: The header as it came; treat it as a secret.

    Returns:
        The actor with all it may do, or None if the header says nothing to the plugin.

    Raises:
        Unauthorized: If the header is the plugin's to read and not valid; nobody else is asked.

    Batching: One request.
    Failure: The request is refused with 503, also if another plugin might know the actor; never skipped.

    Example:
        @hookimpl
        async def resolve_actor(authorization):
            if authorization == "Kiosk hall-3":
                return Actor(kind="user", id=3, name="hall 3", role="viewer", permissions=frozenset({"customers.read"}))

    Since: 0.1
    """


# --- provide: everybody's part ----------------------------------------------------------------------------------------


@hook(family="provide", since="0.1", returns=HealthItem)
async def provide_health() -> Sequence[HealthItem]:
    """Tell how the plugin is doing.

    Shown on the plugins page and in `GET /api/v1/plugins`.

    Returns:
        What is worth knowing; an item with `ok=False` is shown as a problem.

    Batching: One request; all plugins are asked at the same time.
    Failure: An error takes the place of this plugin's items; after five in a row the plugin is skipped until
        someone switches it on again.

    Example:
        @hookimpl
        async def provide_health():
            return [HealthItem(key="stock", ok=False, detail="12 stamps left")]

    Since: 0.1
    """


# --- duty: nobody may leave it out ------------------------------------------------------------------------------------


@hook(family="duty", since="0.1")
async def merge_customer_data(winner_id: int, loser_ids: Sequence[int], work: Work) -> None:
    """Bring together what the plugin keeps about customers that turned out to be one.

    Only for tables registered with `on_merge="hook"`, such as totals that must be added up; the core moves the rows
    of all others itself.

    Args:
        winner_id: The customer that remains.
        loser_ids: Those that become part of it; their rows stay in the core as signposts.
        work: The open transaction in which they are merged.

    Batching: All losers of one winner.
    Failure: The merge is rolled back; never skipped.

    Example:
        @hookimpl
        async def merge_customer_data(winner_id, loser_ids, work):
            moved = "UPDATE stamps_total SET customer_id = $1 WHERE customer_id = ANY($2::bigint[])"
            await work.connection.execute(moved, winner_id, loser_ids)

    Since: 0.1
    """


@hook(family="duty", since="0.1")
async def erase_customer_data(customer_ids: Sequence[int], work: Work) -> None:
    """Erase what the plugin keeps about customers that are erased.

    Only for tables registered with `on_erase="hook"`, such as proofs of which a hash must stay, and for what is kept
    outside the database, by a job; the core erases the rows of all others itself. It may be called again for the same
    customers.

    Args:
        customer_ids: The customer and all who were merged into it. Their events are deleted already, and none is
            recorded for them.
        work: The open transaction.

    Batching: All ids of one erasure.
    Failure: The erasure waits and is tried again; never skipped.

    Example:
        @hookimpl
        async def erase_customer_data(customer_ids, work):
            forget = "UPDATE stamps_card SET holder = NULL WHERE customer_id = ANY($1::bigint[])"
            await work.connection.execute(forget, customer_ids)

    Since: 0.1
    """


@hook(family="duty", since="0.1")
async def export_customer_data(customer_id: int, work: Work) -> Mapping[str, object]:
    """Give what the plugin knows about a customer who asks for a copy of their data.

    Only for what the rows of its registered tables do not say by themselves; those the core exports as they are.

    Args:
        customer_id: The customer.
        work: The open transaction, in which nothing is to be written.

    Returns:
        Names to values that JSON can hold; they stand in the export under the plugin's name.

    Batching: One customer.
    Failure: There is no export; never skipped.

    Example:
        @hookimpl
        async def export_customer_data(customer_id, work):
            given = "SELECT count(*) FROM stamps_card WHERE customer_id = $1"
            return {"cards": await work.connection.fetchval(given, customer_id)}

    Since: 0.1
    """
