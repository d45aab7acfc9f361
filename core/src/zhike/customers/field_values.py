"""The values of the fields of customers as they are stored, and opened again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.customers.sealing import context, is_sealed
from zhike.customers.values import fitted

if TYPE_CHECKING:
    from zhike.customers.field import Field
    from zhike.customers.service import Customer
    from zhike.vault import Keys, Vault


class FieldValues:
    """Checks, seals and opens values.

    Args:
        vault: Seals the values of encrypted fields.

    Attributes:
        known: The fields of which something is said, by key.
        checked: Those of them whose traits have to fit.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: Keys | None = None
        self.known: Mapping[str, Field] = {}
        self.checked: Mapping[str, Field] = {}

    def fitted(self, key: str, value: Any) -> Any:
        """Return a trait's value as it is stored: checked by its field, and sealed if that is encrypted.

        Args:
            key: The key of one of `checked`.
            value: What was given, or what this has returned before.

        Raises:
            BadValue: If it does not fit.
        """
        field = self.checked[key]
        if field.encrypted and is_sealed(value):
            return value
        found = fitted(field, value)
        return self.seal(key, found) if field.encrypted and found is not None else found

    def seal(self, key: str, value: str) -> dict[str, str]:
        """Return what stands in `attributes` for a value of an encrypted field."""
        keys = self._loaded()
        return {"sealed": keys.seal(value, context(key)), "hash": keys.hash(value, context(key)).hex()}

    def hash(self, key: str, value: str) -> str:
        """Return by what equal values of an encrypted field are known; of a date, in any form.

        Raises:
            BadValue: If it is to be a date and is none: no value could equal it.
        """
        if self.known[key].type == "date":
            value = fitted(self.known[key], value)
        return self._loaded().hash(value, context(key)).hex()

    def open(self, key: str, value: Any) -> Any:
        """Return the value that stands in `attributes` sealed; any other as it is."""
        return self._loaded().open(value["sealed"], context(key)) if is_sealed(value) else value

    def opened(self, customer: Customer) -> Customer:
        """Return a customer with the values of its encrypted fields, as far as they are shown at all."""
        if self._keys is None:
            return customer
        attributes = msgspec.json.decode(customer.attributes, type=dict[str, msgspec.Raw])
        for key, field in self.known.items():
            if field.encrypted and key in attributes:
                value = self.open(key, msgspec.json.decode(attributes[key]))
                attributes[key] = msgspec.Raw(msgspec.json.encode(value))
        return msgspec.structs.replace(customer, attributes=msgspec.Raw(msgspec.json.encode(attributes)))

    def _loaded(self) -> Keys:
        if self._keys is None:
            raise RuntimeError("fields are renewed before values are sealed")
        return self._keys
