"""Texts as they are kept: in the reader's language also when it is another one than the writer's."""

from __future__ import annotations

from zhike.plugins.service import decode_text, encode_text

__all__ = ["encode_text", "rendered"]


def rendered(stored: str | None, locale: str) -> str | None:
    """Return a stored text in a language; None for none.

    Args:
        stored: As `encode_text` made it.
        locale: The reader's.
    """
    return None if stored is None else decode_text(stored).render(locale)
