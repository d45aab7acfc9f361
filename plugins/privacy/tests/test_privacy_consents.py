"""Consents: recorded with proof, strictest after a merge, a condition field with history, and erased but for hashes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zhike_privacy import plugin

pytestmark = pytest.mark.plugins("privacy")

API = "/api/v1"
PHONE = "13912345678"
LIN = {"phone": PHONE}
SAID = {"purpose": "news", "channel": "form", "proof": "form 88, signed by 林晚秋"}


@pytest.fixture
async def purpose(client):
    """A purpose to consent to."""
    new = {"key": "news", "name": "News", "text": "We send you news.", "separate": True}
    answer = await client.post(f"{API}/privacy/purposes", json=new)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def say(client, status=200, **said):
    answer = await client.post(f"{API}/privacy/consents", json=SAID | said)
    assert answer.status_code == status, answer.text
    return answer.json()


async def customer(client, record, **identities):
    await record({"name": "page.viewed", "identities": identities})
    [(_, value)] = identities.items()
    [found] = (await client.get(f"{API}/customers", params={"q": value})).json()["items"]
    return found["id"]


async def holders(client, purpose="news", **more):
    condition = {"type": "field", "field": "consent", "op": "contains", "value": purpose, **more}
    answer = await client.post(f"{API}/customers/search", json={"condition": condition})
    assert answer.status_code == 200, answer.text
    return sorted(each["id"] for each in answer.json()["items"])


async def test_what_was_said_last_holds(client, record, purpose, frozen_now):
    lin = await customer(client, record, **LIN)
    assert await holders(client) == []
    given = await say(client, customer_id=lin)
    assert (given["granted"], given["text_version"], given["proof"]) == (True, 1, SAID["proof"])
    assert await holders(client) == [lin]
    frozen_now.advance(days=2)
    await say(client, customer_id=lin)  # once more, which ends nothing
    assert await holders(client, **{"for": "P1D"}) == [lin]
    frozen_now.advance(hours=1)
    await say(client, customer_id=lin, granted=False, proof="", channel="phone")
    assert await holders(client) == []
    # Said before the withdrawal, recorded after it.
    await say(client, customer_id=lin, at="2026-03-15T08:00:00Z")
    assert await holders(client) == []
    listed = (await client.get(f"{API}/privacy/consents", params={"customer_id": lin})).json()["items"]
    assert [each["granted"] for each in listed] == [True, False, True, True]
    events = (await client.get(f"{API}/customers/{lin}/events")).json()["items"]
    assert [each["name"] for each in events if each["name"].startswith("consent")] == [
        *("consent.withdrawn", "consent.granted", "consent.granted", "consent.granted"),
    ]


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ({"customer_id": 1, "proof": " "}, 400, "proof"),
        ({}, 400, "customer_id"),
        ({"customer_id": 1, "identities": LIN}, 400, "customer_id"),
        ({"customer_id": 1, "purpose": "nothing"}, 404, "nothing"),
        ({"customer_id": 999}, 404, "999"),
        ({"customer_id": 1, "text_version": 2}, 400, "text_version"),
        ({"customer_id": 1, "at": "2999-01-01T00:00:00Z"}, 400, "at"),
        ({"identities": {"phone": "12"}}, 400, "phone"),
        ({"identities": LIN, "granted": False}, 404, "identities"),
    ],
)
async def test_what_cannot_be_recorded(client, purpose, said, status, told):
    assert told in (await say(client, status, **said))["detail"]


async def test_a_text_gets_versions_and_an_archived_purpose_no_consents(client, record, purpose):
    lin = await customer(client, record, **LIN)
    changed = await client.patch(f"{API}/privacy/purposes/news", json={"text": "We send you more."})
    assert [each["version"] for each in changed.json()["texts"]] == [1, 2]
    assert (await say(client, customer_id=lin))["text_version"] == 2
    assert (await say(client, customer_id=lin, text_version=1))["text_version"] == 1
    await client.patch(f"{API}/privacy/purposes/news", json={"archived": True})
    await say(client, 409, customer_id=lin)
    await say(client, customer_id=lin, granted=False)
    again = {"key": "news", "name": "x", "text": "y"}
    assert (await client.post(f"{API}/privacy/purposes", json=again)).status_code == 409


async def test_a_withdrawal_of_either_outlives_a_merge_until_a_new_consent(client, record, purpose):
    lin = await customer(client, record, **LIN)
    other = await customer(client, record, email="lin@example.com")
    await say(client, customer_id=other, granted=False, at="2026-01-01T00:00:00Z")
    await say(client, customer_id=lin, at="2026-01-02T00:00:00Z")
    merged = await client.post(f"{API}/customers/merge", json={"winner": lin, "losers": [other]})
    assert merged.status_code == 200, merged.text
    assert await holders(client) == []
    undone = await client.post(f"{API}/customers/unmerge", json={"merge_id": merged.json()["merge_id"]})
    assert undone.status_code == 200, undone.text
    assert await holders(client) == [lin]
    await client.post(f"{API}/customers/merge", json={"winner": lin, "losers": [other]})
    await say(client, customer_id=lin)
    assert await holders(client) == [lin]


async def test_identities_that_nobody_has_become_a_customer(client, purpose):
    new = await say(client, identities={"email": "neu@example.com"})
    shown = (await client.get(f"{API}/customers/{new['customer_id']}")).json()
    assert shown["identities"] == {"email": ["neu@example.com"]}
    assert (await say(client, identities={"email": "neu@example.com"}))["customer_id"] == new["customer_id"]


async def test_a_new_consent_readmits_who_was_erased(client, record, purpose, run_until_idle, database):
    lin = await customer(client, record, **LIN)
    await say(client, customer_id=lin)
    note = {"kind": "erase", "customer_id": lin, "note": "林晚秋 wrote a letter"}
    assert (await client.post(f"{API}/privacy/requests", json=note)).status_code == 200
    answer = await client.delete(f"{API}/customers/{lin}")
    await run_until_idle()
    number = answer.json()["request_id"]
    assert (await client.get(f"{API}/customers/erasures/{number}")).json()["state"] == "done"
    async with database.connection() as connection:
        proofs = await connection.fetch("SELECT purpose, granted, length(proof_hash) FROM privacy_proof")
        assert [tuple(row) for row in proofs] == [("news", True, 32)]
        assert await connection.fetchval("SELECT count(*) FROM privacy_consent") == 0
        assert await connection.fetchval("SELECT note FROM privacy_request") == ""
    event = {"name": "page.viewed", "message_id": "later", "identities": LIN}
    sent = await client.post(f"{API}/events", json={"events": [event]})
    assert [each["code"] for each in sent.json()["rejected"]] == ["erased"]
    await say(client, 404, identities=LIN, granted=False, proof="")
    again = await say(client, identities=LIN)
    assert again["customer_id"] > lin
    sent = await client.post(f"{API}/events", json={"events": [event]})
    assert sent.json()["accepted"] == 1


async def test_a_copy_for_the_person_says_what_they_agreed_to(client, record, purpose):
    lin = await customer(client, record, **LIN)
    await say(client, customer_id=lin)
    copy = (await client.get(f"{API}/customers/{lin}/export")).json()
    [said] = copy["sections"]["privacy"]["consents"]
    assert (said["purpose"], said["text"], said["proof"]) == ("News", "We send you news.", SAID["proof"])
    assert [row["purpose"] for row in copy["tables"]["privacy_consent"]] == ["news"]


async def test_whoever_records_for_their_own_customers_records_for_no_others(client, record, purpose, anonymous):
    lin = await customer(client, record, **LIN)
    permissions = {"customers.read": "all", "privacy.read": "own", "privacy.record": "own"}
    role = {"name": "clerk", "label": "Clerk", "permissions": permissions}
    assert (await client.post(f"{API}/roles", json=role)).status_code == 200
    made = await client.post(f"{API}/tokens", json={"name": "clerk", "role": "clerk"})
    anonymous.headers["authorization"] = f"Bearer {made.json()['secret']}"
    await say(anonymous, 404, customer_id=lin)
    for whose in (LIN, {"external_id": "nobody yet"}):
        await say(anonymous, 404, identities=whose)
    asked = await anonymous.post(f"{API}/privacy/requests", json={"kind": "copy", "customer_id": lin})
    listed = await anonymous.get(f"{API}/privacy/consents", params={"customer_id": lin})
    assert (asked.status_code, listed.status_code) == (404, 404)


async def test_consents_are_listed_of_somebody(client):
    answer = await client.get(f"{API}/privacy/consents")
    assert (answer.status_code, answer.json()["detail"]) == (400, "query: the field `customer_id` is missing")


async def test_who_may_only_read_records_nothing(client, record, purpose, make_token, anonymous):
    lin = await customer(client, record, **LIN)
    anonymous.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    answer = await anonymous.post(f"{API}/privacy/consents", json=SAID | {"customer_id": lin})
    assert answer.status_code == 403


async def test_its_permissions_stand_under_its_name(visit, platform, monkeypatch):
    monkeypatch.setattr(platform, "plugins", {"privacy": SimpleNamespace(module=plugin)})  # as a process loads it
    assert 'scope="rowgroup">Privacy<' in (await (await visit("admin")).get("/roles/admin")).text
