"""Requests drawn from the OpenAPI document, valid and invalid: what comes back is what the document says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from zhike._host.web.app import create_app
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.api import API, Route
from zhike.orm import Database
from zhike.platform import assemble, core_plugins
from zhike.settings import Settings


def api_routes() -> list[Route]:
    return [route for _, route in assemble(core_plugins()).registry.routes]


SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
CASES = 500 if SCALE >= 1 else int(150 * SCALE)  # of each kind, for each operation
HASHING = {f"POST {API}/session", f"POST {API}/users"}
"""What makes argon2id hashes of 64 MiB, of which few will do; tests of their own ask for more."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def secret(database_url: str) -> str:
    async def make() -> str:
        database = await Database.open(database_url)
        try:
            return (await tokens.create(database, Actor.command("test"), "fuzz", "admin"))[1]
        finally:
            await database.close()

    return asyncio.run(make())


@pytest.fixture
def described(settings: Settings, database_url: str) -> Iterator[schemathesis.BaseSchema]:
    yield schemathesis.openapi.from_asgi("/schema", create_app(settings, database_url))
    shutdown_lifespans()


@st.composite
def cases(draw: st.DrawFn, operation: schemathesis.APIOperation, mode: GenerationMode) -> schemathesis.Case:
    try:
        return draw(operation.as_strategy(generation_mode=mode))
    except RecursionError:  # conditions hold conditions; now and then the generator goes deeper than Python can
        reject()


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_answers_are_as_described(described: schemathesis.BaseSchema, secret: str, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    operations = [result.ok() for result in described.get_all_operations()]
    assert len(operations) == len(api_routes()) + 2

    if mode is GenerationMode.NEGATIVE:  # what takes nothing cannot be given anything wrong
        operations = [each for each in operations if each.body or each.query or each.path_parameters]
    for operation in operations:

        @given(case=cases(operation, mode))
        @hypothesis_settings(
            max_examples=max(1, CASES // 5 if operation.label in HASHING else CASES),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        check()
