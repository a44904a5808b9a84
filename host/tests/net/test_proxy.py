"""With a proxy configured every request goes through it: plain, TLS, redirected, and to allowed hosts as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.contracts.http import HttpConnectionError, HttpRequest
from dify_kernel.errors import OutboundRefused, SettingsError
from dify_kernel.settings import Secret


class Proxy:
    """A forward and CONNECT proxy that sends everything to one port and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.authorization: list[str] = []
        self.target = 0
        self.refuse = b""
        self.url = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, address, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.asked.append(f"{method} {address}")
            self.authorization += [
                line.decode() for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-authorization")
            ]
            if self.refuse:
                writer.write(self.refuse)
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + address.split("/", 3)[3]
                up_writer.write(f"{method} {path} HTTP/1.1\r\n".encode() + head.split(b"\r\n", 1)[1])
            await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    listener = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield proxy
    listener.close()


@pytest.mark.parametrize("variable", ["ssrf_proxy_all_url", "ssrf_proxy_http_url", "ssrf_proxy_https_url"])
@pytest.mark.parametrize("verify", [True, False])
async def test_nothing_bypasses_the_proxy(
    variable: str, verify: bool, proxy: Proxy, names: Any, authority: Any, serve: Any
) -> None:
    """Any one variable is enough for both schemes, and an allow-list does not open a way around it."""
    plain = await serve(lambda exchange: exchange.reply(b"plain", connection="close"))
    secure = await serve(lambda exchange: exchange.reply(b"secure"), tls=authority.server("secure.test"))
    settings = OutboundSettings(**{variable: Secret(proxy.url), "ssrf_allowed_hosts": ["127.0.0.1", "plain.test"]})
    resolver = names()
    async with GuardedClient(settings, resolver=resolver, ssl_context=authority.client()) as client:
        proxy.target = plain.port
        for host in ("plain.test", "127.0.0.1"):
            answer = await client.send(HttpRequest(method="GET", url=f"http://{host}/a?b=c", verify=verify))
            assert answer.content == b"plain"
        proxy.target = secure.port
        answer = await client.send(HttpRequest(method="GET", url="https://secure.test/d", verify=verify))
        assert answer.content == b"secure"
    assert proxy.asked == [
        "GET http://plain.test/a?b=c",
        "GET http://127.0.0.1/a?b=c",
        "CONNECT secure.test:443",
    ]
    assert (plain.connections, secure.connections) == (2, 1)
    assert resolver.asked == []


async def test_redirects_go_through_the_proxy(proxy: Proxy, names: Any, serve: Any) -> None:
    async def handler(exchange: Any) -> None:
        if exchange.target == "/":
            await exchange.reply(status=302, location="http://two.test/next", connection="close")
        else:
            await exchange.reply(status=302, location="http://0x7f.1/", connection="close")

    server = await serve(handler)
    proxy.target = server.port
    async with GuardedClient(OutboundSettings(ssrf_proxy_all_url=Secret(proxy.url)), resolver=names()) as client:
        with pytest.raises(OutboundRefused):
            await client.send(HttpRequest(method="GET", url="http://one.test/", follow_redirects=True))
    assert proxy.asked == ["GET http://one.test/", "GET http://two.test/next"]


async def test_each_scheme_has_its_own_proxy(names: Any) -> None:
    settings = OutboundSettings(ssrf_proxy_http_url=Secret("http://a:1"), ssrf_proxy_all_url=Secret("http://c:3"))
    assert (settings.proxy_for("http").reveal(), settings.proxy_for("https").reveal()) == ("http://a:1", "http://c:3")
    assert not OutboundSettings().proxy_for("https")


async def test_the_proxys_own_credentials(proxy: Proxy, names: Any, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(connection="close"))
    proxy.target = server.port
    url = proxy.url.replace("http://", "http://user:p%40ss@")
    async with GuardedClient(OutboundSettings(ssrf_proxy_all_url=Secret(url)), resolver=names()) as client:
        await client.send(
            HttpRequest(method="GET", url="http://one.test/", headers=[("Proxy-Authorization", "Basic x")])
        )
    assert [line.lower() for line in proxy.authorization] == ["proxy-authorization: basic dxnlcjpwqhnz"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", OutboundRefused),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", HttpConnectionError),
        (b"", HttpConnectionError),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, error: type[Exception], proxy: Proxy, names: Any) -> None:
    proxy.refuse = answer or b"\r\n"
    async with GuardedClient(OutboundSettings(ssrf_proxy_all_url=Secret(proxy.url)), resolver=names()) as client:
        with pytest.raises(error):
            await client.send(HttpRequest(method="GET", url="https://one.test/"))


async def test_an_absent_proxy_is_not_worked_around(names: Any, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply())
    settings = OutboundSettings(ssrf_proxy_all_url=Secret("http://127.0.0.1:1"), ssrf_allowed_hosts=["127.0.0.1"])
    async with GuardedClient(settings, resolver=names()) as client:
        with pytest.raises(HttpConnectionError):
            await client.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/"))
    assert server.connections == 0


async def test_the_environment_has_no_say(names: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = await serve(lambda exchange: exchange.reply(b"elsewhere"))
    server = await serve(lambda exchange: exchange.reply(b"here"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.port}")
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"]), resolver=names()) as client:
        answer = await client.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/"))
    assert answer.content == b"here"
    assert elsewhere.connections == 0


@pytest.mark.parametrize("url", ["socks5://x:1", "proxy:3128", "http://", "http://[::1", "nonsense"])
def test_a_malformed_proxy_setting(url: str) -> None:
    with pytest.raises(SettingsError):
        GuardedClient(OutboundSettings(ssrf_proxy_all_url=Secret(url)))
