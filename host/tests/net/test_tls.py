"""TLS through the guard: the name stays in SNI and is verified, though the connection goes to a checked address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.contracts.http import HttpConnectionError, HttpRequest, HttpTimeout, Timeout


def _client(names: Any, authority: Any) -> GuardedClient:
    resolver = names(secure_test=["127.0.0.1"], other_test=["127.0.0.1"])
    return GuardedClient(
        OutboundSettings(ssrf_allowed_hosts=["127.0.0.0/8"]), resolver=resolver, ssl_context=authority.client()
    )


async def test_certificates(names: Any, authority: Any, serve: Any) -> None:
    context = authority.server("secure.test", "127.0.0.1")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = await serve(lambda exchange: exchange.reply(b"x" * 300_000), tls=context)

    def request(host: str, **more: Any) -> HttpRequest:
        return HttpRequest(method="POST", url=f"https://{host}:{server.port}/", content=bytes(300_000), **more)

    async with _client(names, authority) as client:
        answer = await client.send(request("secure.test"))
        assert (answer.status, len(answer.content)) == (200, 300_000)
        assert asked == ["secure.test"]
        assert server.requests[0].headers["host"] == f"secure.test:{server.port}"
        assert (await client.send(request("127.0.0.1"))).status == 200

        with pytest.raises(HttpConnectionError, match="certificate"):
            await client.send(request("other.test"))
        assert (await client.send(request("other.test", verify=False))).status == 200
        # What was opened without verification is not used by a request that asks for it.
        with pytest.raises(HttpConnectionError, match="certificate"):
            await client.send(request("other.test"))


async def test_an_unknown_authority(names: Any, authority: Any, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(), tls=authority.server("secure.test"))
    settings = OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"])
    async with GuardedClient(settings, resolver=names(secure_test=["127.0.0.1"])) as client:
        request = HttpRequest(method="GET", url=f"https://secure.test:{server.port}/")
        with pytest.raises(HttpConnectionError, match="certificate"):
            await client.send(request)
    assert server.requests == []


async def test_a_server_that_speaks_no_tls(names: Any, authority: Any, serve: Any) -> None:
    async def answer_too_early(exchange: Any) -> None:
        raise AssertionError("no request can be read")

    server = await serve(answer_too_early)
    async with _client(names, authority) as client:
        # It waits for the end of a request line in the handshake's bytes, so the handshake runs into its limit.
        request = HttpRequest(method="GET", url=f"https://secure.test:{server.port}/", timeout=Timeout(connect=0.2))
        with pytest.raises(HttpTimeout):
            await client.send(request)


async def test_streams_over_tls(names: Any, authority: Any, serve: Any) -> None:
    async def handler(exchange: Any) -> None:
        await exchange.begin()
        for number in range(100):
            await exchange.chunk(f"data: {number}\n\n".encode())
        await exchange.chunk(b"")

    server = await serve(handler, tls=authority.server("secure.test"))
    async with _client(names, authority) as client:
        for _ in range(2):
            request = HttpRequest(method="GET", url=f"https://secure.test:{server.port}/")
            async with client.stream(request) as answer:
                lines = [line async for line in answer.lines() if line]
            assert lines == [f"data: {number}" for number in range(100)]
    assert server.connections == 1


def test_the_same_on_uvloop(names: Any, authority: Any, servers: Any) -> None:
    async def both() -> None:
        async with servers() as serve:
            await test_certificates(names, authority, serve)
            await test_streams_over_tls(names, authority, serve)
            await test_a_server_that_speaks_no_tls(names, authority, serve)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())
