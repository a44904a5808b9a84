"""The one outbound HTTP client: every request that a user or a setting can steer goes through it.

It stands on httpcore's connection pool with a network of our own beneath (`backend`), so that redirects, reused
connections and proxies are all held to the policy: the check sits where the socket is opened, not at the URL.
It keeps no cookies and reads no proxy variable of the environment.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, cast

import httpcore
import httpx
import msgspec
from dify_kernel.contracts.http import (
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpStream,
    HttpTimeout,
    Timeout,
)
from dify_kernel.errors import BadInput, DifyError, OutboundRefused, SettingsError
from dify_kernel.settings import Doc, Secret

from dify_host.net.backend import GuardedBackend, Resolver, SystemResolver
from dify_host.net.body import LineSplitter, SizeCap, charset_of, decoded, inflaters, too_large
from dify_host.net.guard import AddressPolicy, OnlyPeer
from dify_host.net.request import Outgoing, origin_of, outgoing, redirected

__all__ = ["GuardedClient", "OutboundSettings"]

MAX_REDIRECTS = 10
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class OutboundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says about outbound requests; each field is the variable of that name.

    When any proxy is set every request goes through one: a scheme without its own uses the other's.
    """

    ssrf_allowed_hosts: Annotated[
        list[str], Doc("Inner hosts, host:port, addresses and networks that requests may reach")
    ] = []
    ssrf_proxy_http_url: Annotated[Secret, Doc("Proxy of http requests")] = Secret()
    ssrf_proxy_https_url: Annotated[Secret, Doc("Proxy of https requests")] = Secret()
    ssrf_proxy_all_url: Annotated[Secret, Doc("Proxy of every request")] = Secret()
    ssrf_pool_max_connections: Annotated[int, Doc("Open connections at most", ge=1)] = 1000
    ssrf_pool_max_keepalive_connections: Annotated[int, Doc("Idle connections kept at most", ge=0)] = 20
    ssrf_pool_keepalive_expiry: Annotated[float, Doc("Seconds an idle connection is kept", ge=0)] = 5.0

    def proxy_for(self, scheme: str) -> Secret:
        """The address of the proxy for `http` or `https`; empty when there is none at all."""
        own, other = self.ssrf_proxy_http_url, self.ssrf_proxy_https_url
        if scheme == "https":
            own, other = other, own
        return own or self.ssrf_proxy_all_url or other


