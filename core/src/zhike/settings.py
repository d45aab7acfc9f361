"""What one installation is configured with, read from the environment once per process."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.errors import Refused
from zhike.i18n import LOCALES, text
from zhike.money import EXPONENTS

LEAST_KEY = 32
"""Characters of the key that signs."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment's settings.

    Args:
        data: Folder of the embedded database, the key ring and logs.
        database_url: A PostgreSQL server's URL, or None for the embedded one.
        currency: ISO 4217 code that an amount without currency is in.
        timezone: IANA zone that instants without offset and schedules are in.
        locale: `zh_CN` or `en`, for readers that ask for no language.
        pool_size: Connections of one process to PostgreSQL.
        queue_limit: Events that may wait for storage in one web process before it answers 429.
        body_limit: Largest request body in bytes.
        redis_url: A Redis server's URL, which then carries wake-ups instead of the database, or None.
        hook_seconds: Seconds one call of an `on_` hook may take.
        hooks: Folder of single-file plugins, or None for none.
        strict: Whether a plugin that cannot be loaded stops the start instead of being left out.
    """

    data: Path
    database_url: str | None = None
    currency: str = "CNY"
    timezone: str = "Asia/Shanghai"
    locale: str = "zh_CN"
    pool_size: int = 8
    queue_limit: int = 50_000
    body_limit: int = 32 * 1024 * 1024
    redis_url: str | None = None
    hook_seconds: float = 30.0
    hooks: Path | None = None
    strict: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The deployment's time zone."""
        return ZoneInfo(self.timezone)


def default_data(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder used without `--data`: `$ZHIKE_DATA`, else `$XDG_DATA_HOME/zhike`.

    Raises:
        Refused: If `ZHIKE_DATA` is empty, which as a path would be the current directory.
    """
    if given := environment.get("ZHIKE_DATA"):
        return Path(given)
    if given is not None:
        raise Refused(text("{name} is empty; expected a folder", name="ZHIKE_DATA"))
    base = environment.get("XDG_DATA_HOME") or Path(environment.get("HOME") or Path.home()) / ".local" / "share"
    return Path(base) / "zhike"


def load(data: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        data: The folder given with `--data`, or None.
        environment: Where `ZHIKE_*` variables are read from.

    Raises:
        Refused: If a variable's value cannot be used; the message names it and what was expected.
    """
    timezone = environment.get("ZHIKE_TIMEZONE") or "Asia/Shanghai"
    if clock.zone(timezone) is None:
        raise Refused(text("ZHIKE_TIMEZONE is {value!r}; expected an IANA zone such as Asia/Shanghai", value=timezone))
    locale = environment.get("ZHIKE_LOCALE") or "zh_CN"
    if locale not in LOCALES:
        raise Refused(text("ZHIKE_LOCALE is {value!r}; expected zh_CN or en", value=locale))
    currency = environment.get("ZHIKE_CURRENCY") or "CNY"
    if currency not in EXPONENTS:
        raise Refused(text("ZHIKE_CURRENCY is {value!r}; expected an ISO 4217 code such as CNY", value=currency))
    if (trace := environment.get("ZHIKE_TRACE_HOOKS") or "0") not in {"0", "1"}:
        raise Refused(text("ZHIKE_TRACE_HOOKS is {value!r}; expected 1 or 0", value=trace))
    key = environment.get("ZHIKE_SECRET_KEY", "").split(",")[0].strip()
    if 0 < len(key) < LEAST_KEY:
        raise Refused(
            text("The first key of ZHIKE_SECRET_KEY is too short; expected at least {n} characters", n=LEAST_KEY)
        )
    folder = (data or default_data(environment)).expanduser().absolute()
    hooks = Path(environment.get("ZHIKE_HOOKS") or folder / "hooks").expanduser().absolute()
    if environment.get("ZHIKE_HOOKS") and not os.path.isdir(hooks):  # noqa: PTH112  # Path.is_dir may raise
        raise Refused(text("ZHIKE_HOOKS is {value!r}; expected a folder that exists", value=str(hooks)))
    return Settings(
        data=folder,
        database_url=environment.get("ZHIKE_DATABASE_URL") or None,
        currency=currency,
        timezone=timezone,
        locale=locale,
        pool_size=_number(environment, "ZHIKE_POOL_SIZE", 8),
        queue_limit=_number(environment, "ZHIKE_QUEUE_LIMIT", 50_000),
        body_limit=_number(environment, "ZHIKE_BODY_LIMIT", 32 * 1024 * 1024),
        redis_url=_redis(environment.get("ZHIKE_REDIS_URL") or None),
        hook_seconds=_seconds(environment, "ZHIKE_HOOK_SECONDS", 30.0),
        hooks=hooks,
    )


def _redis(url: str | None) -> str | None:
    """Return the URL if it looks like one; the rest of it is judged where it is used."""
    expected = "redis://user:password@host:port/0"
    if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
        raise Refused(text("ZHIKE_REDIS_URL cannot be understood; expected {expected}", expected=expected))
    return url


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise Refused(text("{name} is {value!r}; expected a whole number above 0", name=name, value=value))
    return int(value)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    value = environment.get(name) or str(default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Refused(text("{name} is {value!r}; expected a number of seconds above 0", name=name, value=value))
    return seconds
