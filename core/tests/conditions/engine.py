"""A second reading of the condition language, in DuckDB, written from its description and not from the product.

Nothing is rounded and no library tells the time: numbers are whole billionths and compared across, instants are
whole microseconds since 1970, and walls of clocks are worked out from the offsets of a zone alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb

from walls import DAY, EPOCH, Clock, micros, ordinal

Node = dict[str, Any]
ONE = 10**9  # a number is held in billionths
DIGITS = {"CNY": 2, "JPY": 0, "BHD": 3}
NEGATIVES = {"ne": "eq", "not_in": "in", "not_contains": "contains", "is_not_set": "is_set"}
ORDER = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "before": "<", "after": ">"}
TIMES = ("before", "after", "within_last", "anniversary")
SEARCHES = {"contains": "contains", "starts_with": "starts_with", "ends_with": "ends_with"}
NEVER_MISSING = ("count", "sum", "active_days", "distinct")
TYPES = {"text": "VARCHAR", "number": "HUGEINT", "boolean": "BOOLEAN", "instant": "BIGINT"}


def billionths(value: Any) -> int:
    """Return a number of the data, which has nine places at most."""
    exact = Fraction(value) * ONE
    assert exact.denominator == 1, value
    return exact.numerator


def kind_of(value: Any) -> str:
    """Return the JSON type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | Decimal) else "other"


