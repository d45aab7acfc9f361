"""The data keys as a process knows them: they seal, open and hash."""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Mapping

import msgspec

from zhike.errors import Unavailable
from zhike.i18n import Text, text
from zhike.vault.cipher import NONCE_BYTES, VERSION, bound, decrypt, encrypt


class Keys(msgspec.Struct, frozen=True):
    """The data keys as they were at one time.

    Args:
        data: Those that seal and open, by id.
        newest: The id of the one that seals, the newest that is ripe; 0 if there is none yet.
        hashing: The one that hashes; None if there is none yet or it cannot be used.
        lacking: Why others cannot be used, by id.
    """

    data: Mapping[int, bytes]
    newest: int
    hashing: bytes | None
    lacking: Mapping[int, Text]

    def __repr__(self) -> str:
        return f"Keys({sorted(self.data)})"  # no secret gets into a log by way of a variable

    @property
    def complete(self) -> bool:
        """Whether there is one of each purpose, usable or not."""
        return bool(self.newest) and (self.hashing is not None or bool(self.lacking))

    def seal(self, value: str, context: str) -> str:
        """As `Vault.seal`."""
        key = self._key(self.newest)
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + encrypt(key, nonce, value.encode(), bound(context))
        return f"{VERSION}.{self.newest}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """As `Vault.open`, with these keys only."""
        key = self._key(key_id(sealed))
        try:
            raw = base64.b64decode(sealed.rpartition(".")[2], altchars=b"-_", validate=True)
            opened = decrypt(key, raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound(context))
        except ValueError:
            opened = None
        if opened is None:
            raise _damaged()
        return opened.decode()

    def reseal(self, sealed: str, context: str) -> str | None:
        """Return a value sealed with the newest key instead; None if it is already.

        Raises:
            Unavailable: As for `Vault.open`.
        """
        return None if key_id(sealed) == self.newest else self.seal(self.open(sealed, context), context)

    def hash(self, value: str | bytes, context: str) -> bytes:
        """As `Vault.hash`."""
        if self.hashing is None:
            raise Unavailable(next(iter(self.lacking.values())), code="keys")
        # The length keeps context and value apart.
        name, told = context.encode(), value.encode() if isinstance(value, str) else value
        return hmac.digest(self.hashing, b"%d:%b:%b" % (len(name), name, told), "sha256")

    def _key(self, id_: int) -> bytes:
        if (key := self.data.get(id_)) is None:
            unknown = text("There is no data key {id}; restore the table data_key from a backup", id=id_)
            raise Unavailable(self.lacking.get(id_, unknown), code="keys")
        return key


def key_id(sealed: str) -> int:
    """Return the id of the data key that a value is sealed with.

    Raises:
        Unavailable: If it is no sealed value.
    """
    version, _, rest = sealed.partition(".")
    id_ = rest.partition(".")[0]
    if version != VERSION or not (id_.isascii() and id_.isdigit()):
        raise _damaged()
    return int(id_)


def _damaged() -> Unavailable:
    return Unavailable(text("A sealed value was changed, or does not belong where it stands"), code="sealed")
