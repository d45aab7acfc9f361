"""The columns that exports have, and whether those that are asked for are among them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

import msgspec

from zhike.api import check_instant
from zhike.errors import BadRequest
from zhike.i18n import text
from zhike_exports.schemas import Kind, Wanted

CUSTOMER = ("name", "phone", "email", "company", "kind", "stage", "owner", "team", "created_at", "updated_at")
"""The columns of a customer that every export has; its identities and attributes stand between them and its id."""
EVENT = ("name", "message_id", "occurred_at", "amount", "currency", "source")
ID = "zhike_id"
"""The column with Zhike's own id, which an import leaves out."""

COLUMNS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("customers", "csv"): (ID, *CUSTOMER, "identity:", "attribute:"),
    ("customers", "jsonl"): (ID, "identities", *CUSTOMER, "attributes"),
    ("events", "csv"): (*EVENT, "properties", "identity:", "property:"),
    ("events", "jsonl"): (*EVENT, "identities", "properties"),
}
"""What may be asked for, by kind and format, where a workbook is like CSV; those with a colon go on with a key."""


def usable(kind: Kind, wanted: Wanted, zone: tzinfo) -> Wanted:
    """Return what is wanted with instants that have an offset.

    Args:
        kind: What is to be handed out.
        wanted: As it was asked for.
        zone: The deployment's, of instants without one.

    Raises:
        BadRequest: If there is no such column, or an instant is outside the years 1970 to 2999.
    """
    known = COLUMNS[kind, "jsonl" if wanted.format == "jsonl" else "csv"]
    for field in wanted.fields:
        prefix, colon, key = field.partition(":")
        if prefix + colon not in known or (colon and not key) or "\0" in field:
            raise BadRequest(
                text("fields: there is no column {name!r}; expected {known}", name=field[:100], known=", ".join(known)),
                code="fields",
            )
    return msgspec.structs.replace(
        wanted, since=_instant("since", wanted.since, zone), until=_instant("until", wanted.until, zone)
    )


def _instant(name: str, at: datetime | None, zone: tzinfo) -> datetime | None:
    if at is None:
        return None
    check_instant(name, at)
    return at if at.tzinfo else at.replace(tzinfo=zone)
