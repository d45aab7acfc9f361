"""The customers' tables: who we know, under which identities, and who turned out to be the same."""

from piccolo.columns import JSONB, BigInt, BigSerial, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Customer", "CustomerMerge", "DuplicateCandidate", "Identity"]


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


class CustomerMerge(Table, tablename="customer_merge"):
    """A merge that took place."""

    id = BigSerial(primary_key=True)
    winner_id = BigInt()
    loser_id = BigInt()
    reason = Text()
    origin = Text()
    created_at = Timestamptz()
