"""What people can choose that a column becomes, by name instead of by the words of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zhike.customers.field import BUILT_IN, Field
from zhike.i18n import Text, text
from zhike_imports.columns.mapping import Kind


class Choice(msgspec.Struct, frozen=True):
    """One thing that a column can become.

    Args:
        value: As `--map` has it; what ends with a colon goes on with a name.
        label: Its name for people.
    """

    value: str
    label: Text | str

    @property
    def named(self) -> bool:
        """Whether somebody has to say a name too."""
        return self.value.endswith(":")


Groups = Sequence[tuple[Text, Sequence[Choice]]]

_NUMBERS = {
    "external_id": text("Customer number"),
    "phone": text("Phone"),
    "email": text("E-mail"),
    "uscc": text("Unified social credit code"),
    "wecom_external_userid": text("External user id of WeCom"),
    "wecom_unionid": text("Union id of WeChat"),
    "dingtalk_userid": text("User id of DingTalk"),
    "device_id": text("Device"),
    "anonymous_id": text("Anonymous visitor"),
}
_EVENT = {
    "occurred_at": text("When it happened"),
    "amount": text("Amount"),
    "currency": text("Currency"),
    "name": text("Name of the event"),
    "message_id": text("Number of the event"),
    "source": text("Source"),
}
_PROPERTY = {
    "property:": text("Property"),
    "text:": text("Property, kept as text"),
    "number:": text("Property, a number"),
}
_CUSTOMER = {
    "name": text("Name"),
    "company": text("Company"),
    "kind": text("Person or company"),
    "stage": text("Stage"),
    "owner": text("Owner, by login"),
    "team": text("Team, by name"),
    "created_at": text("First seen"),
    "updated_at": text("When this was known"),
    "source": text("Source"),
}
_ATTRIBUTE = {
    "attribute:": text("Attribute"),
    "text:": text("Attribute, kept as text"),
    "number:": text("Attribute, a number"),
    "date:": text("Attribute, a date"),
    "list:": text("Attribute, a list"),
}
_OTHER_NUMBER = Choice("identity:", text("Another number that is theirs alone"))
IGNORE = Choice("ignore", text("Leave out"))


def groups(kind: Kind, fields: Mapping[str, Field]) -> Groups:
    """Return what columns can become in files of a kind, under headings.

    Args:
        kind: What the file is of.
        fields: The fields of customers, by key.
    """
    own = [field for field in fields.values() if not (field.built_in or field.archived)]
    leave = (text("Or"), [IGNORE])
    if kind == "customers":
        who = [Choice(name if name in {"phone", "email"} else f"identity:{name}", _NUMBERS[name]) for name in _NUMBERS]
        return [
            (text("Who the customer is"), [*who, _OTHER_NUMBER]),
            (text("Fields"), [*_choices(_CUSTOMER), *(Choice(f"attribute:{f.key}", f.shown) for f in own)]),
            (text("Anything else"), _choices(_ATTRIBUTE)),
            leave,
        ]
    known = [Choice(f"trait:{key}", label) for key, label in BUILT_IN.items() if key not in {"phone", "email"}]
    return [
        (text("Who the customer is"), [*(Choice(f"identity:{n}", _NUMBERS[n]) for n in _NUMBERS), _OTHER_NUMBER]),
        (text("What happened"), _choices(_EVENT)),
        (text("Anything else about it"), _choices(_PROPERTY)),
        (
            text("What is now known of the customer"),
            [*known, *(Choice(f"trait:{f.key}", f.shown) for f in own), Choice("trait:", text("Another field"))],
        ),
        leave,
    ]


def placed(target: str, known: Groups) -> tuple[str, str]:
    """Return what a select holds for a target, and the name beside it."""
    values = {choice.value for _, choices in known for choice in choices}
    if target in values:
        return target, ""
    kind, _, key = target.partition(":")
    if f"attribute:{key}" in values and kind in {"text", "number", "date", "list"}:
        return f"attribute:{key}", ""  # which is read by the field's own type
    return f"{kind}:", key


def _choices(labels: Mapping[str, Text]) -> list[Choice]:
    return [Choice(value, label) for value, label in labels.items()]
