"""The error for a condition that cannot be used; its message names the path of the bad node."""

from __future__ import annotations

from zhike.errors import BadRequest


class BadCondition(BadRequest):
    """A condition is malformed or asks what its fields or measures cannot answer (HTTP 400)."""

    default_code = "condition"
