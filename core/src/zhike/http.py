"""The door to the network for plugins: an HTTP client that reaches what it may, in time, and never in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zhike.errors import BadRequest

if TYPE_CHECKING:
    import httpx

__all__ = ["NotAllowed", "client"]


class NotAllowed(BadRequest):
    """An address leads where plugins may not go: this machine, its own network, or from HTTPS down to HTTP."""

    default_code = "address"


def client(
    *, timeout: float = 10.0, base_url: str = "", headers: Mapping[str, str] | None = None, allow_private: bool = False
) -> httpx.AsyncClient:
    """Return a client, for use in external jobs and in routes.

    Whoever can choose an address, also the server on the other side by a redirect or in its DNS, must not be able
    to make Zhike talk to machines that only Zhike reaches. So names are resolved here, all their addresses are
    checked, and the connection goes to the checked address. Nothing of what is sent or answered is logged. Proxies
    of the environment are not used, since they would resolve names again.

    Args:
        timeout: Seconds for each of connecting, sending, waiting for an answer's next part, and for a free
            connection.
        base_url: What relative addresses are relative to.
        headers: Sent with each request.
        allow_private: Whether addresses of this machine and of private networks may be reached, for a system on
            the company's own network whose address an administrator has entered.

    Returns:
        An `httpx.AsyncClient` with at most 20 connections. Its requests raise `NotAllowed` for an address that is
        not allowed, `httpx.HTTPError` for what goes wrong on the way, and RuntimeError inside a unit of work.
    """
    from zhike import _network  # httpx takes a tenth of a second to import

    return _network.open_client(timeout, base_url, headers or {}, allow_private=allow_private)
