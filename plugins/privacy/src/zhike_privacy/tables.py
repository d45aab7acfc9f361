"""What people have agreed to, for what, and what they have asked for."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Boolean, Bytea, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Consent", "Proof", "Purpose", "Request"]


class Purpose(Table, tablename="privacy_purpose"):
    """What personal data is processed for."""

    key = Text(primary_key=True)
    name = Text()
    legal_basis = Text()
    separate = Boolean(help_text="Whether it needs a consent of its own.")
    events = Array(Text(), help_text="Event types that are kept for it.")
    retention_days = Integer(null=True, default=None, help_text="How long they are; null: without end.")
    texts = JSONB(help_text="What people agree to, the newest version last.")
    created_at = Timestamptz()
    archived_at = Timestamptz(null=True, default=None)


class Consent(Table, tablename="privacy_consent"):
    """One thing that somebody said about a purpose; rows are only added, and moved by merges."""

    id = BigSerial(primary_key=True)
    customer_id = BigInt()
    homes = Array(BigInt(), help_text="Whose word it replaces: the customer's, and of those merged into it till then.")
    purpose = Text()
    granted = Boolean()
    channel = Text()
    at = Timestamptz()
    proof = Text()
    proof_hash = Bytea()
    text_version = Integer()
    actor = Text()
    recorded_at = Timestamptz()


class Proof(Table, tablename="privacy_proof"):
    """What is left of an erased customer's consent: who has the proof can show that it was given."""

    id = BigSerial(primary_key=True)
    proof_hash = Bytea()
    purpose = Text()
    granted = Boolean()
    text_version = Integer()
    at = Timestamptz()


class Request(Table, tablename="privacy_request"):
    """What a person has asked for, and by when it is due."""

    id = BigSerial(primary_key=True)
    customer_id = BigInt(null=True, default=None)
    kind = Text()
    state = Text()
    note = Text()
    received_at = Timestamptz()
    due_at = Timestamptz()
    closed_at = Timestamptz(null=True, default=None)
    actor = Text()
