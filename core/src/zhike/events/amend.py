"""Lets plugins complete, correct or drop incoming events, after they were checked and before they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from zhike import wire
from zhike.contracts import IncomingDraft
from zhike.events.checks import BadItem, KnownTypes, check_items
from zhike.events.schemas import CheckedEvent, IncomingEvent, Rejection
from zhike.hooks import HookFailed
from zhike.i18n import text
from zhike.money import to_major
from zhike.platform import Platform

HOOK = "amend_incoming_events"
BATCH = 1_000
"""Most events of one call."""

_SAME = ("message_id", "name", "occurred_at", "currency", "source")
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


async def amend(
    platform: Platform, events: Sequence[CheckedEvent], *, now: datetime, types: KnownTypes
) -> tuple[Sequence[CheckedEvent], list[Rejection]]:
    """Pass events through the plugins; call it outside of any transaction.

    What a plugin changes is checked like what comes from outside. If anything it did to a batch cannot be taken,
    all it did to that batch is undone.

    Args:
        platform: The process's platform.
        events: Checked events.
        now: The present instant, aware.
        types: The registered event types.

    Returns:
        The events to store, and those that a plugin has dropped.
    """
    if not platform.hooks.implementers(HOOK):
        return events, []
    kept: list[CheckedEvent] = []
    dropped: list[Rejection] = []
    for start in range(0, len(events), BATCH):
        batch = _Batch(platform, events[start : start + BATCH], now, types)
        drafts = [_draft(event) for event in batch.events]
        await platform.hooks.amend(HOOK, "events", copy=batch.copy, check=batch.check, events=drafts)
        kept += batch.events
        dropped += batch.dropped
    return kept, dropped


class _Batch:
    def __init__(self, platform: Platform, events: Sequence[CheckedEvent], now: datetime, types: KnownTypes) -> None:
        self.events = self._given = events
        self.dropped: list[Rejection] = []
        self._settings = platform.settings
        self._now = now
        self._types = types
        # The dispatcher makes a copy for each plugin in turn, and does not say for which.
        self._plugins = iter(platform.hooks.implementers(HOOK))
        self._plugin = ""

    def copy(self, drafts: list[IncomingDraft]) -> list[IncomingDraft]:
        self._plugin = next(self._plugins)
        return [
            msgspec.structs.replace(draft, traits=deepcopy(draft.traits), properties=deepcopy(draft.properties))
            for draft in drafts
        ]

    def check(self, before: list[IncomingDraft], after: list[IncomingDraft]) -> None:
        """Take over what a plugin made of the events, or raise."""
        if [(one.message_id, one.identities) for one in after] != [(one.message_id, one.identities) for one in before]:
            raise HookFailed(self._plugin, HOOK, "message_id, identities and number of events cannot be changed")
        for draft, old in zip(after, before, strict=True):
            draft.dropped = draft.dropped or old.dropped
        rows = [(place, _incoming(draft), None) for place, draft in enumerate(after) if not draft.dropped]
        checked, refused = check_items(rows, now=self._now, settings=self._settings, careful=True, types=self._types)
        if refused:
            raise HookFailed(self._plugin, HOOK, f"event {refused[0].index} cannot be taken ({refused[0].code})")
        for draft, old, event in zip(after, before, self._given, strict=True):
            if draft.dropped and not old.dropped:
                bad = BadItem("dropped", "", text("dropped by the plugin {plugin}", plugin=self._plugin))
                self.dropped.append(bad.rejection(event.index))
        for event in checked:
            given = self._given[event.index]
            event.index, event.identities = given.index, given.identities
        self.events = checked


def _draft(event: CheckedEvent) -> IncomingDraft:
    amount, currency = event.amount, event.currency
    return IncomingDraft(
        **{name: getattr(event, name) for name in _SAME},
        identities=tuple(event.identities),
        traits=event.traits or {},
        amount=None if amount is None or currency is None else to_major(amount, currency),
        properties=_decode(event.properties),
    )


def _incoming(draft: IncomingDraft) -> IncomingEvent:
    return IncomingEvent(
        **{name: getattr(draft, name) for name in _SAME},
        # Any will do: the normal form of a normal form is nobody's business.
        identities={"external_id": "-"},
        traits=draft.traits or None,
        amount=draft.amount,
        properties=msgspec.Raw(wire.encode(draft.properties, "json")),
    )
