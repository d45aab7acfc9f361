"""The HTTP client for plugins, against real servers on this machine."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from zhike import _network, http
from zhike.orm import Database
from zhike.work import begin

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


class Server:
    """Answers `/to?<address>` by a redirect there, `/slow` never, and everything else by 200 and its own address."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        done = self._done = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.headers["host"], self.path))
                path, _, target = self.path.partition("?")
                if path == "/slow":
                    done.wait(30)
                    return
                body = address.encode()
                self.send_response(302 if path == "/to" else 200)
                if path == "/to":
                    self.send_header("location", target)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'http' if context is None else 'https'}://{address}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._done.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers() -> Iterator[Any]:
    """Starts servers, `servers(address)`, that end with the test."""
    with ExitStack() as stack:

        def start(address: str = HERE, context: ssl.SSLContext | None = None) -> Server:
            server = Server(address, context)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def elsewhere_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this machine's addresses one counts as an address of the internet."""
    monkeypatch.setattr(_network, "is_public", lambda address: address == ELSEWHERE)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Answers of a name server by name, each given once, the last for ever; without any it knows no such name."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return real(host, port, *args, **options)
        if not answers[name]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        given = answers[name].pop(0) if len(answers[name]) > 1 else answers[name][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in given]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


async def test_inside_a_unit_of_work_there_is_no_network(database: Database, make_platform: Any, servers: Any) -> None:
    server = servers()
    async with http.client(allow_private=True) as client:
        async with begin(make_platform(database), origin="system"):
            with pytest.raises(RuntimeError, match="external=True"):
                await client.get(server.url)
        assert not server.asked
        assert (await client.get(server.url)).text == HERE


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1",
        "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1", "2001::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not _network.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "223.5.5.5", "2606:4700:4700::1111", "2400:3200::1"])
def test_addresses_of_the_internet(address: str) -> None:
    assert _network.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0"])
async def test_this_machine_is_out_of_reach_however_it_is_written(host: str, servers: Any) -> None:
    server = servers()
    async with http.client() as client:
        with pytest.raises(http.NotAllowed):
            await client.get(f"http://{host}:{server.port}/")
    assert not server.asked


@pytest.mark.usefixtures("elsewhere_is_public")
async def test_the_address_that_was_checked_is_the_one_connected_to(names: dict[str, Any], servers: Any) -> None:
    public = servers(ELSEWHERE)
    names["shop.example"] = [[ELSEWHERE], [HERE]]  # the second answer would be asked for by whoever resolves again
    async with http.client() as client:
        assert (await client.get(f"http://shop.example:{public.port}/")).text == ELSEWHERE
        assert public.asked == [(f"shop.example:{public.port}", "/")]
    async with http.client() as client:
        with pytest.raises(http.NotAllowed, match=r"shop\.example is at 127\.0\.0\.1"):
            await client.get(f"http://shop.example:{public.port}/")


@pytest.mark.usefixtures("elsewhere_is_public")
async def test_one_private_address_among_others_is_enough(names: dict[str, Any], servers: Any) -> None:
    public = servers(ELSEWHERE)
    names["shop.example"] = [[ELSEWHERE, HERE]]
    async with http.client() as client:
        with pytest.raises(http.NotAllowed):
            await client.get(f"http://shop.example:{public.port}/")
    assert not public.asked


@pytest.mark.usefixtures("elsewhere_is_public")
async def test_a_redirect_is_checked_like_any_address(servers: Any) -> None:
    public, private = servers(ELSEWHERE), servers(HERE)
    async with http.client(base_url=public.url) as client:
        there = await client.get(f"/to?{public.url}/end", follow_redirects=True)
        assert (there.status_code, there.text) == (200, ELSEWHERE)
        with pytest.raises(http.NotAllowed):
            await client.get(f"/to?{private.url}/secret", follow_redirects=True)
        for target in ("file:///etc/passwd", "ftp://8.8.8.8/"):
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get(f"/to?{target}", follow_redirects=True)
        with pytest.raises(httpx.TooManyRedirects):
            await client.get("/to?/to", follow_redirects=True)
    assert not private.asked


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for shop.example that clients trust."""
    files = [str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    options = ["-keyout", files[0], "-out", files[1], "-subj", "/CN=shop.example", "-days", "2"]
    subprocess.run(
        [*command, *options, "-addext", "subjectAltName=DNS:shop.example"], check=True, capture_output=True, timeout=60
    )
    monkeypatch.setenv("SSL_CERT_FILE", files[1])
    monkeypatch.setattr(_network, "_tls", httpx.create_ssl_context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


@pytest.mark.usefixtures("elsewhere_is_public")
async def test_certificates_are_checked_for_the_name_and_https_does_not_become_http(
    names: dict[str, Any], servers: Any, certificate: ssl.SSLContext
) -> None:
    secure, plain = servers(ELSEWHERE, certificate), servers(ELSEWHERE)
    names["shop.example"] = names["other.example"] = [[ELSEWHERE]]
    async with http.client(base_url=f"https://shop.example:{secure.port}") as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/to?/end", follow_redirects=True)).status_code == 200
        with pytest.raises(http.NotAllowed, match="from https to http"):
            await client.get(f"/to?{plain.url}/", follow_redirects=True)
        assert (await client.get(f"/to?{plain.url}/")).status_code == 302  # which is for the caller to follow
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://other.example:{secure.port}/")
    assert not plain.asked


async def test_private_addresses_for_those_who_want_them(servers: Any) -> None:
    first, second = servers(HERE), servers(ELSEWHERE)
    async with http.client(base_url=first.url, allow_private=True) as client:
        assert (await client.get(f"/to?{second.url}/", follow_redirects=True)).text == ELSEWHERE


async def test_nobody_waits_for_ever(servers: Any) -> None:
    server = servers()
    async with http.client(base_url=server.url, timeout=0.2, allow_private=True) as client:
        with pytest.raises(httpx.TimeoutException):  # on a busy machine already of connecting
            await client.get("/slow")


async def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with http.client(timeout=0.1) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("http://shop.example/")


@pytest.mark.usefixtures("elsewhere_is_public")
async def test_unknown_names_and_closed_ports_are_ordinary_errors(names: dict[str, Any]) -> None:
    names["shop.example"], names["no.such.name.invalid"] = [[ELSEWHERE]], []
    with socket.socket() as closed:
        closed.bind((ELSEWHERE, 0))  # nobody listens there, and nobody else can
        async with http.client() as client:
            for url in (f"http://shop.example:{closed.getsockname()[1]}/", "http://no.such.name.invalid/"):
                with pytest.raises(httpx.ConnectError):
                    await client.get(url)


async def test_nothing_that_is_sent_is_logged(servers: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = servers()
    caplog.set_level(logging.DEBUG)
    async with http.client(base_url=server.url, headers={"authorization": "s3cret"}, allow_private=True) as client:
        await client.post("/path?key=s3cret", content="s3cret")
        with pytest.raises(http.NotAllowed) as refused:
            async with http.client() as other:
                await other.get(f"{server.url}/?key=s3cret")
    assert len(server.asked) == 1
    assert "s3cret" not in caplog.text + str(refused.value)


def test_the_door_itself_is_cheap_to_import() -> None:
    code = "import sys, zhike.http; print([m for m in ('httpx', 'httpcore', 'anyio') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
