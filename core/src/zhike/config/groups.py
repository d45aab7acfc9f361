"""The settings of the core itself."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zhike.access.passwords import MIN_PASSWORD
from zhike.ui.forms import asked

_YEAR = 366 * 86400
_MINUTE = 60  # with less, nobody could stay long enough to change it back


def _was(field: str, variable: str) -> Meta:
    """Say which field of the deployment's settings a setting was before it could be changed here."""
    return Meta(extra={"of": field, "variable": variable})


class General(msgspec.Struct, frozen=True, kw_only=True):
    """What concerns everybody.

    Args:
        company: The name that stands at the top of every page.
        locale: The language of those who have chosen none.
    """

    company: Annotated[str, asked("Company name", help="Stands at the top of every page", max_length=100)] = ""
    locale: Annotated[
        Literal["zh_CN", "en"],
        asked(
            "Language",
            help="For those who have chosen none and whose browser asks for none",
            options={"zh_CN": "Chinese", "en": "English"},
        ),
        _was("locale", "ZHIKE_LOCALE"),
    ] = "zh_CN"


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """Logins, and what the world may send.

    Args:
        session_idle: Seconds after which a session that is not used ends.
        session_lifetime: Seconds after which every session ends.
        password_length: Fewest characters of a password that is chosen from now on.
        collect_limit: Requests a minute that one address may send with one token of kind `collect`.
    """

    session_idle: Annotated[
        float,
        asked("Unused sessions end after", help="Then one has to log in again", kind="duration", ge=_MINUTE, le=_YEAR),
        _was("session_idle", "ZHIKE_SESSION_IDLE_SECONDS"),
    ] = 8 * 3600
    session_lifetime: Annotated[
        float,
        asked("All sessions end after", help="However often they are used", kind="duration", ge=_MINUTE, le=_YEAR),
        _was("session_lifetime", "ZHIKE_SESSION_SECONDS"),
    ] = 7 * 86400
    password_length: Annotated[
        int,
        asked(
            "Least characters of a password",
            help="Counts for passwords that are chosen from now on",
            ge=MIN_PASSWORD,
            le=64,
        ),
    ] = MIN_PASSWORD
    collect_limit: Annotated[
        int,
        asked(
            "Requests of web pages a minute",
            help="What one address may send with one token of kind collect",
            ge=1,
            le=1_000_000,
        ),
        _was("collect_limit", "ZHIKE_COLLECT_LIMIT"),
    ] = 120
