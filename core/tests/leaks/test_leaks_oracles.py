"""What an answer could tell beside its words: whether a guess is right, whose an identity is, who is alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from leaks_world import DECOY, SPARE, VICTIM, Answer, Asker, Become, World

if TYPE_CHECKING:
    from zhike.platform import Platform

LOOKUPS = "SELECT actor, details::text FROM audit WHERE action = 'customer.lookup' ORDER BY id"


@pytest.fixture
async def masked(become: Become) -> Asker:
    """Asks as somebody who sees all fields masked."""
    return await become("masked")


@pytest.fixture
async def hidden(become: Become) -> Asker:
    """Asks as somebody who does not see the fields."""
    return await become("hidden")


@pytest.fixture
async def own(become: Become) -> Asker:
    """Asks as somebody with one customer."""
    return await become("own")


async def lookups(platform: Platform) -> int:
    async with platform.db.connection() as connection:
        return len(await connection.fetch(LOOKUPS))


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("code", "")


async def test_an_identity_that_is_not_seen_whole_cannot_be_named(
    masked: Asker, hidden: Asker, world: World, platform: Platform
) -> None:
    purpose = {"key": "news", "name": "News", "text": "We write to you", "legal_basis": "consent"}
    assert (await masked("POST", "/privacy/purposes", purpose)).status == 200
    for snoop, names in [(masked, ("email", "wecom_unionid")), (hidden, ("phone", "email", "wecom_unionid"))]:
        for person in (VICTIM, SPARE, DECOY):
            for name in names:
                named = {name: person.identities[name]}
                consent = {"purpose": "news", "identities": named, "granted": False, "channel": "web"}
                answers = [
                    await snoop("POST", "/customers", {"identities": {"external_id": "new", **named}}),
                    await snoop("PATCH", f"/customers/{world.spare}", {"add_identities": named}),
                    await snoop("PATCH", f"/customers/{world.spare}", {"remove_identities": named}),
                    await snoop("POST", "/privacy/consents", consent),
                ]
                assert {refused(answer) for answer in answers} == {(400, "masked")}, (person.name, name)
                assert len({answer.text for answer in answers}) == 1
    assert await lookups(platform) == 0


async def test_naming_a_masked_phone_leaves_its_trace(masked: Asker, world: World, platform: Platform) -> None:
    assert (await masked("GET", "/customers", query={"q": VICTIM.phone})).json["items"][0]["id"] == world.victim
    named = {"phone": VICTIM.phone}
    path = f"/customers/{world.spare}"
    answers = [
        await masked("POST", "/customers", {"identities": named}),
        await masked("PATCH", path, {"add_identities": named}),
        await masked("PATCH", path, {"remove_identities": named}),
    ]
    assert [answer.status for answer in answers] == [200, 409, 400]
    assert await lookups(platform) == 1 + len(answers)


async def test_an_identity_of_somebody_out_of_scope_says_not_whose_and_leaves_a_trace(
    own: Asker, world: World, platform: Platform
) -> None:
    for number, (method, path, key) in enumerate(
        [("POST", "/customers", "identities"), ("PATCH", f"/customers/{world.mine}", "add_identities")], 1
    ):
        answer = await own(method, path, {key: {"phone": VICTIM.phone}})
        assert answer.json["detail"] == "An identity belongs to another customer"
        assert await lookups(platform) == number
    purpose = {"key": "news", "name": "News", "text": "We write to you", "legal_basis": "consent"}
    assert (await own("POST", "/privacy/purposes", purpose)).status == 200
    consents = [{"purpose": "news", "identities": who.identities, "channel": "web"} for who in (VICTIM, DECOY)]
    for more in ({"granted": False}, {"granted": True, "proof": "letter"}):
        answers = [await own("POST", "/privacy/consents", {**each, **more}) for each in consents]
        assert [answer.status for answer in answers] == [404, 404]
        assert answers[0].text == answers[1].text


async def test_a_merge_tells_not_whether_masked_values_are_the_same(
    admin: Asker, masked: Asker, hidden: Asker, world: World
) -> None:
    told: dict[str, list[Any]] = {"masked": [], "hidden": []}
    for number, person in enumerate((VICTIM, DECOY)):
        body = {
            **person.body,
            "identities": {"external_id": f"guess-{number}"},
            "owner": world.owner * (1 - number) or 1,
        }
        guess = (await admin("POST", "/customers", body)).json["id"]
        for kind, snoop in (("masked", masked), ("hidden", hidden)):
            merge = {"winner": world.victim, "losers": [guess]}
            answer = await snoop("POST", "/customers/merge/preview", merge)
            told[kind].append(sorted(choice["field"] for choice in answer.json["fields"]))
            chosen = await snoop("POST", "/customers/merge/preview", {**merge, "fields": {"owner": guess}})
            assert refused(chosen) == (403, "hidden")
    assert told["masked"][0] == told["masked"][1]
    assert {"phone", "attributes.salary", "attributes.id_card"} <= set(told["masked"][0])
    assert told["hidden"] == [[], []]
    for field in ("attributes.income", "attributes.salary"):
        merge = {"winner": world.victim, "losers": [world.spare], "fields": {field: world.spare}}
        answer = await hidden("POST", "/customers/merge/preview", merge)
        assert refused(answer) == ((400, "bad_request") if field.endswith("income") else (403, "hidden"))


async def test_which_values_fit_a_field_is_told_only_to_those_who_see_it(masked: Asker, hidden: Asker) -> None:
    change = {"type": "choice", "choices": [{"key": str(VICTIM.salary)}]}
    for snoop in (masked, hidden):
        for key in ("salary", "id_card"):
            assert refused(await snoop("PATCH", f"/customers/fields/{key}", change)) == (403, "hidden")


async def test_of_what_is_hidden_not_even_the_name_is_told(admin: Asker, hidden: Asker, world: World) -> None:
    duplicates = [(await each("GET", "/customers/duplicates")).json["items"] for each in (admin, hidden)]
    assert [item["namespace"] for items in duplicates for item in items] == ["wecom_unionid", None]
    relations = (await hidden("GET", f"/customers/{world.victim}/relations")).json["items"]
    assert [item["other"]["name"] for item in relations] == [None, None]
    export = (await hidden("GET", f"/customers/{world.victim}/export")).json
    assert not {"phone", "name", "salary", "id_card"} & {origin["field"] for origin in export["provenance"]}


async def test_whoever_sees_an_encrypted_field_is_shown_its_value_everywhere(admin: Asker, world: World) -> None:
    path = f"/customers/{world.victim}"
    export = (await admin("GET", f"{path}/export")).json["customer"]["attributes"]
    revealed = await admin("POST", f"{path}/reveal", {"fields": ["attributes.id_card"], "reason": "a letter"})
    assert export["id_card"] == revealed.json["fields"]["attributes.id_card"] == VICTIM.id_card
    assert (await admin("GET", f"/jobs/{world.jobs[0]}")).json["payload"] == {"phone": VICTIM.phone}
    exports = (await admin("GET", "/audit", query={"action": "export.start"})).json["items"]
    assert exports[0]["details"]["condition"]["value"] == VICTIM.phone
