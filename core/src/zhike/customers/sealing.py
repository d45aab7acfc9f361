"""What stands among the attributes of customers for the values of encrypted fields."""

from __future__ import annotations

from typing import Any


def context(key: str) -> str:
    """Return the vault's context of the values of an encrypted field."""
    return f"customer_field:{key}"


def is_sealed(value: Any) -> bool:
    """Say whether a value of `attributes` stands for an encrypted one; no trait from outside can be an object."""
    return isinstance(value, dict) and value.keys() == {"sealed", "hash"}
