"""The outbound client against real sockets: the guard, size caps, timeouts, headers, cancellation."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.contracts.http import (
    FormPart,
    HttpClient,
    HttpConnectionError,
    HttpRequest,
    HttpTimeout,
    HttpTooLarge,
    Timeout,
)
from dify_kernel.errors import BadInput, OutboundRefused
from dify_kernel.settings import Secret, load_settings

HOSTILE = [
    "http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://017700000001/",
    "http://0177.0.0.1/", "http://127.1/", "http://0/", "http://0.0.0.0/", "http://[::]/", "http://[::1]/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
    "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://10.0.0.1/",
    "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://100.100.100.200/", "http://224.0.0.1/",
    "http://255.255.255.255/", "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/",
    "http://198.18.0.1/", "http://[2001:db8::1]/", "http://[ff02::1]/", "http://localhost/", "http://LOCALHOST./",
    "http://127.0.0.1./", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://127%2e0%2e0%2e1/",
    "http://public.test@127.0.0.1/", "http://user:pass@public.test/", "http://127.0.0.1#@public.test/",
    "http://127.0.0.1\\@public.test/", "http://public.test:80@127.0.0.1/", "https://@public.test/".replace("@", "x@"),
    "file:///etc/passwd", "ftp://public.test/", "gopher://127.0.0.1:6379/_x", "unix:///run/x.sock", "dict://x/",
    "data:text/plain,x", "//public.test/", "/relative", "public.test", "", "http://", "http:///x", "ws://public.test/",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
@pytest.mark.parametrize("proxied", [False, True])
async def test_hostile_addresses_are_refused(url: str, proxied: bool, serve: Any, names: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(b"inside"))
    proxy = f"http://127.0.0.1:{server.port}" if proxied else ""
    resolver = names()
    async with GuardedClient(OutboundSettings(ssrf_proxy_all_url=Secret(proxy)), resolver=resolver) as client:
        with pytest.raises((OutboundRefused, HttpConnectionError)) as caught:
            await client.send(HttpRequest(method="GET", url=url))
    # A host that is no address in any spelling may be asked of the resolver, and nothing answers there.
    if not isinstance(caught.value, OutboundRefused):
        assert resolver.asked
    assert server.connections == 0


async def test_any_refused_address_of_a_name_refuses_the_name(names: Any) -> None:
    resolver = names(mixed_test=["8.8.8.8", "127.0.0.1"], inner_test=["10.0.0.1"], empty_test=[])
    async with GuardedClient(resolver=resolver) as client:
        for host in ("mixed.test", "inner.test"):
            with pytest.raises(OutboundRefused):
                await client.send(HttpRequest(method="GET", url=f"http://{host}/"))


async def test_a_request_and_its_answer(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply("grün".encode(), 201, content_type="text/plain", x_a="1"))
    async with client:
        answer = await client.send(
            HttpRequest(
                method="post",
                url=f"http://allowed.test:{server.port}/p?a=1",
                params=[("b", "2 3"), ("b", "ä&")],
                headers=[("X-Key", "ключ"), ("Connection", "close"), ("Transfer-Encoding", "chunked")],
                content=b"{}",
            )
        )
    seen = server.requests[0]
    assert (answer.status, answer.text, answer.header("X-A"), answer.reason) == (201, "grün", "1", "Whatever")
    assert answer.http_version == "HTTP/1.1"
    assert answer.elapsed > 0
    assert answer.url.startswith(f"http://allowed.test:{server.port}/p?")
    assert (seen.method, seen.target, seen.body) == ("POST", "/p?a=1&b=2+3&b=%C3%A4%26", b"{}")
    assert seen.headers["host"] == f"allowed.test:{server.port}"
    assert seen.headers["x-key"].encode("latin-1").decode() == "ключ"
    assert seen.headers["content-length"] == "2"
    assert "transfer-encoding" not in seen.headers
    assert "connection" not in seen.headers


async def test_multipart(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply())
    parts = [
        FormPart(name="field", content=b"value"),
        FormPart(name="file", content=b"\0\1", filename="a.bin", content_type="application/x-a"),
    ]
    async with client:
        await client.send(
            HttpRequest(
                method="POST",
                url=f"http://allowed.test:{server.port}/",
                files=parts,
                headers=[("Content-Type", "multipart/form-data")],
            )
        )
    seen = server.requests[0]
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    pieces = seen.body.split(b"--" + boundary)
    assert b'name="field"\r\n\r\nvalue' in pieces[1]
    assert b'name="file"; filename="a.bin"\r\nContent-Type: application/x-a\r\n\r\n\0\1' in pieces[2]


async def test_cookies_are_never_carried_from_one_request_to_the_next(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(set_cookie="session=1; Path=/"))
    async with client:
        for _ in range(2):
            await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/"))
    assert server.connections == 1
    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("headers", [[("x", "a\r\nhost: b")], [("x\n", "a"), ("a b", "c")], [("ü", "a")], [("", "a")]])
async def test_headers_that_would_split_the_request_are_bad_input(
    headers: Any, client: GuardedClient, serve: Any
) -> None:
    server = await serve(lambda exchange: exchange.reply())
    async with client:
        with pytest.raises(BadInput):
            await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", headers=headers))
    assert server.requests == []


@pytest.mark.parametrize("method", ["CONNECT", "connect", "GET /x HTTP/1.1\r\nX: y", "", "GÉT"])
async def test_methods_that_cannot_be_sent(method: str, client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply())
    async with client:
        with pytest.raises(BadInput):
            await client.send(HttpRequest(method=method, url=f"http://allowed.test:{server.port}/"))
    assert server.requests == []


async def test_userinfo_when_asked(names: Any, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply())
    settings = OutboundSettings(ssrf_allowed_hosts=["allowed.test"])
    async with GuardedClient(settings, resolver=names(allowed_test=["127.0.0.1"]), userinfo=True) as client:
        answer = await client.send(HttpRequest(method="GET", url=f"http://u:p%40@allowed.test:{server.port}/"))
    assert server.requests[0].headers["authorization"] == "Basic dTpwQA=="
    assert "u:" not in answer.url


async def test_the_next_address_is_tried(names: Any, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(), address="127.0.0.2")
    resolver = names(two_test=["127.0.0.3", "127.0.0.2"])
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.0/8"]), resolver=resolver) as client:
        assert (await client.send(HttpRequest(method="GET", url=f"http://two.test:{server.port}/"))).status == 200


# -- size --------------------------------------------------------------------------------------------------

LIMIT = 100_000
BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (bytes(LIMIT + 1), {}),
        (BOMB, {"content_encoding": "gzip"}),
        (zlib.compress(bytes(50_000_000)), {"content_encoding": "deflate"}),
        (gzip.compress(BOMB), {"content_encoding": "gzip, gzip"}),
        (gzip.compress(b"x") * 10_000, {"content_encoding": "gzip"}),
    ],
    ids=["plain", "gzip", "deflate", "twice", "members"],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_answers_over_the_limit(
    body: bytes, headers: Any, chunked: bool, client: GuardedClient, serve: Any
) -> None:
    async def handler(exchange: Any) -> None:
        if not chunked:
            await exchange.reply(body, **headers)
            return
        await exchange.begin(**headers)
        for at in range(0, len(body), 5000):
            await exchange.chunk(body[at : at + 5000])
        await exchange.chunk(b"")

    server = await serve(handler)
    request = HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", max_bytes=LIMIT)
    async with client:
        with pytest.raises(HttpTooLarge):
            await client.send(request)
        with pytest.raises(HttpTooLarge):
            async with client.stream(request) as answer:
                await answer.read()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", lambda b: gzip.compress(b[:7]) + gzip.compress(b[7:])),
        ("deflate", zlib.compress),
        ("deflate", lambda b: zlib.compress(b)[2:-4]),
        ("deflate, gzip", lambda b: gzip.compress(zlib.compress(b))),
        ("identity", lambda b: b),
        ("br", lambda b: b),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 70_000, LIMIT])
async def test_codings(coding: str, pack: Any, size: int, client: GuardedClient, serve: Any) -> None:
    body = bytes(i * 7919 % 251 for i in range(size))
    server = await serve(lambda exchange: exchange.reply(pack(body), content_encoding=coding))
    async with client:
        answer = await client.send(
            HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", max_bytes=LIMIT + 100)
        )
    assert answer.content == body


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"x" * 1000)[:-9]], ids=["none", "cut short"])
async def test_broken_compression_is_an_error(body: bytes, client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(body, content_encoding="gzip"))
    async with client:
        with pytest.raises(HttpConnectionError):
            await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/"))


# -- time and breakage -------------------------------------------------------------------------------------


async def test_timeouts(client: GuardedClient, serve: Any) -> None:
    release = asyncio.Event()

    async def silent(exchange: Any) -> None:
        if exchange.target == "/body":
            await exchange.begin()
            await exchange.chunk(b"first")
        await release.wait()

    async def dripping(exchange: Any) -> None:
        await exchange.begin()
        while True:
            await exchange.chunk(b".")
            await asyncio.sleep(0.01)

    server, drip = await serve(silent), await serve(dripping)
    quick = Timeout(read=0.05)
    async with client:
        for target in ("head", "body"):
            url = f"http://allowed.test:{server.port}/{target}?key=secret"
            with pytest.raises(HttpTimeout):
                await client.send(HttpRequest(method="GET", url=url, timeout=quick))
        url = f"http://allowed.test:{drip.port}/?key=secret"
        with pytest.raises(HttpTimeout) as caught:
            await client.send(HttpRequest(method="GET", url=url, timeout=Timeout(total=0.1)))
    assert "secret" not in f"{caught.value} {caught.value.where}"
    assert caught.value.retryable
    release.set()


async def test_a_name_that_takes_too_long(serve: Any) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with GuardedClient(resolver=resolver) as client:
        with pytest.raises(HttpTimeout):
            await client.send(HttpRequest(method="GET", url="http://slow.test/", timeout=Timeout(connect=0.05)))


async def test_unreachable(client: GuardedClient, serve: Any) -> None:
    async def cut(exchange: Any) -> None:
        if exchange.target == "/body":
            exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
            await exchange.writer.drain()
        exchange.writer.transport.abort() if exchange.target == "/reset" else exchange.writer.close()

    async def nonsense(exchange: Any) -> None:
        exchange.writer.write(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        exchange.writer.close()

    server, other = await serve(cut), await serve(nonsense)
    urls = [f"http://allowed.test:{server.port}/{path}" for path in ("body", "head", "reset")]
    urls += ["http://unknown.test/", "http://allowed.test:1/", f"http://allowed.test:{other.port}/"]
    async with client:
        for url in urls:
            with pytest.raises(HttpConnectionError) as caught:
                await client.send(HttpRequest(method="GET", url=url))
            assert not isinstance(caught.value, HttpTimeout), url


async def test_cancelling_closes_the_connection(client: GuardedClient, serve: Any) -> None:
    started = asyncio.Event()

    async def hanging(exchange: Any) -> None:
        await exchange.begin()
        await exchange.chunk(b"data: 1\n\n")
        started.set()
        await exchange.gone()

    server = await serve(hanging)
    async with client:
        task = asyncio.create_task(client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_leaving_a_stream_early_closes_the_connection(client: GuardedClient, serve: Any) -> None:
    async def endless(exchange: Any) -> None:
        await exchange.begin()
        while True:
            await exchange.chunk(b"data: x\n\n" * 100)

    server = await serve(endless)
    async with client:
        async with client.stream(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")) as answer:
            async for line in answer.lines():
                assert line == "data: x"
                break
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_a_slow_reader_holds_the_sender_back(client: GuardedClient, serve: Any) -> None:
    sent = 0

    async def endless(exchange: Any) -> None:
        nonlocal sent
        await exchange.begin()
        while True:
            await exchange.chunk(bytes(65536))
            sent += 65536

    server = await serve(endless)
    request = HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/", max_bytes=10**9)
    async with client, client.stream(request) as answer:
        pieces = answer.chunks()
        await anext(pieces)
        before = -1
        while before != sent:  # until the buffers between the two are full
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 30_000_000
        taken = 0
        while taken < 40_000_000:
            taken += len(await anext(pieces))
        assert sent > before


async def test_connections_are_used_again_and_a_closed_one_is_not(client: GuardedClient, serve: Any) -> None:
    async def handler(exchange: Any) -> None:
        await exchange.reply(b"ok")
        if exchange.target == "/last":
            exchange.writer.close()

    server = await serve(handler)
    async with client:
        for path in ("a", "b", "last"):
            await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/{path}"))
        assert server.connections == 1
        await asyncio.wait_for(server.closed.wait(), 5)
        await client.send(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/a"))
    assert server.connections == 2


async def test_the_pool_is_bounded(names: Any, serve: Any) -> None:
    release, busy, most = asyncio.Event(), 0, 0

    async def handler(exchange: Any) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        if busy == 2:
            release.set()
        await release.wait()
        busy -= 1
        await exchange.reply()

    server = await serve(handler)
    settings = OutboundSettings(ssrf_allowed_hosts=["allowed.test"], ssrf_pool_max_connections=2)
    async with GuardedClient(settings, resolver=names(allowed_test=["127.0.0.1"])) as client:
        request = HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")
        answers = await asyncio.gather(*(client.send(request) for _ in range(6)))
    assert [answer.status for answer in answers] == [200] * 6
    assert most == 2


async def test_closing_twice(client: GuardedClient) -> None:
    await client.aclose()
    await client.aclose()


async def test_the_settings_and_the_systems_resolver(serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(b"ok"))
    env = {"SSRF_ALLOWED_HOSTS": f"10.0.0.0/8, localhost:{server.port}", "SSRF_POOL_MAX_CONNECTIONS": "3"}
    async with GuardedClient(load_settings(OutboundSettings, env)) as client:
        answer = await client.send(HttpRequest(method="GET", url=f"http://localhost:{server.port}/"))
        assert answer.content == b"ok"
        for host in ("localhost", "name.invalid"):
            with pytest.raises((OutboundRefused, HttpConnectionError)):
                await client.send(HttpRequest(method="GET", url=f"http://{host}/"))


def test_it_fulfils_the_port() -> None:
    port: HttpClient = GuardedClient()
    assert callable(port.send)