def sql(value: Any) -> str:
    """Return a literal."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower()


class Engine:
    """A world as clocks of one zone tell it, and who fulfils a condition in it.

    Args:
        world: Customers, events and relations.
        zone: The deployment's zone.
        currency: The deployment's currency.
    """

    def __init__(self, world: Any, zone: str, currency: str = "CNY") -> None:
        self.clock = Clock(zone)
        self.currency = currency
        self.relations = world.relations
        self._seen: set[int] = set()
        self._tables = duckdb.connect(config={"threads": 1})
        self._keys = {
            "a": sorted({key for each in world.customers for key in each["attributes"]}),
            "p": sorted({key for each in world.events for key in each["properties"]}),
        }
        self._customers(world.customers)
        self._events(world.events)
        for key, relation in world.relations.items():
            self._relation(self._table(key), relation)
        calendar = [(each, *self._month_and_day(self.clock.day(each))) for each in self._seen]
        self._create("calendar", {"instant": "BIGINT", "month": "INT", "day": "INT"}, calendar)
        self.living = self._ids("true", micros(EPOCH))

    def read_by(self, reading: type[Engine]) -> Engine:
        """Return an engine of another class over the same tables."""
        other = object.__new__(reading)
        other.__dict__.update(self.__dict__)
        return other

    # What is loaded

    def _create(self, table: str, columns: dict[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
        described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self._tables.execute(f"CREATE TABLE {table} ({described})")
        if held := list(rows):
            every = ", ".join(f"unnest(?::{kind}[])" for kind in columns.values())
            self._tables.execute(f"INSERT INTO {table} SELECT {every}", list(map(list, zip(*held, strict=True))))

    def _instant(self, instant: datetime | int | None) -> int | None:
        if isinstance(instant, datetime):
            instant = micros(instant)
        if instant is not None:
            self._seen.add(instant)
        return instant

    def _json_columns(self, letter: str) -> dict[str, str]:
        return {
            f"{letter}{index}_{part}": kind
            for index in range(len(self._keys[letter]))
            for part, kind in {"type": "VARCHAR", **TYPES}.items()
        }

    def _json(self, letter: str, values: dict[str, Any]) -> list[Any]:
        """Return every key's type and value as the columns hold them; null is as good as absent."""
        row = []
        for key in self._keys[letter]:
            value = values.get(key)
            kind = None if value is None else kind_of(value)
            text = value if kind == "text" else None
            row += [kind, text, billionths(value) if kind == "number" else None]
            row += [value if kind == "boolean" else None, self._instant(self.clock.read(text)) if text else None]
        return row

    def _customers(self, customers: list[dict[str, Any]]) -> None:
        texts = ("kind", "name", "phone", "email", "company", "stage")
        numbers = ("id", "owner", "team")
        columns = {"key": "BIGINT", "living": "BOOLEAN", **dict.fromkeys(texts, "VARCHAR")}
        columns |= dict.fromkeys(numbers, "HUGEINT") | {"created_at": "BIGINT", "updated_at": "BIGINT"}
        self._create(
            "customer",
            columns | self._json_columns("a"),
            (
                (
                    *(each["id"], each["merged_into"] is None, *(each[name] for name in texts)),
                    *(None if each[name] is None else billionths(each[name]) for name in numbers),
                    *(self._instant(each[name]) for name in ("created_at", "updated_at")),
                    *self._json("a", each["attributes"]),
                )
                for each in customers
            ),
        )

    def _events(self, events: list[dict[str, Any]]) -> None:
        columns = {"id": "BIGINT", "whose": "BIGINT", "name": "VARCHAR", "behaviour": "BOOLEAN"}
        columns |= {"occurred_at": "BIGINT", "day": "INT", "amount": "HUGEINT", "currency": "VARCHAR"}
        names = ("id", "customer_id", "name", "behaviour")
        self._create(
            "event",
            columns | {"source": "VARCHAR"} | self._json_columns("p"),
            (
                (
                    *(each[name] for name in names),
                    *(self._instant(each["occurred_at"]), self.clock.day(micros(each["occurred_at"]))),
                    *(each["amount"], each["currency"], each["source"]),
                    *self._json("p", each["properties"]),
                )
                for each in events
            ),
        )

    def _relation(self, table: str, relation: Any) -> None:
        def held(value: Any) -> Any:
            if relation.kind == "number" and value is not None:
                return billionths(value)
            return self._instant(value) if relation.kind == "instant" else value

        columns = {"whose": "BIGINT", "value": TYPES[relation.kind]}
        if relation.history:
            columns |= {"valid_from": "BIGINT", "valid_to": "BIGINT"}
        rows = ((row[0], held(row[1]), *map(self._instant, row[2:])) for row in relation.rows)
        self._create(table, columns, rows)

    @staticmethod
    def _table(key: str) -> str:
        return "relation_" + key.replace(".", "_")

    def _month_and_day(self, day: int) -> tuple[int, int]:
        local = date.fromordinal(ordinal(day))
        return local.month, local.day

    def before(self, now: int, duration: str) -> int:
        """Return the instant one duration before."""
        return self.clock.before(now, duration)

    # Conditions

    def members(self, node: Node, now: int) -> frozenset[int]:
        """Return who fulfils a condition.

        Args:
            node: The condition.
            now: Microseconds since 1970.
        """
        match node["type"]:
            case "all":
                return self.living.intersection(*(self.members(part, now) for part in node["of"]))
            case "any":
                return frozenset().union(*(self.members(part, now) for part in node["of"]))
            case "not":
                return self.living - self.members(node["of"], now)
            case "event":
                return self._event(node, now)
            case "trend":
                return self._trend(node, now)
        if node["field"] in self.relations:
            return self._ids(self._related(node, now), now)
        key = node["field"].removeprefix("customer.")
        if key.startswith("attributes."):
            return self._ids(self._json_test("a", key.removeprefix("attributes."), node, now), now)
        kind = "instant" if key.endswith("_at") else "number" if key in ("id", "owner", "team") else "text"
        return self._ids(self.test(node, key, kind, now), now)

    def events(self, where: Node, now: int, currency: str | None = None) -> frozenset[int]:
        """Return which events fulfil a condition over an event."""
        holds = self._where(where, now, currency or self.currency)
        return frozenset(row[0] for row in self._tables.execute(f"SELECT id FROM event WHERE {holds}").fetchall())

    def _ids(self, holds: str, now: int, measures: str = "") -> frozenset[int]:
        query = f"SELECT key FROM customer {measures} WHERE {self.counted()} AND ({holds})"
        return frozenset(row[0] for row in self._tables.execute(query).fetchall())

    def counted(self) -> str:
        """Return who is a customer at all."""
        return "living"

    # One value and what it is compared with

    def _json_test(self, letter: str, key: str, node: Node, now: int) -> str:
        value, op = node.get("value"), node["op"]
        sample = value[0] if isinstance(value, list) else value
        if op in TIMES:
            kind = "instant"
        elif NEGATIVES.get(op, op) in SEARCHES:
            kind = "text"
        else:
            kind = "type" if NEGATIVES.get(op, op) == "is_set" else kind_of(sample)
        if key not in self._keys[letter]:
            return self.test(node, "NULL::" + TYPES.get(kind, "VARCHAR"), kind, now)
        return self.test(node, f"{letter}{self._keys[letter].index(key)}_{kind}", kind, now)

    def test(self, node: Node, value: str, kind: str, now: int) -> str:
        """Return whether a value, NULL if missing, compares as a node says; never NULL."""
        op = NEGATIVES.get(node["op"], node["op"])
        holds = f"coalesce({self.positive(op, value, kind, node.get('value'), now)}, false)"
        return f"NOT {holds}" if op != node["op"] else holds

    def positive(self, op: str, value: str, kind: str, literal: Any, now: int) -> str:
        """Return a positive comparison, NULL where the value is missing."""
        if op == "is_set":
            return f"{value} IS NOT NULL"
        if op == "within_last":
            return f"({value} > {self.before(now, literal)} AND {value} <= {now})"
        if op == "anniversary":
            return self._anniversary(value, 1 if literal is None else self._whole_days(literal), now)
        if op in SEARCHES:
            return f"{SEARCHES[op]}({value}, {sql(literal)})"
        if kind == "number":
            return self.ratio(op, value, str(ONE), literal)
        literals = [self._literal(each, kind) for each in (literal if isinstance(literal, list) else [literal])]
        if op == "in":
            return f"{value} IN ({', '.join(literals)})"
        if op == "between":
            return f"({value} >= {literals[0]} AND {value} <= {literals[1]})"
        return f"{value} {ORDER[op]} {literals[0]}"

    def _literal(self, value: Any, kind: str) -> str:
        return sql(self.clock.read(value) if kind == "instant" else value)

    def ratio(self, op: str, above: str, below: str, literal: Any) -> str:
        """Return how `above / below` compares with numbers, multiplied across; `below` is positive."""
        if op == "is_set":
            return f"{above} IS NOT NULL"
        if op == "in":
            return "(" + " OR ".join(self.ratio("eq", above, below, each) for each in literal) + ")"
        if op == "between":
            return f"({self.ratio('gte', above, below, literal[0])} AND {self.ratio('lte', above, below, literal[1])})"
        exact = Fraction(literal)
        return f"({above})::HUGEINT * {exact.denominator} {ORDER[op]} ({exact.numerator})::HUGEINT * ({below})"

    def _whole_days(self, duration: str) -> int:
        return -self.clock.before(0, duration) // DAY

    def _anniversary(self, value: str, days: int, now: int) -> str:
        today = self.clock.day(now)
        wanted = set()
        for day in range(today, today + days):
            local = date.fromordinal(ordinal(day))
            wanted.add((local.month, local.day))
            if (local.month, local.day) == (2, 28) and self.lacks_a_leap_day(local.year):
                wanted.add((2, 29))
        dates = ", ".join(map(str, sorted(wanted)))
        return f"{value} IN (SELECT instant FROM calendar WHERE (month, day) IN ({dates}))"

    def lacks_a_leap_day(self, year: int) -> bool:
        """Return whether 29 February falls on the 28th."""
        return year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)

    # Events

    def _where(self, node: Node | None, now: int, currency: str) -> str:
        if node is None:
            return "true"
        match node["type"]:
            case "all":
                return "(" + " AND ".join(["true", *(self._where(part, now, currency) for part in node["of"])]) + ")"
            case "any":
                return "(" + " OR ".join(["false", *(self._where(part, now, currency) for part in node["of"])]) + ")"
            case "not":
                return f"NOT ({self._where(node['of'], now, currency)})"
        key = node["field"].removeprefix("event.")
        if key.startswith("properties."):
            return self._json_test("p", key.removeprefix("properties."), node, now)
        if key == "amount":
            return self.test(node, self.amount(currency), "number", now)
        if key == "source":
            return self.test(node, self.source(), "text", now)
        return self.test(node, key, "instant" if key == "occurred_at" else "text", now)

    def source(self) -> str:
        """Return an event's source; an empty one is none."""
        return "nullif(source, '')"

    def amount(self, currency: str) -> str:
        """Return an event's amount in billionths of the currency's major unit; missing in another currency."""
        return f"(CASE WHEN currency = {sql(currency)} THEN amount * {10 ** (9 - DIGITS[currency])} END)"

    def _of(self, node: Node, currency: str) -> str:
        if node["of"] in ("amount", "event.amount"):
            return self.amount(currency)
        key = node["of"].removeprefix("event.properties.")
        if key not in self._keys["p"]:
            return "NULL::HUGEINT"
        column = f"p{self._keys['p'].index(key)}"
        return self.different(column) if node["measure"] == "distinct" else f"{column}_number"

    def different(self, column: str) -> str:
        """Return what tells the values of a property apart."""
        kinds = ("text", "number", "boolean")
        parts = ", ".join(f"{column}_{kind}" for kind in kinds)
        return f"(CASE WHEN {column}_type IN {kinds} THEN concat_ws('/', {column}_type, {parts}) END)"

    def measured(self, node: Node, start: int | None, end: int, now: int) -> str:
        """Return a query for every customer's measure, `above / below`."""
        currency = node.get("currency") or self.currency
        names = node["event"] if isinstance(node["event"], list) else [node["event"]]
        named = "behaviour" if names == ["*"] else f"name IN ({', '.join(map(sql, names))})"
        of = self._of(node, currency) if "of" in node else ""
        return (
            f"SELECT whose, {self.aggregate(node['measure'], of, end)} FROM event WHERE {named}"
            f" AND {self.window(start, end)} AND {self._where(node.get('where'), now, currency)} GROUP BY whose"
        )

    def window(self, start: int | None, end: int) -> str:
        """Return whether an event lies in a window, which begins after its start and contains its end."""
        since = "true" if start is None else f"occurred_at > {start}"
        return f"{since} AND occurred_at <= {end}"

    def aggregate(self, measure: str, of: str, end: int) -> str:
        """Return a measure as `above` and `below`."""
        whole = {
            "count": "count(*)",
            "active_days": "count(DISTINCT day)",
            "distinct": f"count(DISTINCT {of})",
            "days_since_first": f"({end} - min(occurred_at)) // {DAY}",
            "days_since_last": f"({end} - max(occurred_at)) // {DAY}",
        }.get(measure)
        if whole:
            return f"({whole})::HUGEINT AS above, 1::HUGEINT AS below"
        above = f"{'sum' if measure == 'avg' else measure}({of})"
        return f"{above} AS above, {f'count({of})' if measure == 'avg' else '1'} * {ONE}::HUGEINT AS below"

    def without(self, measure: str, above: str) -> str:
        """Return a measure that may have found nothing: some are 0 then, the others missing."""
        return f"coalesce({above}, 0)" if measure in NEVER_MISSING else above

    def _event(self, node: Node, now: int) -> frozenset[int]:
        start = self.before(now, node["within"]) if node.get("within") else None
        above = self.without(node["measure"], "m.above")
        op = NEGATIVES.get(node["op"], node["op"])
        holds = f"coalesce({self.ratio(op, above, 'coalesce(m.below, 1)', node.get('value'))}, false)"
        return self._ids(
            f"NOT {holds}" if op != node["op"] else holds,
            now,
            f"LEFT JOIN ({self.measured(node, start, now, now)}) m ON m.whose = customer.key",
        )

    def _trend(self, node: Node, now: int) -> frozenset[int]:
        middle = self.before(now, node["within"])
        start = self.before(middle, node["within"])
        later, earlier = (self.without(node["measure"], f"{one}.above") for one in ("l", "e"))
        change = f"{later} * coalesce(e.below, 1) - {earlier} * coalesce(l.below, 1)"
        basis = f"{self.basis(earlier)} * coalesce(l.below, 1)"
        return self._ids(
            f"coalesce({earlier} <> 0 AND {self.ratio(node['op'], change, basis, node['value'])}, false)",
            now,
            f"LEFT JOIN ({self.measured(node, middle, now, now)}) l ON l.whose = customer.key"
            f" LEFT JOIN ({self.measured(node, start, middle, now)}) e ON e.whose = customer.key",
        )

    def basis(self, earlier: str) -> str:
        """Return what a change is related to."""
        return f"abs({earlier})"

    # Relations

    def valid(self, at: int | str) -> str:
        """Return whether a row is valid at an instant."""
        return f"(r.valid_from <= {at} AND (r.valid_to IS NULL OR {at} < r.valid_to))"

    def overlaps(self, start: int, end: int) -> str:
        """Return whether a row is valid at some instant from `start` to before `end`."""
        return (
            f"(greatest(r.valid_from, {start}) < {end} AND (r.valid_to IS NULL"
            f" OR greatest(r.valid_from, {start}) < r.valid_to))"
        )

    def _related(self, node: Node, now: int) -> str:
        relation = self.relations[node["field"]]
        table = self._table(node["field"])
        rows = f"SELECT 1 FROM {table} r WHERE r.whose = customer.key"
        valid = self.valid(now) if relation.history else "true"
        if not relation.many:
            value = f"(SELECT value FROM {table} r WHERE r.whose = customer.key AND {valid})"
            current = self.test(node, value, relation.kind, now)
            if "for" not in node:
                return current
            start = self.before(now, node["for"])
            known = "true" if node["op"] in NEGATIVES else "r.value IS NOT NULL"
            fails = f"NOT ({self.test(node, 'r.value', relation.kind, now)})"
            return (
                f"{current} AND EXISTS ({rows} AND {self.valid(start)} AND {known})"
                f" AND {self.undisturbed(rows, fails, start, now)}"
            )
        op = NEGATIVES.get(node["op"], node["op"])
        fits = f"coalesce({self.has(op, relation.kind, node.get('value'), now)}, false)"
        current = f"EXISTS ({rows} AND {valid} AND {fits})"
        if op != node["op"]:
            current = f"NOT {current}"
        if "for" not in node:
            return current
        start = self.before(now, node["for"])
        if op != node["op"]:
            return f"{current} AND created_at <= {start} AND {self.undisturbed(rows, fits, start, now)}"
        return f"{current} AND {self.covered(table, rows, fits, start, now)}"

    def covered(self, table: str, rows: str, fits: str, start: int, now: int) -> str:
        """Return whether some row fits at every instant: a time without one begins with the window or as a row ends."""
        return (
            f"EXISTS ({rows} AND {self.valid(start)} AND {fits}) AND NOT EXISTS (SELECT 1 FROM {table} o"
            f" WHERE o.whose = customer.key AND o.valid_to >= {start} AND o.valid_to < {now}"
            f" AND NOT EXISTS ({rows} AND {self.valid('o.valid_to')} AND {fits}))"
        )

    def has(self, op: str, kind: str, literal: Any, now: int) -> str:
        """Return whether a row's value is one that a field of many values is asked for; NULL is none."""
        return self.positive("eq" if op == "contains" else op, "r.value", kind, literal, now)

    def undisturbed(self, rows: str, fails: str, start: int, now: int) -> str:
        """Return whether no row valid in the window fails."""
        return f"NOT EXISTS ({rows} AND {self.overlaps(start, now)} AND {fails})"
