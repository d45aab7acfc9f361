"""Wraps data keys with a key of the ring."""

from __future__ import annotations

import os

from zhike._ring import RingKey
from zhike.i18n import Text, text
from zhike.vault.cipher import NONCE_BYTES, bound, decrypt, encrypt


def wrap(key: RingKey, purpose: str, data_key: bytes) -> bytes:
    """Return a data key encrypted with a key of the ring."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + encrypt(key.wrapping, nonce, data_key, bound(f"data key:{purpose}"))


def unwrap(keys: tuple[RingKey, ...], id_: int, purpose: str, wrapped: bytes, wrapped_by: str) -> bytes | Text:
    """Return a data key, or why it cannot be used."""
    for key in keys:
        if key.id == wrapped_by:
            nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
            opened = decrypt(key.wrapping, nonce, sealed, bound(f"data key:{purpose}"))
            damaged = text("The data key {id} is damaged; restore the table data_key from a backup", id=id_)
            return damaged if opened is None else opened
    return text(
        "The data key {id} needs the key {missing}, which is not in the ring ({ring}); put it back into"
        " ZHIKE_SECRET_KEY or the file secret.key",
        id=id_,
        missing=wrapped_by,
        ring=", ".join(key.id for key in keys),
    )
