"""What keeps `zhike.http` from addresses it may not reach, and from waiting inside a transaction."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import httpcore
import httpx

from zhike import __version__
from zhike.http import NotAllowed
from zhike.i18n import text
from zhike.work import in_transaction

MAX_REDIRECTS = 5
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30)
# Of IPv6 all else is private, reserved, or IPv4 in disguise (RFC 4291, RFC 3056).
_PUBLIC_V6, _6TO4 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("2002::/16")
_CAME_BY = "zhike.scheme"
"""Extension of a request, which httpx hands on to the requests that redirects make of it."""


def open_client(timeout: float, base_url: str, headers: Mapping[str, str], *, allow_private: bool) -> httpx.AsyncClient:
    """Return what `zhike.http.client` promises."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # below that they write addresses and headers
    return httpx.AsyncClient(
        transport=_Transport(allow_private=allow_private),
        timeout=timeout,
        base_url=base_url,
        headers={"user-agent": f"zhike/{__version__}", **headers},
        max_redirects=MAX_REDIRECTS,
    )


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet's, by the IANA registries in `ipaddress`."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _PUBLIC_V6 or ip in _6TO4):
        return False
    return ip.is_global and not ip.is_multicast


class _Transport(httpx.AsyncHTTPTransport):
    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(verify=_tls(), limits=LIMITS)
        if not allow_private:
            # httpx has no parameter for it. Should it store this elsewhere one day, reading it fails.
            self._pool._network_backend = _Guard(self._pool._network_backend)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if in_transaction():
            raise RuntimeError(
                "the network may not be used inside a unit of work, whose locks others wait for; "
                "enqueue a job with external=True"
            )
        began, scheme = request.extensions.setdefault(_CAME_BY, request.url.scheme), request.url.scheme
        if began == "https" and scheme != "https":
            raise NotAllowed(text("a redirect leads from https to {scheme}", scheme=scheme))
        return await super().handle_async_request(request)


class _Guard(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and to the very address it has checked."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in await _resolve(host, port, options.get("timeout")):
            try:
                return await self._backend.connect_tcp(address, port, *args, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


async def _resolve(host: str, port: int, seconds: float | None) -> list[str]:
    """Return the addresses of a host, all of them public."""
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise httpcore.ConnectTimeout("the name server does not answer") from None
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses:
        if not is_public(address):
            raise NotAllowed(
                text("{host} is at {address}, which is no address of the public internet", host=host, address=address)
            )
    return addresses


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the context that all clients share, for reading the certificates takes longer than a request."""
    return httpx.create_ssl_context()
