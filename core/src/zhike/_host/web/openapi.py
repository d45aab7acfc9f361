"""The description of the API in OpenAPI 3.1, made from the declared routes and the types they name."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from zhike import __version__
from zhike._host.web.problems import Problem
from zhike._host.web.reply import JSON, MSGPACK, Reply
from zhike.access.cookies import cookie_name
from zhike.api import API, MAX_ID, Call, Personal, Public, Route

_REFERENCE = "#/components/schemas/{name}"
_TYPES = (JSON.decode(), MSGPACK.decode())
_ID = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID}
_NAME = {"type": "string", "minLength": 1}


def openapi_route(api: Iterable[Route], root: Iterable[Route]) -> Route:
    """Return the route that serves the description.

    Args:
        api: Routes under `/api/v1`.
        root: Routes that stand at the root.
    """
    paths = [(API, route) for route in api] + [("", route) for route in root]
    body = functools.cache(lambda: msgspec.json.encode(describe(paths)))

    async def schema(_: Call) -> Reply:
        return Reply(body())

    return Route(
        method="GET",
        path="/schema",
        handler=schema,
        permission=Public("the description of the API says nothing about this installation's data"),
        summary="Description of the API",
        answer=dict[str, Any],
    )


def describe(routes: Iterable[tuple[str, Route]]) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        routes: Each route with the prefix of its path.
    """
    routes = list(routes)
    types: list[Any] = [Problem]
    for _, route in routes:
        types += [type_ for type_ in (route.answer, route.body, route.query) if type_ is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = {repr(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    for component in components.values():
        _document(component)
    paths: dict[str, dict[str, Any]] = {}
    for prefix, route in routes:
        operation = _operation(route, schema_of, components)
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = operation
    for _, route in routes:
        if route.query is not None:
            components.pop(_component(schema_of, route.query), None)  # its fields stand in the operations
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zhike",
            "version": __version__,
            "description": "Customers, their events and questions about them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`zhike token create` makes tokens.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookie_name(secure=True),
                    "description": "`POST /api/v1/session` logs in. What changes something needs `X-CSRF-Token` too.",
                },
            },
        },
    }


def _operation(route: Route, schema_of: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    public, personal = isinstance(route.permission, Public), isinstance(route.permission, Personal)
    operation: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", f"{route.method} {route.path}"),
        "summary": route.summary,
        "description": inspect.getdoc(route.handler) or route.summary,
        "security": [] if public else [{"session": []}] if personal else [{"token": []}, {"session": []}],
        "parameters": [*_places(route), *_parameters(route, schema_of, components)],
        "responses": {
            str(status): _problem(status)
            if status >= 400
            else {"description": "The answer", "content": _content(schema_of[repr(route.answer)], _TYPES)}
            for status in [route.status, *sorted(_statuses(route, public=public))]
        },
    }
    if not public and not personal:
        operation["x-permission"] = route.permission
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.method != "DELETE",
            "content": _content(schema_of[repr(route.body)], _TYPES),
        }
    return operation


def _statuses(route: Route, *, public: bool) -> set[int]:
    statuses = set(route.statuses)
    if not public:
        statuses |= {400, 401, 403, 503}
    if route.body is not None:
        statuses |= {413, 415}
    if "{" in route.path:
        statuses |= {404, 414}
    if route.query is not None:
        statuses.add(414)
    return statuses


def _places(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _ID if name.endswith("id") else _NAME,
            "description": route.places.get(name) or "The " + name.replace("_", "'s "),
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _parameters(route: Route, schema_of: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties = components[_component(schema_of, route.query)]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": schema.get("description", name),
            "schema": _plain(schema),
        }
        for name, schema in properties.items()
    ]


def _component(schema_of: dict[str, Any], type_: Any) -> str:
    """Return what a struct is called in the description: types of one name get longer ones."""
    reference: str = schema_of[repr(type_)]["$ref"]
    return reference.removeprefix(_REFERENCE.format(name=""))


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without null: in an address a parameter is there or not."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema = {
            **{key: value for key, value in schema.items() if key not in {"anyOf", "default"}},
            **kinds[0],
        }
    return {key: value for key, value in schema.items() if key != "description"}


def _document(schema: dict[str, Any]) -> None:
    """Move what a type's docstring says about its fields to the fields."""
    text, _, arguments = inspect.cleandoc(schema.get("description", "")).partition("\n\nArgs:\n")
    schema["description"] = text
    for name, described in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE):
        if name in schema.get("properties", {}):
            field = schema["properties"][name]
            words = re.sub(r"\s+", " ", described)
            schema["properties"][name] = {**field, "description": words}


def _content(schema: dict[str, Any], types: Iterable[str]) -> dict[str, Any]:
    return {name: {"schema": schema} for name in types}


def _problem(status: int) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": _content({"$ref": _REFERENCE.format(name="Problem")}, ["application/problem+json"]),
    }
    if status in {429, 503}:
        problem["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait"}}
    return problem
