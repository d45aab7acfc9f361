"""The copy of everything that is stored about one person, as one JSON document in constant memory."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import IO, Any

import msgspec

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import COLUMNS, HIDDEN, field_of, masked, rules_of
from zhike.access.roles import CUSTOMERS_EXPORT, Rule
from zhike.access.scope import visible_customers
from zhike.api import MAX_LIMIT, Stream
from zhike.customers import service
from zhike.customers.erase import TREE
from zhike.customers.service import Customer, customer_of, not_found
from zhike.customers.showing import ATTRIBUTES
from zhike.customers.traits import public_name
from zhike.errors import NotFound
from zhike.events.service import timeline
from zhike.platform import Platform
from zhike.plugins.personal import rows_of
from zhike.work import Work, begin

FORMAT = "zhike-person-export/1"
STAGES = "customer_stage"
"""The table with values of a field that the customer had before."""
IN_MEMORY = 1024 * 1024
"""Bytes of a document that are kept in memory; what is larger goes through a file that has no name."""
PIECE = 64 * 1024
SECONDS = 600.0
SHORTEST = 6
"""Bytes of a masked value that is looked for everywhere; shorter ones would be found in words and numbers."""

# One snapshot for all parts.
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_VISIBLE = "SELECT EXISTS (SELECT FROM customer AS c WHERE c.id = $1 AND {visible})"
_PROVENANCE = """
SELECT p.key AS field, p.value ->> 0 AS source, to_timestamp((p.value ->> 1)::numeric / 1000) AS at
FROM customer, jsonb_each(provenance) AS p WHERE id = $1 ORDER BY p.key
"""
_PEOPLE = f"SELECT {service.COLUMNS} FROM customer AS c WHERE c.id = ANY($1::bigint[])"
_MERGES = """
SELECT winner_id, loser_id, reason, origin, created_at FROM customer_merge
WHERE winner_id = ANY($1::bigint[]) ORDER BY id
"""


async def export(platform: Platform, actor: Actor, customer_id: int) -> Stream:
    """Return all that is stored about a customer, as `docs/privacy.md` describes it.

    It is whole before the first piece is sent, and audited in the transaction that has read it.

    Args:
        platform: The process's platform.
        actor: Who asks; sees fields masked, or not at all, as everywhere.
        customer_id: The customer; one merged away stands for the winner.

    Raises:
        NotFound: If there is none, or it is none that `actor` may export.
    """
    document: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed when it has been sent
    try:
        async with begin(platform, origin=actor.origin, seconds=SECONDS) as work:
            await work.connection.execute(_SNAPSHOT)
            customer = await service.get(platform.db, actor, customer_id)
            visible = visible_customers(actor, "c", CUSTOMERS_EXPORT)
            if not await work.connection.fetchval(_VISIBLE.format(visible=visible), customer.id):
                raise not_found(customer_id)
            async for part in _parts(work, actor, customer):
                document.write(part)
            await audit.record(work.connection, actor, "customer.export", f"customer:{customer.id}", {})
    except BaseException:
        document.close()
        raise
    return Stream(_pieces(document), "application/json", f"customer-{customer.id}.json")


async def _pieces(document: IO[bytes]) -> AsyncGenerator[bytes, None]:
    with document:
        document.seek(0)
        while piece := document.read(PIECE):
            yield piece


async def _parts(work: Work, actor: Actor, customer: Customer) -> AsyncIterator[bytes]:
    connection = work.connection
    tree: list[int] = await connection.fetchval(TREE, customer.id)
    opened, rules = (await work.platform.customer_fields.renew()).opened, rules_of(actor)
    people = [opened(customer_of(row, Actor.system())) for row in await connection.fetch(_PEOPLE, tree)]
    veil = _veil(rules, people)
    begun = {"format": FORMAT, "exported_at": work.now, "customer": opened(customer)}
    yield wire.encode(begun, "json").removesuffix(b"}")
    known = [dict(row) for row in await connection.fetch(_PROVENANCE, customer.id)]
    shown = [each for each in known if rules.get(public_name(each["field"])) != "hide"]
    merges = [dict(row) for row in await connection.fetch(_MERGES, tree)]
    yield b',"provenance":%b,"merges":%b,"events":' % (wire.encode(shown, "json"), wire.encode(merges, "json"))
    async for piece in _events(work, actor, customer.id):
        yield veil(piece)
    yield b',"tables":{'
    between, last = b"", ""
    async for _, table, row in rows_of(connection, tree):
        if table == STAGES and "stage" in rules:
            continue
        if table != last:
            yield b'%b"%b":[' % (b"]," if last else b"", table.encode())
            between, last = b"", table
        yield between + veil(row.encode())
        between = b","
    yield b']},"sections":' if last else b'},"sections":'
    found = await work.platform.hooks.duty("export_customer_data", customer_id=customer.id, work=work)
    yield veil(wire.encode(found, "json")) + b"}\n"


async def _events(work: Work, actor: Actor, customer_id: int) -> AsyncIterator[bytes]:
    """Give all events, the latest first; null if the actor may not read them."""
    cursor, between, db, registry = None, b"[", work.platform.db, work.platform.registry
    while True:
        try:
            page = await timeline(db, actor, customer_id, limit=MAX_LIMIT, cursor=cursor, registry=registry)
        except NotFound:
            yield b"null"
            return
        for event in page.items:
            yield between + wire.encode(event, "json")
            between = b","
        if page.next is None:
            yield b"[]" if between == b"[" else b"]"
            return
        cursor = page.next


def _veil(rules: Mapping[str, Rule], people: Sequence[Customer]) -> Callable[[bytes], bytes]:
    """Return a function that masks customers' values in JSON wherever they stand, for who sees them masked."""
    shown: dict[bytes, bytes] = {}
    known: list[tuple[str, Any]] = []
    for whole in people:
        known += [(field, getattr(whole, field)) for field in COLUMNS]
        known += [(ATTRIBUTES + key, value) for key, value in msgspec.json.decode(whole.attributes, type=dict).items()]
        known += [(field_of(namespace), value) for namespace, values in whole.identities.items() for value in values]
    for field, value in known:
        for form in {value, value.removeprefix("+86")} if isinstance(value, str) and field in rules else ():
            if len(form.encode()) >= SHORTEST:
                instead = masked(field, form) if rules[field] == "mask" else HIDDEN
                shown[msgspec.json.encode(form)[1:-1]] = msgspec.json.encode(instead)[1:-1]
    order = sorted(shown, key=len, reverse=True)

    def veil(part: bytes) -> bytes:
        for value in order:
            part = part.replace(value, shown[value])
        return part

    return veil
