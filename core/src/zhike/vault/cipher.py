"""AES-256-GCM, as the vault uses it."""

from __future__ import annotations

VERSION = "zk1"
NONCE_BYTES = 12


def bound(context: str) -> bytes:
    """Return what a value is authenticated with, so that it opens nowhere else."""
    return f"{VERSION}:{context}".encode()


def encrypt(key: bytes, nonce: bytes, value: bytes, bound: bytes) -> bytes:
    """Encrypt with AES-256-GCM."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, value, bound)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """Return what was encrypted, or None if any of it is not as it was."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, sealed, bound)
    except (InvalidTag, ValueError):  # ValueError: a nonce that is too short
        return None
