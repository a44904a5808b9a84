"""A workspace with its tools, and a loopback server that answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.identity.workspaces import insert_workspace
from dify_host.net.client import GuardedClient
from dify_host.net.crypto import KeyRing
from dify_host.runs.programs import Programs
from dify_host.tools.pool import ToolPool
from dify_host.tools.runtime import ToolRuntime
from dify_host.tools.services import Tools
from dify_kernel.contracts.tool import ToolMessage
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeFiles, FakeKnowledge

__all__ = ["KEYRING", "USER", "Answer", "Asked", "Loopback", "ToolsHouse", "loopback", "said"]

KEYRING = KeyRing("a secret key of the tests")
USER = new_id()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, Mapping[str, str], bytes]


class Loopback:
    """A server on 127.0.0.1 and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []


@contextmanager
def loopback(answer: Callable[[Asked], Answer]) -> Iterator[Loopback]:
    """A server that answers each request with status, headers and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(
                method=self.command,
                path=parts.path,
                query=parse_qsl(parts.query, keep_blank_values=True),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            server.asked.append(asked)
            status, headers, body = answer(asked)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

        def log_message(self, format: str, *args: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Loopback(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


class ToolsHouse:
    """The tools of any workspace of one database, as a process has them."""

    def __init__(self, db: Database, registry: Registry, http: GuardedClient) -> None:
        self.db, self.registry, self.http = db, registry, http
        self.keys = TenantKeys(db, KEYRING)
        self.pool = ToolPool(registry, http)
        self.files = FakeFiles()
        self.knowledge = FakeKnowledge()
        self.programs = Programs(registry)

    async def tenant(self) -> Tenant:
        """A new workspace."""
        async with self.db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            return Tenant(await insert_workspace(conn, KEYRING, name="Workspace", owner_id=owner))

    def tools(self, tenant: Tenant, runner: Any = None) -> Tools:
        """The tools of a workspace."""
        return Tools(
            db=self.db,
            tenant=tenant,
            keys=self.keys,
            pool=self.pool,
            http=self.http,
            files=self.files,
            programs=self.programs,
            runner=runner,
        )

    def runtime(self, tenant: Tenant, runner: Any = None) -> ToolRuntime:
        """The tools port of a run."""
        return self.tools(tenant, runner).runtime(self.knowledge)


async def said(runtime: ToolRuntime, kind: str, provider: str, tool: str, **rest: Any) -> list[ToolMessage]:
    """The messages of one call."""
    credential_id = rest.pop("credential_id", None)
    return [item async for item in runtime.invoke(kind, provider, tool, rest, credential_id=credential_id)]
