"""What all plugins of a process have registered, by name; who may register which name is checked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from zhike._wellformed import Misuse, check_references, check_struct
from zhike.contracts import (
    Action,
    BulkAction,
    Column,
    Command,
    ConditionField,
    Consumer,
    CustomerRows,
    DemoData,
    EventType,
    Job,
    NavItem,
    PageRoute,
    Panel,
    Permission,
    Picker,
    Route,
    Schedule,
    SettingsGroup,
)
from zhike.i18n import text


class Registry:
    """Everything that is registered.

    Attributes:
        event_types: By name.
        permissions: By key.
        routes: In the order of registration, each with its plugin.
        jobs: By name.
        schedules: By name.
        consumers: By plugin.
        commands: By name.
        customer_rows: Each with its plugin.
        condition_fields: By key.
        pages: In the order of registration, each with its plugin.
        nav_items: By key.
        panels: By key.
        columns: By key.
        bulk_actions: By key.
        pickers: By key.
        settings_groups: By key.
        actions: By key.
        demo_data: By key.
        core: The core's own nouns among the plugins.
    """

    def __init__(self) -> None:
        self.event_types: dict[str, EventType] = {}
        self.permissions: dict[str, Permission] = {}
        self.routes: list[tuple[str, Route]] = []
        self.jobs: dict[str, Job] = {}
        self.schedules: dict[str, Schedule] = {}
        self.consumers: dict[str, Consumer] = {}
        self.commands: dict[str, Command] = {}
        self.customer_rows: list[tuple[str, CustomerRows]] = []
        self.condition_fields: dict[str, ConditionField] = {}
        self.pages: list[tuple[str, PageRoute]] = []
        self.nav_items: dict[str, NavItem] = {}
        self.panels: dict[str, Panel] = {}
        self.columns: dict[str, Column] = {}
        self.bulk_actions: dict[str, BulkAction] = {}
        self.pickers: dict[str, Picker] = {}
        self.settings_groups: dict[str, SettingsGroup] = {}
        self.actions: dict[str, Action] = {}
        self.demo_data: dict[str, DemoData] = {}
        self.core: set[str] = set()
        self._owners: dict[tuple[str, str], str] = {}
        self._nouns: dict[str, str] = {}

    def owner(self, kind: str, name: str) -> str | None:
        """Return the plugin that registered a name.

        Args:
            kind: The hook without `register_`, such as `event_types` or `jobs`.
            name: The registered name.
        """
        return self._owners.get((kind, name))

    def rows_of(self, plugin: str) -> list[CustomerRows]:
        """Return the customer rows that a plugin declares."""
        return [rows for owner, rows in self.customer_rows if owner == plugin]

    def claim(self, plugin: str, nouns: Sequence[str]) -> None:
        """Note that event types, condition fields and commands may begin with `nouns` if they are the plugin's.

        Raises:
            Misuse: If another plugin or the core has one of them.
        """
        for noun in (plugin, *nouns):
            if not noun.isidentifier() or self._nouns.get(noun, plugin) != plugin:
                raise Misuse(
                    text(
                        "the noun {noun!r} cannot be claimed: it belongs to {owner}",
                        noun=noun,
                        owner=self._nouns.get(noun, "?"),
                    )
                )
        self._nouns.update(dict.fromkeys((plugin, *nouns), plugin))

    def disown(self, plugin: str) -> None:
        """Give back the nouns of a plugin that has registered nothing."""
        self._nouns = {noun: owner for noun, owner in self._nouns.items() if owner != plugin}

    def add(self, plugin: str, registered: Mapping[str, Sequence[Any]], *, core: bool = False) -> None:
        """Take over all that one plugin registers, or nothing of it.

        Args:
            plugin: Its name; `claim` came before.
            registered: Kind, such as `event_types`, to the structs of it.
            core: Whether it is one of the core's own nouns, whose names need no prefix.

        Raises:
            Misuse: If a name is taken or not the plugin's to give.
        """
        taken: set[tuple[str, str]] = set()
        for kind, structs in registered.items():
            name_of, struct_type = KINDS[kind]
            for struct in structs:
                if not isinstance(struct, struct_type):
                    raise Misuse(
                        text(
                            "register_{kind} returned {given}; expected {expected}",
                            kind=kind,
                            given=type(struct).__name__,
                            expected=struct_type.__name__,
                        )
                    )
                if not core:
                    check_struct(struct)
                key = (kind, plugin if kind == "consumers" else name_of(struct))
                if key in self._owners or key in taken:
                    raise Misuse(text("{kind} {name!r} is registered already", kind=kind, name=key[1]))
                if not core:
                    self._check_prefix(plugin, kind, key[1])
                    if isinstance(struct, ConditionField | Column):
                        self._check_prefix(plugin, "relation", struct.relation)
                taken.add(key)
        if len(registered.get("consumers", ())) > 1:
            raise Misuse(text("{plugin} registers more than one consumer", plugin=plugin))
        check_references(registered, self.permissions.keys())
        self.core |= {plugin} if core else set()
        self._owners.update(dict.fromkeys(taken, plugin))
        for kind, structs in registered.items():
            self._store(plugin, kind, structs)

    def _store(self, plugin: str, kind: str, structs: Sequence[Any]) -> None:
        target = getattr(self, kind)
        if kind in {"routes", "customer_rows", "pages"}:
            target += [(plugin, struct) for struct in structs]
        elif kind == "consumers":
            target.update(zip([plugin], structs, strict=False))
        else:
            name_of, _ = KINDS[kind]
            target.update({name_of(struct): struct for struct in structs})

    def _check_prefix(self, plugin: str, kind: str, name: str) -> None:
        first = name.split(".", maxsplit=1)[0]
        if kind in {"routes", "pages"}:
            fits = (name.split(" ")[1] + "/").startswith(f"/{plugin}/")
            expected = f"/{plugin}/…"
        elif kind in {"customer_rows", "relation"}:
            fits = name.startswith(f"{plugin}_")
            expected = f"{plugin}_…"
        elif kind in {"event_types", "commands", "condition_fields", "pickers"}:
            fits = self._nouns.get(first) == plugin
            expected = " / ".join(f"{noun}.…" for noun, owner in self._nouns.items() if owner == plugin)
        else:
            alone = kind == "settings_groups" and name == plugin
            fits = kind == "consumers" or alone or (first == plugin and "." in name)
            expected = f"{plugin}.…"
        if not fits:
            raise Misuse(
                text(
                    "{kind}: {name!r} is not this plugin's to give; expected {expected}",
                    kind=kind,
                    name=name,
                    expected=expected,
                )
            )


def _key(struct: Any) -> str:
    key: str = struct.key
    return key


def _path(struct: Any) -> str:
    return f"{struct.method} {re.sub('{.*?}', '{}', struct.path)}"


NameOf = Callable[[Any], str]
KINDS: Mapping[str, tuple[NameOf, type[msgspec.Struct]]] = {
    "event_types": (lambda struct: struct.name, EventType),
    "permissions": (_key, Permission),
    "routes": (_path, Route),
    "jobs": (lambda struct: struct.name, Job),
    "schedules": (lambda struct: struct.name, Schedule),
    "consumers": (lambda struct: "", Consumer),
    "commands": (lambda struct: struct.name, Command),
    "customer_rows": (lambda struct: f"{struct.table}.{struct.column}", CustomerRows),
    "condition_fields": (_key, ConditionField),
    "pages": (_path, PageRoute),
    "nav_items": (_key, NavItem),
    "panels": (_key, Panel),
    "columns": (_key, Column),
    "bulk_actions": (_key, BulkAction),
    "pickers": (_key, Picker),
    "settings_groups": (_key, SettingsGroup),
    "actions": (_key, Action),
    "demo_data": (_key, DemoData),
}
"""What is registered: by `register_<kind>`, with the name of a struct and its type."""
