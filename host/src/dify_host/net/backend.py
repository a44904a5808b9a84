"""Opens the sockets of the outbound client: resolves once, checks every address, connects to a checked one.

The stream speaks asyncio directly instead of through a portability layer: model answers arrive in thousands of
small pieces a second, and each piece pays for every layer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from dify_host.net.guard import ConnectPolicy, IPAddress, literal_address

__all__ = ["GuardedBackend", "Resolver", "SystemResolver"]

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

READ_AHEAD = 256 * 1024  # bytes buffered before the peer is asked to wait


class SystemResolver:
    """The system's resolver in threads of its own: names that hang hold up neither files nor passwords."""

    def __init__(self, threads: int = 16) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of a name, in order of preference, without repeats; raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _lookup, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Drop what waits; a lookup that runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str, port: int) -> list[str]:
    return [str(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """The network of a connection pool: nothing is connected to that the policy did not see as an address."""

    def __init__(self, policy: ConnectPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; raises OutboundRefused when any one is refused."""
        try:
            async with asyncio.timeout(timeout) as limit:
                addresses = await self._checked(host, port)
                return await _connect(addresses, port, limit)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"{host} did not answer in {timeout} s.") from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(_reason(exc)) from exc

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refused: no outbound request has a reason to reach a local socket."""
        raise httpcore.ConnectError("Local sockets are not reachable through the outbound client.")

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries of a connection."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int) -> list[IPAddress]:
        literal = literal_address(host)
        if literal is not None:
            addresses = [literal]
        else:
            addresses = [ipaddress.ip_address(text) for text in await self._resolver(host, port)]
        for address in addresses:
            self._policy.check(host, port, address)
        if not addresses:
            raise OSError("the name has no address")
        return addresses


async def _connect(addresses: Sequence[IPAddress], port: int, limit: asyncio.Timeout) -> _Stream:
    """Try the addresses in order; one that does not answer leaves the others their share of the time."""
    loop = asyncio.get_running_loop()
    last: OSError | None = None
    for index, address in enumerate(addresses):
        end = limit.when()
        left = len(addresses) - index
        share = None if end is None or left == 1 else (end - loop.time()) / left
        try:
            async with asyncio.timeout(share):
                # The numeric flag makes sure that the text of a checked address is never taken for a name.
                transport, stream = await loop.create_connection(
                    lambda: _Stream(loop), str(address), port, flags=socket.AI_NUMERICHOST
                )
                stream.transport = transport
                return stream
        except OSError as exc:  # TimeoutError is one
            last = exc
    assert last is not None
    raise last


class _Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection, plain or TLS: a buffer that the transport fills and the HTTP parser empties."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer = bytearray()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._reading = True
        self._writing = True

    # -- what the transport calls

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        _wake(self._reader)
        if len(self._buffer) > READ_AHEAD and self._reading:
            self._reading = False
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._writing = False

    def resume_writing(self) -> None:
        self._writing = True
        _wake(self._writer)

    # -- what the HTTP connection calls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while not self._buffer and not self._ended:
            self._reader = self._loop.create_future()
            try:
                await _wait(self._loop, self._reader, timeout, httpcore.ReadTimeout)
            finally:
                self._reader = None
        if not self._buffer and self._error is not None:
            raise httpcore.ReadError(_reason(self._error)) from self._error
        if len(self._buffer) <= max_bytes:
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            data = bytes(self._buffer[:max_bytes])
            del self._buffer[:max_bytes]
        if not self._reading and len(self._buffer) < READ_AHEAD // 2:
            self._reading = True
            if not self._ended:
                self.transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self.transport.is_closing():
            raise httpcore.WriteError("The connection is closed.")
        self.transport.write(buffer)
        if not self._writing and not self._ended:
            self._writer = self._loop.create_future()
            try:
                await _wait(self._loop, self._writer, timeout, httpcore.WriteTimeout)
            finally:
                self._writer = None
        if self._error is not None:
            raise httpcore.WriteError(_reason(self._error)) from self._error

    async def aclose(self) -> None:
        # Abort, not close: a closing TLS transport waits for the peer, and nothing is left to be sent.
        self.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        secured = _Stream(self._loop)
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self.transport, secured, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as exc:
            self.transport.abort()
            raise httpcore.ConnectTimeout("The TLS handshake took too long.") from exc
        except (ssl.SSLError, ssl.CertificateError, OSError, ValueError) as exc:
            self.transport.abort()
            raise httpcore.ConnectError(f"TLS: {_reason(exc)}") from exc
        except BaseException:
            self.transport.abort()
            raise
        if transport is None:
            raise httpcore.ConnectError("The connection closed during the TLS handshake.")
        secured.transport = transport
        return secured

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # an idle connection with bytes or an end on it is not used again
            return bool(self._buffer) or self._ended or self.transport.is_closing()
        names = {
            "ssl_object": "ssl_object",
            "client_addr": "sockname",
            "server_addr": "peername",
            "socket": "socket",
        }
        return self.transport.get_extra_info(names[info]) if info in names else None


async def _wait(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[None],
    timeout: float | None,
    error: type[httpcore.TimeoutException],
) -> None:
    """Await with a bare timer of the loop: cheaper than a timeout block, and this runs for every piece."""
    if timeout is None:
        await future
        return
    timer = loop.call_later(timeout, _expire, future, error, timeout)
    try:
        await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[None], error: type[httpcore.TimeoutException], timeout: float) -> None:
    if not future.done():
        future.set_exception(error(f"No progress in {timeout} s."))


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
