"""The details of the audit trail for people: names of users and teams, labels of fields and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.roles import ROLE_LABELS
from zhike.i18n import Text, say, text
from zhike.pages.people import matrix
from zhike.pages.tasks.words import PRIORITIES, STATUSES

if TYPE_CHECKING:
    from zhike.ui import PageCall

NOTHING = "—"
"""What stands for a value that is empty."""
_USERS = frozenset({"owner", "user", "user_id", "assignee"})
_TEAMS = frozenset({"team", "team_id", "parent_id"})
_WORDS: Mapping[str, Mapping[str, Text]] = {
    "status": {key: badge.label for key, badge in STATUSES.items()},
    "priority": {key: badge.label for key, badge in PRIORITIES.items()},
    "permissions": matrix.SCOPES,
    "rules": matrix.RULES,
    "role": ROLE_LABELS,
}


class Values:
    """Says what stands in details, to one reader.

    Args:
        call: Who reads; the names of people have been renewed.
        fields: Labels of the fields of customers, by the keys that rules name them by.
    """

    def __init__(self, call: PageCall, fields: Mapping[str, Text | str]) -> None:
        platform, people = call.host.platform, call.host.ui.people
        self._locale, self._zone = call.locale, call.zone
        self._names = dict.fromkeys(_USERS, people.users) | dict.fromkeys(_TEAMS, people.teams)
        permissions = {key: each.label for key, each in platform.registry.permissions.items()}
        actions = {key: each.label for key, each in platform.registry.bulk_actions.items()}
        short = {key.removeprefix("attributes."): label for key, label in fields.items()}
        self._labels: Mapping[str, Mapping[str, Text | str]] = {
            "permissions": permissions,
            "rules": fields,
            "fields": {**short, **fields},
            "action": actions,
        }

    def plain(self, key: str, value: Any) -> str:
        """Return a value as people read it; what nobody knows better, as it is written."""
        if value is None or value in ("", [], {}):
            return NOTHING
        if isinstance(value, dict):
            return self._pairs(key, value)
        if isinstance(value, list) and not any(isinstance(each, list) for each in value):
            return self._joined(self.plain(key, each) for each in value)
        if isinstance(value, bool):
            return (text("Yes") if value else text("No")).render(self._locale)
        if not isinstance(value, str | int):
            value = msgspec.json.encode(value).decode()
        with suppress(ValueError, TypeError, OverflowError):
            if key.endswith("_at"):
                value = f"{datetime.fromisoformat(str(value)).astimezone(self._zone):%Y-%m-%d %H:%M}"
            elif key in self._names:
                value = self._names[key].get(int(value), value)
        return self._word(key, str(value), _WORDS.get(key, {}))

    def _pairs(self, key: str, value: dict[str, Any]) -> str:
        if isinstance(value.get("label"), str):
            return str(value["label"])
        if any(isinstance(each, dict | list) for each in value.values()):
            return msgspec.json.encode(value).decode()
        words = _WORDS.get(key, {})
        pairs = ((self._word(key, name, {}), self._word("", str(each), words)) for name, each in value.items())
        return self._joined(
            text("{label}: {value}", label=name, value=each).render(self._locale) for name, each in pairs
        )

    def _word(self, key: str, value: str, words: Mapping[str, Text]) -> str:
        return say(words.get(value) or self._labels.get(key, {}).get(value, value), self._locale)

    def _joined(self, parts: Any) -> str:
        return text(", ").render(self._locale).join(parts)
