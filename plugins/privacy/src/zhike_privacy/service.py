"""Consents: what people have agreed to and withdrawn, each with what proves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access import audit
from zhike.access.paging import paged
from zhike.api import MAX_ID, Call, Page
from zhike.customers import service as customers
from zhike.customers.erase import readmit
from zhike.customers.identities import normalise, order
from zhike.customers.said import require_nameable
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.events import ingest
from zhike.events.emit import hold
from zhike.events.schemas import CheckedEvent
from zhike.events.sql import known
from zhike.i18n import text
from zhike.ids import new_message_id
from zhike_privacy.register import purposes
from zhike_privacy.register.consent import Consent, ConsentFacts, ConsentsQuery, NewConsent
from zhike_privacy.register.instants import past

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.work import Work

_SHOWN = "id, customer_id, purpose, granted, channel, at, proof, text_version, actor, recorded_at"
_LIST = f"SELECT {_SHOWN} FROM privacy_consent WHERE customer_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2"
_ALL = f"SELECT {_SHOWN} FROM privacy_consent WHERE customer_id = $1 ORDER BY id"
# It replaces what everybody has said who has become this customer.
_INSERT = f"""
INSERT INTO privacy_consent (
  customer_id, purpose, homes, granted, channel, at, proof, proof_hash, text_version, actor, recorded_at
)
SELECT $1, $2, ARRAY(
  SELECT $1 UNION SELECT unnest(homes) FROM privacy_consent WHERE customer_id = $1 AND purpose = $2
), $3, $4, $5, $6, $7, $8, $9, $10
RETURNING {_SHOWN}
"""
_ERASE = """
WITH gone AS (DELETE FROM privacy_consent WHERE customer_id = ANY($1::bigint[]) RETURNING *)
INSERT INTO privacy_proof (proof_hash, purpose, granted, text_version, at)
SELECT proof_hash, purpose, granted, text_version, at FROM gone ORDER BY id
"""
_ERASE_REQUESTS = "UPDATE privacy_request SET customer_id = NULL, note = '' WHERE customer_id = ANY($1::bigint[])"


async def record(work: Work, actor: Actor, new: NewConsent) -> Consent:
    """Record what somebody has said about a purpose.

    Emits `consent.granted` or `consent.withdrawn`. A consent that comes with identities of erased people has their
    events taken again.

    Args:
        work: The unit of work.
        actor: Who records it.
        new: What was said.

    Raises:
        BadRequest: If something about it is wrong; the message begins with the field.
        NotFound: If there is no such purpose or customer, or `actor` does not see the customer.
        Conflict: If the purpose is archived, or the identities belong to several customers.
    """
    purpose = await purposes.get(work.connection, new.purpose)
    if new.granted and purpose.archived_at is not None:
        raise Conflict(text("The purpose {key} is archived", key=purpose.key))
    if new.granted and not new.proof.strip():
        raise BadRequest(text("proof: a consent counts only with what proves it"))
    version = new.text_version or len(purpose.texts)
    if version > len(purpose.texts):
        raise BadRequest(text("text_version: there is no version {version}", version=version))
    at = past("at", new.at, work.platform.settings.zone, work.now)
    customer_id = await _customer(work, actor, new)
    told = msgspec.json.encode([purpose.key, new.granted, at, new.proof])
    proof_hash = await work.platform.vault.hash(told, "privacy.proof")
    said = (new.granted, new.channel, at, new.proof, proof_hash, version, actor.origin, work.now)
    row = await work.connection.fetchrow(_INSERT, customer_id, purpose.key, *said)
    assert row is not None  # noqa: S101  # an INSERT returns its row
    consent = Consent(**dict(row))
    facts = ConsentFacts(
        consent_id=consent.id, purpose=consent.purpose, channel=consent.channel, text_version=consent.text_version
    )
    name = "consent.granted" if consent.granted else "consent.withdrawn"
    work.emit(name, customer_id, key=str(consent.id), properties=facts, occurred_at=at)
    await audit.record(work.connection, actor, name, f"customer:{customer_id}", msgspec.structs.asdict(facts))
    return consent


async def list_consents(call: Call, query: ConsentsQuery) -> Page[Consent]:
    """List what a customer has said about purposes, the latest record first.

    Raises:
        NotFound: If there is no such customer, or the actor does not see it.
    """
    customer = await customers.get(call.db, call.actor, query.customer_id, permission="privacy.read")
    scope = f"consents:{customer.id}"
    return await paged(call, query, scope, _LIST, lambda row: Consent(**dict(row)), customer.id, first=MAX_ID)


async def export(customer_id: int, work: Work) -> dict[str, object]:
    """Return what a customer has said, with the name of each purpose and the text they were shown."""
    said = []
    for row in await work.connection.fetch(_ALL, customer_id):
        purpose = await purposes.get(work.connection, row["purpose"])
        shown: dict[str, Any] = {"purpose": purpose.name, "text": purpose.texts[row["text_version"] - 1].text}
        said.append(shown | {name: row[name] for name in ("granted", "channel", "at", "proof")})
    return {"consents": said}


async def erase(customer_ids: Sequence[int], work: Work) -> None:
    """Forget what erased customers have said, but for the hashes of what proves it, and what they have asked for."""
    await work.connection.execute(_ERASE, customer_ids)
    await work.connection.execute(_ERASE_REQUESTS, customer_ids)


async def _customer(work: Work, actor: Actor, new: NewConsent) -> int:
    """Return who said it, who stays this customer until the work ends."""
    if (new.customer_id is None) == (new.identities is None):
        raise BadRequest(text("customer_id: expected either this or identities"))
    customer_id = new.customer_id or await _identified(work, actor, new)
    try:
        customer_id = (await customers.get(work.platform.db, actor, customer_id, permission="privacy.record")).id
    except NotFound:
        if new.customer_id is None:  # its id would say that somebody has these identities
            raise _nobody() from None
        raise
    winners = await hold(work.connection, [customer_id])
    if customer_id not in winners:
        raise customers.not_found(customer_id)
    return winners[customer_id]


async def _identified(work: Work, actor: Actor, new: NewConsent) -> int:
    """Return whom identities belong to; who consents and is not known, or was erased, becomes a customer."""
    given = new.identities or {}
    pairs = [(name, normalise(name, given[name])) for name in sorted(given, key=order)]
    require_nameable(actor, pairs)
    if new.granted:
        await readmit(work.connection, work.platform.vault, pairs)
        bare = CheckedEvent(0, "", new_message_id(), work.now, pairs)
        origin, platform = actor.origin, work.platform
        stored = await ingest.store(work.connection, [bare], origin=origin, live=True, now=work.now, platform=platform)
        if stored.rejected:
            raise Conflict(text("identities: {detail}", detail=stored.rejected[0].message))
    owners = (await known(work.connection, [], pairs)).owners
    found = next((owners[pair] for pair in pairs if pair in owners), None)
    if found is None:
        raise _nobody()
    return found


def _nobody() -> NotFound:
    return NotFound(text("identities: they belong to no customer"))