class GuardedClient:
    """Fulfils the kernel's HttpClient; belongs to one event loop and is closed with `aclose` or `async with`.

    `resolver` and `ssl_context` exist for tests and for hosts with their own certificate authority.
    `userinfo` lets `user:password@` in a request's URL become Basic authorization instead of being refused.
    """

    def __init__(
        self,
        settings: OutboundSettings | None = None,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        userinfo: bool = False,
        agent: str = "Dify",
    ) -> None:
        self._settings = settings = settings or OutboundSettings()
        self._policy = AddressPolicy(settings.ssrf_allowed_hosts)
        self._proxies = {scheme: _proxy(settings.proxy_for(scheme).reveal()) for scheme in ("http", "https")}
        self._resolver = resolver or SystemResolver()
        self._ssl_context = ssl_context
        self._userinfo = userinfo
        self._agent = agent
        self._pools: dict[tuple[str, bool], httpcore.AsyncConnectionPool] = {}

    async def __aenter__(self) -> GuardedClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection, for good; closing twice is allowed."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()
        if isinstance(self._resolver, SystemResolver):
            self._resolver.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer; any status is an answer, not an error."""
        started = time.perf_counter()
        plan = outgoing(request, self._agent, "gzip, deflate", userinfo=self._userinfo)
        async with _Exchange(self._follow, request, plan) as answer:
            return HttpResponse(
                status=answer.status,
                headers=answer.headers,
                content=await answer.read(),
                url=answer.url,
                http_version=answer.http_version,
                reason=answer.reason,
                elapsed=time.perf_counter() - started,
            )

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Send and yield the answer while it arrives; leaving the block closes the connection."""
        plan = outgoing(request, self._agent, "identity", userinfo=self._userinfo)
        return _Exchange(self._follow, request, plan)

    async def _follow(
        self, request: HttpRequest, plan: Outgoing, deadline: float | None
    ) -> tuple[httpcore.Response, Outgoing]:
        for _ in range(MAX_REDIRECTS + 1):
            with _Translated(origin_of(plan.url)):
                async with asyncio.timeout_at(deadline):
                    response = await self._exchange(plan, request.timeout, request.verify)
            location = _header(response, b"location")
            if not (request.follow_redirects and response.status in _REDIRECTS and location):
                return response, plan
            await response.aclose()
            plan = redirected(plan, response.status, location)
        raise OutboundRefused(
            f"The address redirects more than {MAX_REDIRECTS} times, last at {origin_of(plan.url)}.",
            host=plan.url.host,
        )

    async def _exchange(self, plan: Outgoing, timeout: Timeout, verify: bool) -> httpcore.Response:
        url = plan.url
        port = url.port or (443 if url.scheme == "https" else 80)
        self._policy.check_name(url.host, port)
        headers = list(plan.headers)
        if not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", url.netloc))
        if plan.body or plan.method in ("POST", "PUT", "PATCH"):
            headers.append((b"content-length", b"%d" % len(plan.body)))
        seconds = {
            "connect": timeout.connect,
            "read": timeout.read,
            "write": timeout.write,
            "pool": timeout.connect,
        }
        return await self._pool(url.scheme, verify).handle_async_request(
            httpcore.Request(
                method=plan.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=headers,
                content=plan.body,
                extensions={"timeout": seconds},
            )
        )

    def _pool(self, scheme: str, verify: bool) -> httpcore.AsyncConnectionPool:
        key = (scheme, verify)
        if key not in self._pools:
            proxy = self._proxies[scheme]
            policy = self._policy if proxy is None else OnlyPeer(*_peer(proxy))
            self._pools[key] = httpcore.AsyncConnectionPool(
                ssl_context=self._context(verify) if scheme == "https" else None,
                proxy=proxy,
                max_connections=self._settings.ssrf_pool_max_connections,
                max_keepalive_connections=self._settings.ssrf_pool_max_keepalive_connections,
                keepalive_expiry=self._settings.ssrf_pool_keepalive_expiry,
                network_backend=GuardedBackend(policy, self._resolver),
            )
        return self._pools[key]

    def _context(self, verify: bool) -> ssl.SSLContext:
        if not verify:
            return httpx.create_ssl_context(verify=False, trust_env=False)
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context(trust_env=False)
        return self._ssl_context


Follow = Callable[[HttpRequest, Outgoing, float | None], Awaitable[tuple[httpcore.Response, Outgoing]]]


class _Exchange:
    """One request, and its answer while the block lasts.

    A class with slots, not a generator: thousands wait in such a block for a slow server.
    """

    __slots__ = ("_answer", "_follow", "_plan", "_request", "_response")

    def __init__(self, follow: Follow, request: HttpRequest, plan: Outgoing) -> None:
        self._follow, self._request, self._plan = follow, request, plan

    async def __aenter__(self) -> _Answer:
        total = self._request.timeout.total
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        self._response, plan = await self._follow(self._request, self._plan, deadline)
        try:
            self._answer = _Answer(self._response, plan, self._request.max_bytes, deadline)
        except BaseException:
            await self._response.aclose()
            raise
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._answer.aclose()
        finally:
            await self._response.aclose()


