"""What two customers have in common that says they may be one: each rule with its score and its reason for people.

A score says how sure a rule is, from 0 to 100. Several rules that hold leave doubt only as far as each does: what 80
and 70 leave is 20 % of 30 %, so that together they score 94.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.customers.duplicates.facts import Facts
from zhike.i18n import Text, text

SURE = 99
"""The score of a pair is never higher: a person decides."""
DETECTED = "detected"
"""The reason of pairs that no event named."""


class Rule(NamedTuple):
    """What says that two customers may be one.

    Args:
        score: How sure it is.
        fields: The fields it compares; who does not see all of them whole is not told.
        label: The reason for people.
    """

    score: int
    fields: frozenset[str]
    label: Text


def _rule(score: int, label: Text, *fields: str) -> Rule:
    return Rule(score, frozenset(fields), label)


RULES: Mapping[str, Rule] = {
    "name_phone": _rule(95, text("Same name, same phone number"), "name", "phone"),
    "phone_typo": _rule(85, text("Same name, phone numbers that differ by a slip"), "name", "phone"),
    "name_email": _rule(80, text("Same name, same beginning of the e-mail address"), "name", "email"),
    "company_name": _rule(80, text("Same company name but for its legal form and place"), "name"),
    "phone_tail": _rule(75, text("Same name, phone numbers with the same last four digits"), "name", "phone"),
    "name_birthday": _rule(75, text("Same name, same birthday"), "name", "attributes.birthday"),
    "name_company": _rule(70, text("Same name, same company"), "name", "company"),
    "pinyin_birthday": _rule(65, text("Names that sound the same, same birthday"), "name", "attributes.birthday"),
    "pinyin_phone": _rule(
        60, text("Names that sound the same, phone numbers with the same last four digits"), "name", "phone"
    ),
    "name_city": _rule(40, text("Same name, same city"), "name", "attributes.city"),
}
"""By their names, which are stored."""

REASONS: Mapping[str, Text] = {
    "strong_identity": text("One event named both"),
    "weak_identity": text("They used the same device"),
    "many_events": text("A visitor with very many events turned out to be the other one"),
    "refused": text("A plugin could not merge them"),
}
"""What ingest has found, which stands beside what rules say."""


def visible_rules(actor: Actor) -> list[str]:
    """Return the rules that tell `actor` nothing about fields they do not see whole."""
    kept = masked_fields(actor)
    return [name for name, rule in RULES.items() if rule.fields.isdisjoint(kept)]


def score_of(rules: Iterable[str]) -> int:
    """Return how sure several rules are together; 0 for none."""
    doubt = 1.0
    for name in rules:
        doubt *= 1 - RULES[name].score / 100
    return min(SURE, round(100 * (1 - doubt)))


def compare(one: Facts, other: Facts) -> list[str]:
    """Return the names of the rules that hold for two customers; a person and a company have nothing in common."""
    if one.kind != other.kind or not one.reading or one.reading != other.reading:
        return []
    birthday = bool(one.birthday) and one.birthday == other.birthday
    tails = not {phone[-4:] for phone in one.phones}.isdisjoint(phone[-4:] for phone in other.phones)
    if one.name != other.name:
        return [name for name, holds in (("pinyin_birthday", birthday), ("pinyin_phone", tails)) if holds]
    typo = any(slip(mine, theirs) for mine in one.phones for theirs in other.phones)
    same = not one.phones.isdisjoint(other.phones)
    held = {
        "company_name": one.kind == "company",
        "name_phone": same,
        "phone_typo": typo and not same,
        "phone_tail": tails and not (same or typo),
        "name_email": not one.emails.isdisjoint(other.emails),
        "name_birthday": birthday,
        "name_company": bool(one.company) and one.company == other.company,
        "name_city": bool(one.city) and one.city == other.city,
    }
    return [name for name, holds in held.items() if holds]


def slip(one: Sequence[str], other: Sequence[str]) -> bool:
    """Say whether two numbers are one but for a digit, or for two that changed places."""
    if len(one) != len(other):
        return False
    wrong = [place for place, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine != theirs]
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
        return (one[wrong[0]], one[wrong[1]]) == (other[wrong[1]], other[wrong[0]])
    return len(wrong) == 1
