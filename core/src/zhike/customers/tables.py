"""The customers' tables: who we know, under which identities, and who turned out to be the same."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Boolean, Bytea, Date, Integer, SmallInt, Text, Timestamptz
from piccolo.table import Table

__all__ = [
    "Customer",
    "CustomerField",
    "CustomerFieldGroup",
    "CustomerMatch",
    "CustomerMerge",
    "CustomerMergeRow",
    "CustomerRelation",
    "CustomerSearch",
    "CustomerSettling",
    "CustomerStage",
    "DuplicateBlock",
    "DuplicateCandidate",
    "DuplicateScan",
    "ErasedIdentity",
    "Erasure",
    "Identity",
    "ImportChange",
]


class Customer(Table, tablename="customer"):
    """A person or a company; every trait that is no column is in `attributes`."""

    id = BigSerial(primary_key=True)
    kind = Text(default="person")
    name = Text(null=True, default=None)
    phone = Text(null=True, default=None)
    email = Text(null=True, default=None)
    company = Text(null=True, default=None)
    stage = Text(null=True, default=None)
    owner = BigInt(null=True, default=None)
    team = BigInt(null=True, default=None)
    attributes = JSONB(default="{}")
    provenance = JSONB(default="{}", help_text="Field -> [source, occurred_at in epoch ms] of what set it.")
    merged_into = BigInt(null=True, default=None, help_text="The winner, for a customer merged away.")
    created_at = Timestamptz()
    updated_at = Timestamptz()
    erased_at = Timestamptz(null=True, default=None)
    settling = Boolean(default=False, help_text="Rows still move here from customers merged into it.")


class CustomerField(Table, tablename="customer_field"):
    """What is said about a field of customers: one of an installation's own, or a column of the core."""

    key = Text(primary_key=True, unique=False)
    label = Text(default="")
    type = Text()
    choices = JSONB(default="[]")
    currency = Text(null=True, default=None)
    help = Text(default="")
    group_name = Text(default="")
    position = Integer(default=0)
    sources = Array(Text(), default=list, help_text="Sources of values, the most trusted first.")
    encrypted = Boolean(default=False)
    archived_at = Timestamptz(null=True, default=None)
    version = Integer(default=1)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class CustomerFieldGroup(Table, tablename="customer_field_group"):
    """A heading that fields of customers stand under; they name it by its key."""

    key = Text(primary_key=True)
    label = Text()
    position = Integer()


class CustomerStage(Table, tablename="customer_stage"):
    """A stage that a customer had or, without an end, has; a trigger writes it."""

    id = BigSerial(primary_key=True)
    customer_id = BigInt()
    value = Text(null=True, default=None)
    valid_from = Timestamptz()
    valid_to = Timestamptz(null=True, default=None)


class CustomerRelation(Table, tablename="customer_relation"):
    """What a customer is to another one, such as the employee of a company."""

    id = BigSerial(primary_key=True)
    customer_id = BigInt()
    other_customer_id = BigInt()
    kind = Text()
    title = Text(default="")
    since = Date(null=True, default=None)
    until = Date(null=True, default=None)
    created_at = Timestamptz()


class Identity(Table, tablename="identity"):
    """A namespace and a value that stand for one customer."""

    namespace = Text()
    # The key is (namespace, value); Piccolo knows keys of one column only and would add an `id` without one.
    value = Text(primary_key=True, unique=False)
    customer_id = BigInt()
    home_customer_id = BigInt(help_text="The customer it was first given to; a merge leaves it.")
    created_at = Timestamptz()


class DuplicateCandidate(Table, tablename="duplicate_candidate"):
    """Two customers who may be one; `low_id` is the smaller id."""

    id = BigSerial(primary_key=True)
    low_id = BigInt()
    high_id = BigInt()
    reason = Text()
    namespace = Text(null=True, default=None)
    value = Text(null=True, default=None)
    created_at = Timestamptz()
    state = Text(default="open", help_text="open, later, merged, or distinct: they are two, and nobody asks again.")
    rules = Array(base_column=Text(), help_text="What they have in common; see zhike.customers.duplicates.rules.")
    score = SmallInt(default=0, help_text="How sure that makes it, up to 99.")
    decided_by = Text(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)


