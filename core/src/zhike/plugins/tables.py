"""The state of plugins, which all processes of an installation share."""

from piccolo.columns import JSONB, Array, BigInt, Boolean, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Circuit", "CustomerRowsTable", "Plugin", "PluginGeneration", "Process"]


class Plugin(Table, tablename="plugin"):
    """A plugin that is, or once was, installed."""

    name = Text(primary_key=True)
    distribution = Text()
    version = Text()
    installed = Boolean()
    enabled = Boolean()
    claims = Array(base_column=Text())
    stage = Text(null=True, default=None)
    problem = Text(null=True, default=None)
    hint = Text(null=True, default=None)
    fingerprint = Text(null=True, default=None)
    updated_at = Timestamptz()


class PluginGeneration(Table, tablename="plugin_generation"):
    """One row: how often the set of plugins has changed; a process that sees a newer number starts anew."""

    one = Boolean(primary_key=True, default=True)
    generation = BigInt()
    tried = Array(base_column=Text(), help_text="Codes for which it was counted up since somebody last changed it.")


class Circuit(Table, tablename="circuit"):
    """A hook of a plugin that failed lately; it is off once `opened_at` is set."""

    # The key is (plugin, hook); Piccolo knows keys of one column only and would add an `id` without one.
    plugin = Text(primary_key=True, unique=False)
    hook = Text()
    failures = Integer()
    opened_at = Timestamptz(null=True, default=None)
    last_error = Text()


class Process(Table, tablename="process"):
    """A process that runs plugins."""

    id = Text(primary_key=True)
    kind = Text()
    host = Text()
    pid = Integer()
    generation = BigInt()
    plugins = JSONB(help_text="The enabled plugins it found, each with the fingerprint of its code.")
    started_at = Timestamptz()
    seen_at = Timestamptz()


class CustomerRowsTable(Table, tablename="customer_rows"):
    """A plugin's declaration that a table holds rows about customers."""

    plugin = Text()
    table_name = Text(primary_key=True, unique=False)
    column_name = Text()
    on_merge = Text()
    on_erase = Text()
