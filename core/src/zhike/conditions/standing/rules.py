"""What a plugin with rules runs: the body of its consumer, its jobs, and what it calls when it changes rules itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from zhike import wire
from zhike.conditions import service as conditions
from zhike.conditions.decode import decode
from zhike.conditions.standing.book import Book, Rule
from zhike.conditions.standing.circles import refuse_circles
from zhike.contracts import Job, JobItem, RecordedEvent, Schedule
from zhike.events.emit import hold
from zhike.i18n import Text, text
from zhike.work import Cause

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.orm import Connection
    from zhike.platform import Platform
    from zhike.work import Work

CHUNK = 1_000
"""Customers of one transaction."""
_EXISTING = "SELECT id FROM customer WHERE id = ANY($1::bigint[])"

CauseOf = Callable[[int], Cause | None]
"""Returns what made it necessary to look at a customer."""
Moved = Callable[["Work", Sequence[tuple[int, int]], CauseOf], Awaitable[object]]
"""Writes down who enters or leaves: pairs of a customer and a rule."""


class Settle(msgspec.Struct, frozen=True):
    """Payload of the job that evaluates rules for some customers.

    Args:
        rules: Their ids.
        customers: Their ids.
        live: Whether what comes of it may start something: time alone did it, not somebody who changed a rule.
    """

    rules: list[int]
    customers: list[int]
    live: bool


class Refresh(msgspec.Struct, frozen=True):
    """Payload of the job that brings everybody up to date with a rule that is another one, or gone.

    Args:
        rule: Its id.
        family: Its family; rules of it may win now, or no longer.
    """

    rule: int
    family: int | None


def always(cause: Cause | None) -> CauseOf:
    """Return what says of every customer that this was the cause."""
    return lambda _: cause


async def existing(work: Work, customers: Collection[int]) -> set[int]:
    """Return who the customers are now; nobody merges them away before the work has ended."""
    ids = [row[0] for row in await work.connection.fetch(_EXISTING, list(customers))]
    return set((await hold(work.connection, ids)).values())


class StandingRules:
    """The rules of one plugin, each with members that are exactly the customers for whom it holds.

    Whoever evaluates rules or changes them holds the only row of `state`, so that nobody writes what somebody else has
    just found to be otherwise. What is evaluated is what is true now, so doing it again changes nothing.

    Args:
        name: The plugin's.
        field: The condition field by which conditions ask for members of rules.
        rules: Table or view of the rules that are in use: `id`, `name` (the value that members have of `field`),
            `family` (null for a rule on its own), `place` (of a family the rule with the lowest wins), `condition`
            (JSON), `problem`.
        members: Table or view of who belongs or did: `customer_id`, `rule_id`, `family`, `ruled`, `valid_from`,
            `valid_to` (null as long as they belong). Whoever does not belong by rule (`ruled` is false) stays, and in a
            family takes the place of all its rules.
        state: Table with one row: `generation` (bigint, not null), `earliest`, `latest` (timestamptz, null at first).
            It is the lock; everybody was evaluated last between the two instants.
        problems: Table in whose columns `id` and `problem` it is noted why a rule is paused. Its members stay.
        enter: Writes down who belongs from now on.
        leave: Writes down who does so no longer. It must end whoever it is given, or it is asked for ever.
    """

    def __init__(
        self,
        name: str,
        *,
        field: str,
        rules: str,
        members: str,
        state: str,
        problems: str,
        enter: Moved,
        leave: Moved,
    ) -> None:
        self._name, self._field = name, field
        self._book = Book(rules=rules, state=state, problems=problems)
        self._enter, self._leave = enter, leave
        self._members = (
            f"SELECT customer_id, rule_id, family, ruled FROM {members} "
            "WHERE customer_id = ANY($1::bigint[]) AND valid_to IS NULL"
        )
        self._of_rule = f"SELECT customer_id, ruled FROM {members} WHERE rule_id = $1 AND valid_to IS NULL"
        self._stale = (
            f"SELECT customer_id, rule_id FROM {members} WHERE rule_id = $1 AND ruled AND valid_to IS NULL "
            f"AND NOT EXISTS (SELECT FROM {rules} WHERE id = $1) LIMIT $2"
        )
        self._in_use = f"SELECT id, name, family, condition::text AS condition FROM {rules}"
        self._asking = f"SELECT name FROM {rules} WHERE strpos(condition::text, $1) > 0 ORDER BY name LIMIT 100"
        # Never what it was before, not even by a change that was rolled back: processes remember the rules by it.
        self._changed = f"UPDATE {state} SET generation = extract(epoch FROM clock_timestamp()) * 1000000"
        self._span = f"SELECT least(earliest, $1), greatest(latest, $1) FROM {state}"
        # Others may have evaluated meanwhile, by clocks that are ahead of this one or behind.
        self._swept = (
            f"UPDATE {state} SET earliest = CASE WHEN earliest < $2 THEN earliest ELSE $1 END, "
            "latest = CASE WHEN latest > $3 THEN latest ELSE $1 END"
        )
        self.jobs = [
            Job(
                name=f"{name}.settle",
                run=self._settle_some,
                payload=Settle,
                label=text("Evaluate rules for some customers"),
            ),
            Job(
                name=f"{name}.refresh",
                run=self._refresh,
                payload=Refresh,
                timeout=120,
                label=text("Evaluate a changed rule for everybody"),
            ),
            Job(name=f"{name}.sweep", run=self._sweep, timeout=120, label=text("Evaluate rules as time passes")),
        ]
        self.schedules = [Schedule(name=f"{name}.sweep", job=f"{name}.sweep", cron="* * * * *")]

    async def follow(self, work: Work, events: Sequence[RecordedEvent]) -> None:
        """Evaluate the rules that depend on what has happened: what `on_events_recorded` calls."""
        rules = await self.lock(work)
        latest = {event.customer_id: event for event in events}
        await self.settle(work, _concerned(rules, events), latest.get, rules)

    async def reset(self, connection: Connection) -> None:
        """Forget nothing: what is evaluated again is mended where it is wrong. It is the `reset` of a `Consumer`."""

    async def lock(self, work: Work, *, anew: bool = False) -> list[Rule]:
        """Wait until nobody else evaluates or changes rules; the others wait until the work has ended.

        Args:
            work: The unit of work.
            anew: Whether to check all rules again, and not only if one was changed since.

        Returns:
            The rules that can be used, of a family the winner first.
        """
        return self._resumed(work, await self._book.lock(work, anew=anew))

    def check(self, work: Work, actor: Actor, condition: object) -> str:
        """Return a rule's condition as it is to be stored, once it is known that it can be used.

        Args:
            work: The unit of work.
            actor: Who makes or changes the rule; it runs as the system afterwards.
            condition: See `zhike.conditions.service.check`.

        Raises:
            BadCondition: If the actor may not use it, or nobody can.
        """
        decoded = decode(condition)
        conditions.check(work.platform, decoded, actor=actor)
        return wire.encode(decoded, "json").decode()

    async def changed(self, work: Work, rule_ids: Collection[int], family: int | None = None) -> None:
        """Have rules of a family hold for everybody as they are stored from now on, or as they are no longer.

        Raises:
            BadRequest: With code `circle`, if one of them would ask for its own members.
        """
        await work.connection.execute(self._changed)
        await self.lock(work)
        refuse_circles(self._field, rule_ids, await work.connection.fetch(self._in_use))
        for rule_id in rule_ids:
            self._refresh_soon(work, rule_id, family)

    async def settle(
        self, work: Work, wanted: Mapping[int, Collection[int]], cause: CauseOf, rules: Sequence[Rule] | None = None
    ) -> None:
        """Have customers enter and leave so that rules hold for exactly those who belong.

        All rules of a family are looked at together, since in it the first one wins.

        Args:
            work: The unit of work, locked.
            wanted: Ids of rules, each with the customers whom it is to be evaluated for.
            cause: What made it necessary.
            rules: What `lock` has returned, if that is at hand.
        """
        rules = await self.lock(work) if rules is None else rules
        families: dict[int | None, set[int]] = defaultdict(set)
        for rule in rules:
            families[rule.family].update(wanted.get(rule.id, ()))
        asked = [
            (rule, among)
            for rule in rules
            if (among := set(wanted.get(rule.id, ())) if rule.family is None else families[rule.family])
        ]
        if not asked:
            return
        ruled: dict[int, set[int]] = defaultdict(set)
        others: dict[int, set[int]] = defaultdict(set)
        taken: dict[int, set[int]] = defaultdict(set)
        everybody, running = list(set().union(*(among for _, among in asked))), {rule.id for rule in rules}
        for customer, rule_id, family, by_rule in await work.connection.fetch(self._members, everybody):
            if by_rule and rule_id in running:
                ruled[rule_id].add(customer)
            else:  # whoever belongs by a paused rule stays
                others[rule_id].add(customer)
                taken[family].add(customer)
        entering: list[tuple[int, int]] = []
        leaving: list[tuple[int, int]] = []
        for rule, among, holds in await self._book.held(work, asked):
            right = holds
            if rule.family is not None:
                right = holds - taken[rule.family]
                taken[rule.family] |= right
            entering += [(customer, rule.id) for customer in right - ruled[rule.id] - others[rule.id]]
            leaving += [(customer, rule.id) for customer in (ruled[rule.id] & among) - right]
        if leaving:
            await self._leave(work, leaving, cause)
        if entering:
            await self._enter(work, entering, cause)

    async def _settle_some(self, items: Sequence[JobItem], work: Work) -> None:
        for item in items:
            rules = await self.lock(work)
            customers = await existing(work, item.payload.customers)
            cause = msgspec.structs.replace(item, live=item.live and item.payload.live)
            await self.settle(work, dict.fromkeys(item.payload.rules, customers), always(cause), rules)

    async def _refresh(self, items: Sequence[JobItem], work: Work) -> None:
        """Find everybody who does not belong as a changed rule says, and have them evaluated."""
        for item in items:
            rule_id, family = item.payload.rule, item.payload.family
            if await work.connection.fetch(self._stale, rule_id, 1):
                await self.lock(work)
                stale = await work.connection.fetch(self._stale, rule_id, CHUNK)
                await self._leave(work, [tuple(row) for row in stale], always(item))
                self._refresh_soon(work, rule_id, family)
                continue
            moment = conditions.moment(work.platform.settings, work.now)
            rules = self._resumed(work, await self._book.known(work))
            concerned = [rule for rule in rules if rule.id == rule_id or (family is not None and rule.family == family)]
            differ: set[int] = set()
            for rule in concerned:  # not locked, since this takes a while; those who differ are looked at again
                holders = await conditions.members(work.connection, rule.checked, moment)
                rows = await work.connection.fetch(self._of_rule, rule.id)
                ruled = {customer for customer, by_rule in rows if by_rule}
                differ |= (holders - {row[0] for row in rows}) | (ruled - holders)
            await self.lock(work)
            self._settle_soon(work, [rule.id for rule in concerned], differ, live=False)

    async def _sweep(self, items: Sequence[JobItem], work: Work) -> None:
        """Evaluate whom time alone concerns since the last time."""
        [(low, high)] = await work.connection.fetch(self._span, work.now)
        timed = [rule for rule in await self.lock(work, anew=True) if rule.needs.timed]
        crossed: set[int] = set()
        for rule in timed:
            zone = work.platform.settings.zone
            crossed |= await conditions.edges(work.connection, rule.checked, low, high, zone)
        self._settle_soon(work, [rule.id for rule in timed], crossed, live=True)
        await work.connection.execute(self._swept, work.now, low, high)

    def _resumed(self, work: Work, known: tuple[list[Rule], list[Rule]]) -> list[Rule]:
        rules, resumed = known
        for rule in resumed:
            self._refresh_soon(work, rule.id, rule.family)
        return rules

    def _refresh_soon(self, work: Work, rule_id: int, family: int | None) -> None:
        work.enqueue(f"{self._name}.refresh", Refresh(rule_id, family), key=str(rule_id), replace=True)

    def _settle_soon(self, work: Work, rules: list[int], customers: Collection[int], *, live: bool) -> None:
        ordered = sorted(customers) if rules else []
        for start in range(0, len(ordered), CHUNK):
            some = Settle(rules, ordered[start : start + CHUNK], live)
            work.enqueue(f"{self._name}.settle", some, priority="low")


async def asking(platform: Platform, field: str) -> list[tuple[Text | str, list[str]]]:
    """Return the rules that ask about a field: of each plugin what they are called, and their names.

    Args:
        platform: The process's platform.
        field: Its key in conditions, such as `customer.attributes.city`.
    """
    owners = dict.fromkeys(getattr(job.run, "__self__", None) for job in platform.registry.jobs.values())
    known, quoted = platform.registry.condition_fields, msgspec.json.encode(field).decode()
    found = []
    async with platform.db.connection() as connection:
        for rules in (each for each in owners if isinstance(each, StandingRules)):
            names = [row[0] for row in await connection.fetch(rules._asking, quoted)]
            found += [(known[rules._field].label, names)] if names else []
    return found


def _concerned(rules: Sequence[Rule], events: Sequence[RecordedEvent]) -> dict[int, set[int]]:
    """Return of each rule the customers for whom events may have changed whether it holds."""
    by_name: dict[tuple[str, bool], set[int]] = defaultdict(set)
    for event in events:
        by_name[event.name, event.behaviour].add(event.customer_id)
    found = {}
    for rule in rules:
        sets = [
            customers
            for (name, behaviour), customers in by_name.items()
            if name in rule.needs.events or (behaviour and rule.needs.any_behaviour)
        ]
        if sets:
            found[rule.id] = set().union(*sets)
    return found
