"""Writes the generated pages of this folder from the code: `make docs`; a test compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hooks import hooks_page

from zhike._host.web import health
from zhike._host.web.openapi import describe
from zhike.api import API, Route
from zhike.platform import assemble, core_plugins

HEADER = """# API

Every request carries `Authorization: Bearer <token>` (`zhike token create`). Bodies are JSON or, by their Content-Type,
MessagePack; answers are MessagePack only if Accept asks for it. Errors are `application/problem+json` (RFC 9457) with a
stable `code` and a `detail` in the language Accept-Language asks for, Chinese or English.

Lists take `limit` (50 unless told, at most 1,000) and `cursor`, and answer `items` and `next`, the cursor of the next
page or null. A 429 or 503 says in Retry-After when to try again; repeating `POST /events` is always safe.

The machine-readable description is served at `/schema` (OpenAPI 3.1). This page is made from it.
"""


def api_routes() -> list[Route]:
    """Return the routes of the core's own nouns."""
    return [route for _, route in assemble(core_plugins()).registry.routes]


def api_page() -> str:
    """Return docs/api.md."""
    document = describe([(API, route) for route in api_routes()] + [("", route) for route in health.ROUTES])
    parts = [HEADER]
    for path, methods in document["paths"].items():
        parts += [_operation(method, path, operation) for method, operation in methods.items()]
    parts.append("# Types\n")
    parts += [_type(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"## {method.upper()} {path}\n", operation.get("description") or operation["summary"], ""]
    permission = operation.get("x-permission")
    anybody = "Whoever has logged in may call it." if operation["security"] else "Anybody may call it."
    lines.append(f"Permission: `{permission}`.\n" if permission else f"{anybody}\n")
    if operation.get("parameters"):
        lines += ["| parameter | in | type | |", "|---|---|---|---|"]
        for one in operation["parameters"]:
            shown = one.get("description", "").replace("\n", " ")
            lines.append(f"| `{one['name']}` | {one['in']} | {_kind(one['schema'])} | {shown} |")
        lines.append("")
    body = operation.get("requestBody")
    if body:
        lines.append(f"Body: {_kind(_schema(body))}.\n")
    answers = []
    for status, answer in operation["responses"].items():
        kind = _kind(_schema(answer)) if answer.get("content") else ""
        answers.append(f"{status} {kind}".strip() if status.startswith("2") else status)
    lines.append(f"Answers: {', '.join(answers)}.\n")
    return "\n".join(lines)


def _type(name: str, schema: dict[str, Any]) -> str:
    lines = [f"## {name}\n", schema.get("description", "").strip(), ""]
    if schema.get("properties"):
        lines += ["| field | type | |", "|---|---|---|"]
        for field, one in schema["properties"].items():
            shown = str(one.get("description", "")).replace("\n", " ")
            required = "" if field in schema.get("required", []) else " (optional)"
            lines.append(f"| `{field}` | {_kind(one)}{required} | {shown} |")
        lines.append("")
    return "\n".join(lines)


def _schema(container: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = next(iter(container["content"].values()))["schema"]
    return schema


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum") or [schema["const"]])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = [_kind(one) for one in schema.get("prefixItems", ())]
        return f"[{', '.join(items)}]" if items else f"list of {_kind(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    folder = Path(__file__).parent
    return {folder / "api.md": api_page(), folder / "plugins" / "hooks.md": hooks_page()}


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
