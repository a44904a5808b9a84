"""A scriptable server on loopback, names that lead to it, and a certificate authority of its own."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dify_host.net.client import GuardedClient, OutboundSettings

Handler = Callable[["Exchange"], Awaitable[None]]
Serve = Callable[..., Awaitable["Server"]]


class Exchange:
    """One request as the server read it, and the writer to answer with."""

    def __init__(self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.body = body
        self.reader = reader
        self.writer = writer

    async def reply(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def begin(self, **headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its side."""
        await self.reader.read()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()


class Server:
    """Where the server listens, what it was asked, and a signal each time a connection ends."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Exchange] = []
        self.connections = 0
        self.closed = asyncio.Event()
        self.address = ""
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                length = next(
                    (int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0
                )
                exchange = Exchange(head, await reader.readexactly(length), reader, writer)
                self.requests.append(exchange)
                await self.handler(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def _servers() -> AsyncIterator[Serve]:
    running: list[asyncio.Server] = []

    async def start(handler: Handler, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Server:
        server = Server(handler)
        listener = await asyncio.start_server(server.connected, address, 0, ssl=tls)
        running.append(listener)
        server.address, server.port = listener.sockets[0].getsockname()[:2]
        return server

    yield start
    for listener in running:
        listener.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(handler, address="127.0.0.1", tls=None)` gives a running Server."""
    async with _servers() as start:
        yield start


@pytest.fixture
def servers() -> Callable[[], AbstractAsyncContextManager[Serve]]:
    """The same for a test that runs a loop of its own: `async with servers() as serve`."""
    return _servers


class Names:
    """A resolver that counts: each name leads to its addresses; a list of lists is one answer after the other."""

    def __init__(self, **names: Any) -> None:
        self.names = {name.replace("_", "."): value for name, value in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        answer = self.names[host]
        return answer.pop(0) if isinstance(answer[0], list) else answer


@pytest.fixture
def names() -> type[Names]:
    return Names


@pytest.fixture
def client(names: type[Names]) -> GuardedClient:
    """May reach `allowed.test` and `other.test` (this machine), and not `refused.test`."""
    resolver = names(allowed_test=["127.0.0.1"], other_test=["127.0.0.1"], refused_test=["127.0.0.1"])
    return GuardedClient(OutboundSettings(ssrf_allowed_hosts=["allowed.test", "other.test"]), resolver=resolver)


class Authority:
    """A certificate authority of one test session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self._root = self._sign(self._name, self._key.public_key(), [(basic, True)])

    def _sign(self, subject: x509.Name, key: Any, extensions: list[tuple[Any, bool]]) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def client(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        pem = self._root.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(self, *hosts: str) -> ssl.SSLContext:
        """Presents a certificate for these host names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        sans = [_san(host) for host in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        cert = self._sign(subject, key.public_key(), [(x509.SubjectAlternativeName(sans), False)])
        path = self._folder / f"{hosts[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + cert.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
