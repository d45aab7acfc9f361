"""Where a request comes from: the client's address behind proxies, and whether a browser sent it from our own pages."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping

from litestar.types import HTTPScope

from zhike.access.cookies import session_token
from zhike.api import Browser
from zhike.errors import Forbidden
from zhike.i18n import text
from zhike.settings import Settings

Headers = Mapping[bytes, bytes]


def browser_of(scope: HTTPScope, headers: Headers, settings: Settings) -> Browser:
    """Return where a request comes from.

    Args:
        scope: The request.
        headers: Its headers, names in small letters.
        settings: Which proxies are believed, and whether they take off TLS.
    """
    secure = settings.secure or scope.get("scheme") == "https"
    return Browser(
        address=address_of(scope, headers, settings),
        agent=headers.get(b"user-agent", b"").decode("latin-1"),
        secure=secure,
        token=session_token(headers.get(b"cookie", b""), secure=secure),
    )


def address_of(scope: HTTPScope, headers: Headers, settings: Settings) -> str:
    """Return the client's address: that of the connection, or what proxies that are believed say about it.

    X-Forwarded-For is read from its end, where the nearest proxy has written; what stands before the first address that
    is no proxy of ours may have been made up.
    """
    client = scope.get("client")
    address = _plain(client[0]) if client else ""
    if settings.trusted_proxies and _trusted(address, settings.trusted_proxies):
        for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            if not (given := _plain(hop.strip())):
                break
            address = given
            if not _trusted(address, settings.trusted_proxies):
                break
    return address


def require_same_origin(scope: HTTPScope, headers: Headers, settings: Settings) -> None:
    """Refuse what a browser sends for a page of somebody else; programs, which say nothing of a page, may pass.

    Raises:
        Forbidden: With code `cross_site`.
    """
    site, origin = headers.get(b"sec-fetch-site", b"same-origin"), headers.get(b"origin")
    ours = settings.public_url or f"{scope.get('scheme', 'http')}://{headers.get(b'host', b'').decode('latin-1')}"
    if site != b"same-origin" or (origin is not None and origin.decode("latin-1") != ours):
        raise Forbidden(
            text("The request was sent for a page that is not of {origin}; see ZHIKE_PUBLIC_URL", origin=ours),
            code="cross_site",
        )


def _plain(address: str) -> str:
    """Return an address in its usual form, IPv4 also where it is written as IPv6; "" for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    return bool(address) and any(ipaddress.ip_address(address) in network for network in _networks(proxies))


@functools.cache
def _networks(proxies: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(proxy) for proxy in proxies]
