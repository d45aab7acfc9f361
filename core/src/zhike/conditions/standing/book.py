"""The rules of a plugin as they run: read, checked and kept in memory, paused where they cannot be used, evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from zhike.conditions import service as conditions
from zhike.conditions.checked import Checked
from zhike.conditions.dependencies import Dependencies
from zhike.conditions.problems import BadCondition

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.orm import Database
    from zhike.work import Work

_AT_ONCE = 50
"""Rules of one statement."""


class Rule(NamedTuple):
    """A rule that runs.

    Args:
        id: What it is known by.
        name: What conditions call its members.
        family: Rules of one family exclude each other, and the first one wins; None for a rule on its own.
        checked: What it asks for.
        needs: What may change whether it holds.
    """

    id: int
    name: str
    family: int | None
    checked: Checked
    needs: Dependencies


Asked = tuple[Rule, set[int]]
"""A rule and the customers among whom it is asked."""


class Book:
    """The rules of one plugin.

    Args:
        rules: See `StandingRules`, as for the others.
        state: Relation.
        problems: Relation.
    """

    def __init__(self, *, rules: str, state: str, problems: str) -> None:
        self._rules = f"SELECT id, name, family, condition::text AS condition, problem FROM {rules} ORDER BY place, id"
        self._generation = f"SELECT generation FROM {state}"
        self._lock = (
            f"UPDATE {state} SET earliest = least(earliest, $1), latest = greatest(latest, $1) RETURNING generation"
        )
        self._pause = f"UPDATE {problems} SET problem = $2 WHERE id = $1"
        self._cache: WeakKeyDictionary[Database, tuple[int, list[Rule]]] = WeakKeyDictionary()

    async def lock(self, work: Work, *, anew: bool = False) -> tuple[list[Rule], list[Rule]]:
        """Wait until nobody else evaluates or changes rules, and return the rules as `known` does."""
        return await self.known(work, await work.connection.fetchval(self._lock, work.now), anew=anew)

    async def known(
        self, work: Work, generation: int | None = None, *, anew: bool = False
    ) -> tuple[list[Rule], list[Rule]]:
        """Return the rules that can be used, of a family the winner first, and those that can be again as of now.

        Args:
            work: The unit of work; without the lock others may change rules meanwhile.
            generation: Counts the changes of rules; it is looked up when None.
            anew: Whether to check all rules again, and not only if one was changed since.
        """
        if generation is None:
            generation = await work.connection.fetchval(self._generation)
        cached = self._cache.get(work.platform.db)
        if cached is not None and cached[0] == generation and not anew:
            return cached[1], []
        rules, resumed = [], []
        for row in await work.connection.fetch(self._rules):
            if (rule := await self._checked(work, row)) is not None:
                rules.append(rule)
                if row["problem"] is not None:
                    await work.connection.execute(self._pause, rule.id, None)
                    resumed.append(rule)
        self._cache[work.platform.db] = generation, rules
        return rules, resumed

    async def held(self, work: Work, asked: Sequence[Asked]) -> list[tuple[Rule, set[int], set[int]]]:
        """Return of each rule among whom it was asked and for whom of them it holds.

        One that fails, since the relation of another plugin does, is paused and left out.
        """
        moment, found = conditions.moment(work.platform.settings, work.now), []
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            questions = [(rule.checked, among) for rule, among in some]
            try:
                held = await conditions.members_of_each(work.connection, questions, moment)
            except BadCondition as error:
                if len(asked) > 1:
                    found += [each for one in some for each in await self.held(work, [one])]
                else:
                    await self._paused(work, asked[0][0].id, error)
                continue
            found += [(*one, holds) for one, holds in zip(some, held, strict=True)]
        return found

    async def _checked(self, work: Work, row: Record) -> Rule | None:
        """Return a rule, or None if it cannot be used, such as when a field it asks for is gone: then it is noted."""
        try:
            checked = conditions.check(work.platform, row["condition"].encode())
        except BadCondition as error:
            await self._paused(work, row["id"], error)
            return None
        needs = conditions.dependencies(work.platform, checked)
        return Rule(row["id"], row["name"], row["family"], checked, needs)

    async def _paused(self, work: Work, rule_id: int, error: BadCondition) -> None:
        problem = error.message.render(work.platform.settings.locale)[:1000]
        await work.connection.execute(self._pause, rule_id, problem)