class _Answer:
    """Fulfils the kernel's HttpStream over one response; its body is read once, by whichever method."""

    def __init__(self, response: httpcore.Response, plan: Outgoing, max_bytes: int, deadline: float | None) -> None:
        self.status = response.status
        self.headers = [
            (name.decode("latin-1").lower(), value.decode("utf-8", "replace")) for name, value in response.headers
        ]
        self.url = str(plan.url)
        self.http_version = cast(bytes, response.extensions.get("http_version", b"HTTP/1.1")).decode()
        self.reason = cast(bytes, response.extensions.get("reason_phrase", b"")).decode("latin-1")
        self._origin = origin_of(plan.url)
        length = _header(response, b"content-length")
        if plan.method != "HEAD" and length.isdecimal() and int(length) > max_bytes:
            raise too_large(max_bytes, self._origin)
        chain = inflaters(_header(response, b"content-encoding"), max_bytes, self._origin)
        # A server that announces a body where none is allowed may send it all the same, as the start of the next
        # answer: nothing is read then, which closes the connection instead of reusing it.
        spoiled = self.status == 204 and length.strip("0") != ""
        wire = _nothing() if spoiled else cast(AsyncIterator[bytes], response.stream)
        cap = SizeCap(max_bytes, self._origin)
        self._wire = self._arriving(wire, deadline, cap)
        self._body = decoded(self._wire, chain) if chain else self._wire

    async def lines(self) -> AsyncIterator[str]:
        """The body line by line without line ends (LF, CR or CRLF)."""
        splitter = LineSplitter(charset_of(dict(self.headers).get("content-type", "")))
        async for piece in self._body:
            for line in splitter.feed(piece):
                yield line
        for line in splitter.finish():
            yield line

    def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece as it arrives."""
        return self._body

    async def read(self) -> bytes:
        """The rest of the body at once."""
        return b"".join([piece async for piece in self._body])

    async def aclose(self) -> None:
        """End the generators here and now instead of leaving them to the collector."""
        for generator in (self._body, self._wire):
            await generator.aclose()

    async def _arriving(
        self, wire: AsyncIterator[bytes], deadline: float | None, cap: SizeCap
    ) -> AsyncGenerator[bytes, None]:
        with _Translated(self._origin):
            pieces = aiter(wire)
            if deadline is None:
                async for piece in pieces:
                    cap.add(len(piece))
                    yield piece
                return
            while True:
                async with asyncio.timeout_at(deadline):
                    try:
                        piece = await anext(pieces)
                    except StopAsyncIteration:
                        return
                cap.add(len(piece))
                yield piece


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece


class _Translated:
    """What the HTTP machinery raises, as the port's errors; the address is told without its path and query."""

    __slots__ = ("_origin",)

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        told = _told(exc, self._origin) if exc is not None else None
        if told is not None:
            raise told from exc


def _told(exc: BaseException, origin: str) -> DifyError | None:
    """The port's error for one of the HTTP machinery; None for any other."""
    if isinstance(exc, httpcore.PoolTimeout):
        return HttpTimeout(f"No free connection for {origin}: too many are in use.", url=origin)
    if isinstance(exc, httpcore.TimeoutException | TimeoutError):
        return HttpTimeout(f"{origin} took too long. {exc}".rstrip(), url=origin)
    if isinstance(exc, httpcore.LocalProtocolError):
        return BadInput(f"The request to {origin} cannot be sent: {exc}.", url=origin)
    if isinstance(exc, httpcore.ProxyError):
        if str(exc).startswith("403"):
            return OutboundRefused(f"The proxy refuses {origin}.", url=origin)
        return HttpConnectionError(f"The proxy cannot reach {origin}: {exc}.", url=origin)
    if isinstance(exc, httpcore.NetworkError | httpcore.ProtocolError | httpcore.UnsupportedProtocol):
        return HttpConnectionError(f"{origin} cannot be reached: {exc}.", url=origin)
    return None


def _proxy(address: str) -> httpcore.Proxy | None:
    if not address:
        return None
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError):
        raise _bad_proxy() from None  # the cause would print the address with its password
    if url.scheme not in ("http", "https") or not url.host:
        raise _bad_proxy()
    auth = (url.username, url.password) if url.userinfo else None
    return httpcore.Proxy(httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"), auth=auth)


def _peer(proxy: httpcore.Proxy) -> tuple[str, int]:
    return proxy.url.host.decode("ascii"), proxy.url.origin.port


def _bad_proxy() -> SettingsError:
    return SettingsError(
        "A proxy setting is not the address of an HTTP proxy.",
        hint="Write http://host:port in SSRF_PROXY_HTTP_URL, SSRF_PROXY_HTTPS_URL or SSRF_PROXY_ALL_URL.",
        setting="SSRF_PROXY_ALL_URL",
    )


def _header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("utf-8", "replace") for key, value in response.headers if key.lower() == name), "")
