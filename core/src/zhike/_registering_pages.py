"""The register family, for the web UI: what a plugin adds to pages, settings, rules and the sample company."""

# mypy: disable-error-code="empty-body"
# A hook is declared by its signature and docstring; it is never run.

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Action, BulkAction, Column, DemoData, NavItem, PageRoute, Panel, Picker, SettingsGroup
from zhike.hooks import hook

__all__ = [
    "register_actions",
    "register_bulk_actions",
    "register_columns",
    "register_demo_data",
    "register_nav_items",
    "register_pages",
    "register_panels",
    "register_pickers",
    "register_settings_groups",
]


@hook(family="register", since="0.1")
def register_pages() -> Sequence[PageRoute]:
    """Return the plugin's pages in the web UI, their parts, and what their forms are sent to.

    They are served as they are, beside the API. A page is there for those who hold its permission; others do not find
    it in the navigation and are refused.

    Returns:
        Routes whose paths begin with the plugin's name, each with a permission, `Public` or `Personal`.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_pages():
            async def cards(call):
                return await call.render("stamps/cards.html", cards=[])

            return [PageRoute(path="/stamps/cards", handler=cards, permission="customers.read")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_nav_items() -> Sequence[NavItem]:
    """Return the entries that the plugin adds to the navigation.

    The command palette (Ctrl-K) finds them too.

    Returns:
        Entries whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_nav_items():
            where = {"path": "/stamps/cards", "permission": "customers.read", "group": "customers"}
            return [NavItem(key="stamps.cards", label="Stamp cards", icon="rubber-stamp", **where)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_panels() -> Sequence[Panel]:
    """Return the cards that the plugin adds to the customer's page and the home page.

    Each is loaded by itself after the page: one that is slow or fails does not hold up the others.

    Returns:
        Panels whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_panels():
            async def load(call, customer_id):
                return {"stamps": 3}

            what = {"template": "stamps/panel.html", "permission": "customers.read"}
            return [Panel(key="stamps.card", label="Stamps", load=load, **what)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_columns() -> Sequence[Column]:
    """Return the columns that the plugin adds to the list of customers.

    The core reads all columns of a page in one statement; none is shown until the reader chooses it.

    Returns:
        Columns whose keys begin with the plugin's name, on relations whose names do.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_columns():
            what = {"relation": "stamps_total", "kind": "number", "permission": "customers.read"}
            return [Column(key="stamps.total", label="Stamps", **what)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_bulk_actions() -> Sequence[BulkAction]:
    """Return what the plugin can do to many customers at once.

    They are run in the background, up to 500 customers in one transaction, for those customers only for whom the actor
    holds the permission.

    Returns:
        Actions whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_bulk_actions():
            async def give(work, actor, customer_ids, options):
                for customer_id in customer_ids:
                    work.emit("stamps.given", customer_id)
                return len(customer_ids)

            what = {"icon": "rubber-stamp", "permission": "customers.write", "confirm": "Gives {n} customers a stamp"}
            return [BulkAction(key="stamps.give", label="Give a stamp", run=give, **what)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_pickers() -> Sequence[Picker]:
    """Return what fields of forms can be chosen from, by those who look for it while they type.

    Forms of all plugins, and the builder of conditions, offer them.

    Returns:
        Pickers whose keys are the plugin's name or nouns of its `CLAIMS`.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_pickers():
            async def find(call, typed, limit):
                return [Choosable(value=7, label="Summer card")]

            return [Picker(key="stamps", find=find, permission="customers.read")]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_settings_groups() -> Sequence[SettingsGroup]:
    """Return the settings of the plugin that can be changed while it runs.

    The settings page is made from the struct. `platform.config.get(Struct)` returns what holds: the environment's
    value, else the stored one, else the default. Whoever must act on a change implements `on_settings_changed`.

    Returns:
        Groups named like the plugin, or with keys that begin with its name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_settings_groups():
            import msgspec

            StampSettings = msgspec.defstruct("StampSettings", [("per_order", int, 1)], frozen=True)
            what = {"struct": StampSettings, "permission": "plugins.manage"}
            return [SettingsGroup(key="stamps", label="Stamps", **what)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_actions() -> Sequence[Action]:
    """Return what rules and automations can have the plugin do to customers.

    Whoever builds a rule is offered all actions with a form made from the struct.

    Returns:
        Actions whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_actions():
            import msgspec

            async def give(work, customer_ids, params):
                for customer_id in customer_ids:
                    work.emit("stamps.given", customer_id)

            GiveStamps = msgspec.defstruct("GiveStamps", [("count", int, 1)], frozen=True)
            return [Action(key="stamps.give", label="Give stamps", icon="rubber-stamp", params=GiveStamps, run=give)]

    Since: 0.1
    """


@hook(family="register", since="0.1")
def register_demo_data() -> Sequence[DemoData]:
    """Return what the plugin adds to the sample company.

    `make` is called with a `zhike.contracts.DemoContext` by `zhike demo`, when the company's customers and events are
    there, and again after a start that was cut off; it leaves alone what it finds there already.

    Returns:
        Parts whose keys begin with the plugin's name.

    Batching: Once when a process starts.
    Failure: The plugin is left out whole, with a message on the plugins page; the others run.

    Example:
        @hookimpl
        def register_demo_data():
            async def make(company):
                pass

            return [DemoData(key="stamps.cards", make=make)]

    Since: 0.1
    """
