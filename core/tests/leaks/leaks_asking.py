"""Makes requests from what routes say they take: each parameter filled with what an attacker wants to know."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from leaks_world import CANARIES, NOBODY, RULED, Answer, World

from zhike.api import Route

OF_CUSTOMERS = ("customer_id", "other_customer_id", "winner", "loser", "losers", "ids")
EVERYBODY = {"type": "all", "of": []}
_TEXT_OPS = ("eq", "ne", "contains", "not_contains", "starts_with", "ends_with", "gt", "lte")
_FREE = {"q", "name", "object", "consumer"}
_ASKED = {
    **dict.fromkeys(("phone", "phone+86", "phone 4"), "phone"),
    **dict.fromkeys(("email", "email local", "email start"), "email"),
    **dict.fromkeys(("name", "name start", "spoken", "like"), "name"),
    **dict.fromkeys(("card", "card end"), "attributes.id_card"),
    **{"company": "company", "salary": "attributes.salary", "unionid": "owner", "stage": "stage"},
}
"""What is said to which field is asked about."""
_NAMESPACES = {"phone": "phone", "phone+86": "phone", "email": "email", "unionid": "wecom_unionid"}
_CHANGES = ("customer.created", "customer.updated", "customer.merged")
_schemas: dict[tuple[str, str], dict[str, Any]] = {}
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{8,}")


class Request(NamedTuple):
    """A request to a route.

    Args:
        method: Its method.
        path: Its path.
        body: Its body, or None.
        query: Its query.
    """

    method: str
    path: str
    body: Any = None
    query: Mapping[str, Any] | None = None


def reads(route: Route) -> bool:
    """Say whether a route changes nothing; a new one is taken to change something."""
    asks = ("/count", "/explain", "/search", "/preview", "/calculate")
    return route.method == "GET" or route.path.endswith(asks) or route.path.startswith("/exports")


def requests(route: Route, world: World, what: str, value: str, customer: int) -> Iterator[Request]:
    """Yield requests that say a value wherever a route takes a text.

    Args:
        route: The route.
        world: What there is.
        what: What the value is, of `Person.forms`.
        value: What is said.
        customer: Whom it is about, where a route is about somebody.
    """
    others: list[Any] = world.jobs if "{job_id}" in route.path else [1]
    for other in others:
        path = re.sub(r"{\w+}", str(other), route.path.replace("{customer_id}", str(customer)))
        names = [field.encode_name for field in msgspec.structs.fields(route.query)] if route.query else []
        known: dict[str, Any] = {"customer_id": customer} if "customer_id" in names else {}
        texts = [name for name in names if name not in {"customer_id", "limit"}]
        if what != "phone 4":  # the one form that says also where it can be no more than refused
            texts = [name for name in texts if name in _FREE]
        queries = [known, *({**known, name: value} for name in texts)]
        queries += [{**known, "limit": 1}] if "limit" in names else []
        queries += [{**known, "format": "jsonl"}] if "format" in names else []
        for query in queries:
            for body in [None] if route.body is None else _bodies(route, what, value, customer):
                yield Request(route.method, path, body, query)


def conditions(what: str, value: str, *, every: bool) -> Iterator[dict[str, Any]]:
    """Yield conditions that hold for a customer by a value that some do not see, in every place a condition has.

    Args:
        what: What the value is, of `Person.forms`.
        value: The value.
        every: Whether with every operator; else one of each kind of condition.
    """
    field = f"customer.{_ASKED[what]}"
    number = field.endswith("salary")
    compared: Any = int(value) if number else value
    leaf = {"type": "field", "field": field, "value": compared}
    yield {**leaf, "op": "eq"}
    yield {"type": "all", "of": [{"type": "not", "of": {"type": "any", "of": [{**leaf, "op": "eq"}]}}]}
    where = {"type": "field", "field": "event.properties.changes", "op": "contains", "value": value}
    measure = {"type": "event", "event": "customer.updated", "op": "gte", "value": 1}
    trend = {"type": "trend", "event": "customer.updated", "measure": "count", "within": "P30D", "op": "gt", "value": 0}
    yield {**measure, "measure": "count", "where": where}
    yield {**trend, "where": where}
    if not every:
        return
    for op in ("ne", "gt", "lte") if number else _TEXT_OPS:
        yield {**leaf, "op": op}
    yield {**leaf, "op": "in", "value": [compared]}
    yield {**leaf, "op": "between", "value": [compared, compared]}
    yield {**leaf, "op": "eq", "for": "P1D"}
    for name in _CHANGES:
        for place in ("changes.salary.new", "changes.phone.old", "fields.name", "fields"):
            inner = {"type": "field", "field": f"event.properties.{place}", "op": "contains", "value": value}
            nested = {"type": "not", "of": {"type": "all", "of": [inner]}}
            yield {**measure, "event": name, "measure": "count", "where": nested}
            yield {**measure, "event": [name], "measure": "distinct", "of": f"event.properties.{place}"}


def _bodies(route: Route, what: str, value: str, customer: int) -> Iterator[Any]:
    schema = _schemas.setdefault((route.method, route.path), {}) or msgspec.json.schema(route.body)
    _schemas[route.method, route.path] = schema
    every = route.path == "/conditions/count"
    filler = _Filler(schema.get("$defs", {}), what, value, customer)
    filler.asked = list(conditions(what, value, every=every))
    yield from filler.bodies(schema)


class _Filler:
    """Fills the smallest body that fits a schema, one member at a time."""

    def __init__(self, defs: dict[str, Any], what: str, value: str, customer: int) -> None:
        self._defs, self._value, self._customer = defs, value, customer
        self._namespace = _NAMESPACES.get(what)
        self.asked: list[dict[str, Any]] = []

    def bodies(self, schema: dict[str, Any]) -> Iterator[Any]:
        schema = self._resolved(schema)
        if schema.get("type") == "array":
            yield from ([body] for body in self.bodies(schema["items"]))
            return
        members = schema.get("properties", {})
        wanted = {*schema.get("required", ()), *OF_CUSTOMERS} - {"ids"}
        least = {name: self._least(name, part) for name, part in members.items() if name in wanted}
        yield least
        for name, part in members.items():
            yield from ({**least, name: filled} for filled in self._fills(name, part))

    def _fills(self, name: str, schema: dict[str, Any]) -> Iterator[Any]:
        if name == "condition":
            yield from self.asked
            return
        schema = self._resolved(schema)
        if name in OF_CUSTOMERS or "enum" in schema or "format" in schema:
            return
        match schema.get("type"):
            case "string" | None:
                yield self._value
            case "array" if name in {"fields", "sort"}:
                yield [self._value]
                yield from ([form] for field in RULED for form in (field, f"-{field}", _column(field)))
            case "array":
                yield from ([each] for each in self._fills("", schema.get("items", {})))
            case "object" if "properties" in schema:
                yield from self.bodies(schema)
            case "object" if "identities" in name:
                if self._namespace:
                    yield {self._namespace: self._value}
            case "object" if name == "attributes":
                number = {"salary": int(self._value)} if self._value.isdigit() else {}
                yield from ({"id_card": self._value}, number)
            case "object" if name == "fields":
                yield from ({field: self._customer} for field in RULED)
            case "object":
                yield {self._value: self._value}

    def _least(self, name: str, schema: dict[str, Any]) -> Any:
        if name == "condition":
            return EVERYBODY
        schema = self._resolved(schema)
        if name in OF_CUSTOMERS:
            return [self._customer] if schema.get("type") == "array" else self._customer
        if "enum" in schema or "const" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        match schema.get("type"):
            case "object" if "identities" in name:
                return {"external_id": "probe-1"}
            case "object":
                return next(self.bodies(schema)) if "properties" in schema else {}
            case "array":
                return [self._least("", schema["items"])] * max(1, schema.get("minItems", 0))
            case "string":
                dates = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01"}
                return dates.get(schema.get("format", ""), "probe")
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        return None

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return self._resolved(self._defs[schema["$ref"].rpartition("/")[2]])
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._resolved(next(each for each in options if each.get("type") != "null"))
        return schema


def _column(field: str) -> str:
    """Return what exports call a field."""
    return field.replace("attributes.", "attribute:").replace("identities.", "identity:")


def shown(answer: Answer) -> str:
    """Return all that an answer tells: its head, its body, and what its cursors hold."""
    told = [answer.head, answer.text, answer.text.encode().decode("unicode_escape", "ignore")]
    if '"next":"' in answer.text:
        for piece in _SEGMENT.findall(answer.json["next"]):
            told.append(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)).decode(errors="ignore"))
    return "\n".join(told)


def canaries(answer: Answer, request: Request) -> set[str]:
    """Return the canaries that an answer tells, but for those that were said in the request."""
    told, said = shown(answer), repr(request)
    return {each for each in CANARIES if each in told and each not in said}


def wording(answer: Answer, typed: str) -> tuple[int, str, str]:
    """Return an answer without what was typed, which it may quote."""
    forms = {typed, json.dumps(typed)[1:-1], typed.removeprefix("+86"), typed.casefold()} - {""}
    text = answer.text
    for form in sorted(forms, key=len, reverse=True):
        # Not where the fraction of a time begins with the same digits.
        text = re.sub(rf"(?<![*\d.]){re.escape(form)}(?!\d)", "§", text)
    return answer.status, re.sub("content-length: .*", "", answer.head), text


def shape(answer: Answer, typed: str) -> tuple[int, Any]:
    """Return what is the same of two answers that made two things: for errors the wording, else how they are built."""
    status, _, text = wording(answer, typed)
    if status >= 400 or not text.startswith(("{", "[")):
        return status, re.sub(r"\d+", "N", text)
    return status, _built(json.loads(answer.text))


def _built(value: Any) -> Any:
    match value:
        case dict():
            return {re.sub(r"\d+", "N", key): _built(part) for key, part in value.items()}
        case list():
            # What answers with all that was added so far (a checklist) is longer by one at the second request.
            return [kind for kind, _ in itertools.groupby(_built(part) for part in value)]
        case bool() | None:
            return value
    return type(value).__name__


__all__ = ["NOBODY", "Request", "canaries", "conditions", "reads", "requests", "shape", "shown", "wording"]
