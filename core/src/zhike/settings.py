"""What one installation is configured with, read from the environment once per process."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.errors import Refused
from zhike.i18n import LOCALES, text
from zhike.money import EXPONENTS

_ORIGIN = re.compile(r"https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 1e9  # seconds, which are 31 years: what times can be reckoned with
LEAST_KEY = 32
"""Characters of each key of the ring."""


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
        public_url: Under which browsers know this installation, such as `https://crm.example.com`, or None.
        trusted_proxies: Addresses and networks of the proxies whose X-Forwarded-For is believed.
        session_idle: Seconds after which a session that is not used ends.
        session_lifetime: Seconds after which every session ends.
        collect_limit: Requests a minute that one address may send with one token of kind `collect`.
        audit_head_file: File that the audit trail's head is appended to daily; `audit-heads.jsonl` in `data` if None.
        audit_head_url: Where that head is sent to as well, or None.
        theme: Name of the theme that pages are drawn with.
        dev: Whether templates and static files are read again each time, and the gallery of the page kit is served.
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
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    session_idle: float = 8 * 3600
    session_lifetime: float = 7 * 86400
    collect_limit: int = 120
    audit_head_file: Path | None = None
    audit_head_url: str | None = None
    theme: str = "default"
    dev: bool = False
    strict: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The deployment's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS, which a proxy in front takes off."""
        return (self.public_url or "").startswith("https:")


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
    if any(0 < len(key.strip()) < LEAST_KEY for key in environment.get("ZHIKE_SECRET_KEY", "").split(",")):
        raise Refused(text("A key of ZHIKE_SECRET_KEY is too short; expected at least {n} characters", n=LEAST_KEY))
    folder = (data or default_data(environment)).expanduser().absolute()
    hooks = Path(environment.get("ZHIKE_HOOKS") or folder / "hooks").expanduser().absolute()
    if environment.get("ZHIKE_HOOKS") and not os.path.isdir(hooks):  # noqa: PTH112  # Path.is_dir may raise
        raise Refused(text("ZHIKE_HOOKS is {value!r}; expected a folder that exists", value=str(hooks)))
    head_file, head_url = environment.get("ZHIKE_AUDIT_HEAD_FILE"), environment.get("ZHIKE_AUDIT_HEAD_URL") or None
    if head_url is not None and not head_url.startswith(("https://", "http://")):
        expected = "https://host/path"
        raise Refused(text("ZHIKE_AUDIT_HEAD_URL cannot be understood; expected {expected}", expected=expected))
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
        audit_head_file=Path(head_file).expanduser().absolute() if head_file else None,
        audit_head_url=head_url,
        public_url=_origin(environment.get("ZHIKE_PUBLIC_URL") or None),
        trusted_proxies=_networks(environment.get("ZHIKE_TRUSTED_PROXIES", "")),
        session_idle=_seconds(environment, "ZHIKE_SESSION_IDLE_SECONDS", 8 * 3600),
        session_lifetime=_seconds(environment, "ZHIKE_SESSION_SECONDS", 7 * 86400),
        theme=environment.get("ZHIKE_THEME") or "default",
        dev=environment.get("ZHIKE_DEV") == "1",
        collect_limit=_number(environment, "ZHIKE_COLLECT_LIMIT", 120),
    )


def _redis(url: str | None) -> str | None:
    """Return the URL if it looks like one; the rest of it is judged where it is used."""
    expected = "redis://user:password@host:port/0"
    if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
        raise Refused(text("ZHIKE_REDIS_URL cannot be understood; expected {expected}", expected=expected))
    return url


def _origin(url: str | None) -> str | None:
    if url is not None and not is_origin(url := url.rstrip("/")):
        example = "https://crm.example.com"
        raise Refused(text("ZHIKE_PUBLIC_URL is {value!r}; expected one such as {example}", value=url, example=example))
    return url


def is_origin(value: str) -> bool:
    """Tell whether a text is an origin as browsers send it (RFC 6454): scheme, host and perhaps port, no path."""
    return _ORIGIN.fullmatch(value) is not None and not value.endswith((":80", ":443")[value.startswith("https:")])


def _networks(given: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(each.strip())) for each in given.split(",") if each.strip())
    except ValueError:
        raise Refused(
            text("ZHIKE_TRUSTED_PROXIES is {value!r}; expected addresses or networks with commas between", value=given)
        ) from None


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
    if not 0 < seconds <= _LONGEST:
        raise Refused(text("{name} is {value!r}; expected a number of seconds above 0", name=name, value=value))
    return seconds
