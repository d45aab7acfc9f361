"""How the keeper, which does not load the translated errors, tells a command why it failed."""

from __future__ import annotations


class Failure(Exception):
    """PostgreSQL cannot run here.

    Args:
        code: A key of the messages in `refusals.refusal`.
        params: Values for the message's places.
    """

    def __init__(self, code: str, **params: str) -> None:
        super().__init__(f"{code} {params}")
        self.code = code
        self.params = params
