"""Redirects and changing names: checked again each time, and credentials stay with their origin."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.contracts.http import HttpRequest
from dify_kernel.errors import OutboundRefused


async def test_redirects_are_followed_only_when_asked(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(status=302, location="/next"))
    async with client:
        answer = await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/"))
    assert (answer.status, len(server.requests)) == (302, 1)


@pytest.mark.parametrize(
    "location",
    [
        "http://refused.test:{port}/",
        "http://127.0.0.1:{port}/",
        "http://169.254.169.254/",
        "//0x7f.1:{port}/",
        "http://user:pass@allowed.test:{port}/",
        "file:///etc/passwd",
        "http://[::1",
    ],
)
async def test_a_redirect_to_a_refused_place(location: str, client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda e: e.reply(status=302, location=location.format(port=server.port)))
    request = HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", follow_redirects=True)
    async with client:
        with pytest.raises(OutboundRefused):
            await client.send(request)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (307, "POST", "POST"),
     (308, "PUT", "PUT"), (301, "DELETE", "DELETE")],
)  # fmt: skip
async def test_method_and_body_after_a_redirect(
    status: int, method: str, then: str, client: GuardedClient, serve: Any
) -> None:
    async def handler(exchange: Any) -> None:
        if exchange.target == "/":
            await exchange.reply(status=status, location="/done")
        else:
            await exchange.reply()

    server = await serve(handler)
    async with client:
        answer = await client.send(
            HttpRequest(
                method=method,
                url=f"http://allowed.test:{server.port}/",
                content=b"body",
                headers=[("Content-Type", "text/x"), ("Authorization", "Bearer k")],
                follow_redirects=True,
            )
        )
    first, second = server.requests
    assert answer.url.endswith("/done")
    assert (first.method, second.method) == (method, then)
    kept = then != "GET"
    assert (second.body == b"body", "content-type" in second.headers) == (kept, kept)
    assert second.headers["authorization"] == "Bearer k"


async def test_credentials_stay_with_their_origin(client: GuardedClient, serve: Any) -> None:
    async def handler(exchange: Any) -> None:
        host = exchange.headers["host"].partition(":")[0]
        if host == "allowed.test":
            await exchange.reply(status=307, location=f"http://other.test:{server.port}/x")
        else:
            await exchange.reply(b"there")

    server = await serve(handler)
    secrets = [("Authorization", "Bearer k"), ("Cookie", "a=b"), ("X-Api-Key", "k"), ("api-key", "k")]
    async with client:
        answer = await client.send(
            HttpRequest(
                method="GET",
                url=f"http://allowed.test:{server.port}/",
                headers=[*secrets, ("Accept", "text/x")],
                follow_redirects=True,
            )
        )
    assert answer.content == b"there"
    assert set(server.requests[1].headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert server.requests[1].headers["accept"] == "text/x"


async def test_redirects_end(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(status=302, location="/"))
    request = HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", follow_redirects=True)
    async with client:
        with pytest.raises(OutboundRefused, match="more than 10"):
            await client.send(request)
    assert len(server.requests) == 11


async def test_a_name_that_changes_its_address_between_requests(names: Any, serve: Any) -> None:
    """The first answer is allowed, the second is not; and each connection uses the address that was checked."""
    server = await serve(lambda exchange: exchange.reply(connection="close"), address="127.0.0.2")
    resolver = names(rebind_test=[["127.0.0.2"], ["127.0.0.1"]])
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.2"]), resolver=resolver) as client:
        request = HttpRequest(method="GET", url=f"http://rebind.test:{server.port}/")
        assert (await client.send(request)).status == 200
        assert resolver.asked == ["rebind.test"]
        with pytest.raises(OutboundRefused):
            await client.send(request)
    assert server.connections == 1