class DuplicateScan(Table, tablename="duplicate_scan"):
    """The one row that says how far the search for duplicates is."""

    id = SmallInt(primary_key=True, default=1)
    position = BigInt(help_text="Up to where the log is read.")
    scan_after = BigInt(null=True, default=None, help_text="The last customer compared, while all are.")
    scan_until = BigInt(null=True, default=None, help_text="The last one to compare.")
    compared = BigInt(default=0, help_text="Customers compared in the last scan.")
    started_at = Timestamptz(null=True, default=None)
    ended_at = Timestamptz(null=True, default=None)


class DuplicateBlock(Table, tablename="duplicate_block"):
    """A key that too many customers share to say anything."""

    key = BigInt(primary_key=True)
    rule = Text()
    seen_at = Timestamptz()


class CustomerMatch(Table, tablename="customer_match"):
    """Hashes of what a customer is compared by; whoever has one in common may be the same."""

    customer_id = BigInt(primary_key=True)
    keys = Array(base_column=BigInt())


class CustomerMerge(Table, tablename="customer_merge"):
    """A merge that took place, a row for each loser."""

    id = BigSerial(primary_key=True)
    winner_id = BigInt()
    loser_id = BigInt()
    reason = Text(help_text="anonymous: by ingest; chosen: by somebody.")
    origin = Text()
    created_at = Timestamptz()
    merge_id = BigInt(help_text="The first of the rows that were merged, and are unmerged, together.")
    taken = JSONB(default="{}", help_text="Field -> [value and provenance before, value and provenance taken].")
    settled_at = Timestamptz(null=True, default=None, help_text="When the last event had moved.")
    unmerged_at = Timestamptz(null=True, default=None)
    unmerged_by = Text(null=True, default=None)


class CustomerMergeRow(Table, tablename="customer_merge_row"):
    """A row of a plugin's table that a merge has moved, or changed, or deleted."""

    id = BigSerial(primary_key=True)
    customer_merge_id = BigInt()
    table_name = Text()
    column_name = Text()
    key = JSONB(help_text="Its key without the customer.")
    row = JSONB(null=True, default=None, help_text="All of it, if it was deleted.")


class CustomerSettling(Table, tablename="customer_settling"):
    """Events of `home_id` may still stand with `place_id`, although they belong to another customer by now."""

    # The key is (place_id, home_id); Piccolo knows keys of one column only.
    place_id = BigInt(primary_key=True, unique=False)
    home_id = BigInt()
    customer_merge_id = BigInt(help_text="The merge or its undoing that moves them.")


class ImportChange(Table, tablename="import_change"):
    """What an import has changed of a customer, until it is undone or the customer erased."""

    # The key is (import_id, customer_id); Piccolo knows keys of one column only.
    import_id = BigInt(primary_key=True, unique=False)
    customer_id = BigInt()
    created = Boolean(help_text="Whether the import made the customer.")
    fields = JSONB(default="{}", help_text="As `customer_merge.taken`; also `owner` and `team`.")
    identities = JSONB(default="[]", help_text="Those it gave first to the customer.")


class CustomerSearch(Table, tablename="customer_search"):
    """What search finds a customer by (`zhike.customers.search.entry`); those with none of the fields have no row."""

    customer_id = BigInt(primary_key=True)
    tokens = Array(base_column=Text())
    name = Text()
    company = Text()
    email = Text()
    phone = Text()


class Erasure(Table, tablename="erasure"):
    """A request to erase a customer, and how far it is."""

    id = BigSerial(primary_key=True)
    customer_id = BigInt()
    customers = Array(base_column=BigInt(), help_text="The customer and all who were merged into it.")
    state = Text(default="waiting", help_text="waiting, running, blocked or done.")
    blocked = JSONB(default="[]", help_text="Plugins and their tables that only they can clear.")
    reason = Text(null=True, default=None)
    origin = Text()
    requested_at = Timestamptz()
    begun_at = Timestamptz(null=True, default=None, help_text="By the clock of the database.")
    done_at = Timestamptz(null=True, default=None)


class ErasedIdentity(Table, tablename="erased_identity"):
    """A keyed hash of an identity whose customer was erased: its events are not taken."""

    hash = Bytea(primary_key=True)
    erased_at = Timestamptz()
