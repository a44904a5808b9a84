"""MCP servers of a workspace: their addresses and headers, the tools they listed, and calls to them."""

from __future__ import annotations

import builtins
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.tool import ToolInfo, ToolMessage
from dify_kernel.errors import BadInput
from dify_kernel.forms import HIDDEN
from dify_kernel.graph.values import mask
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.net.crypto import TenantCipher
from dify_host.tools.errors import ToolProviderNotFound
from dify_host.tools.lookup import is_meant
from dify_host.tools.mcp_client import McpTool, connect
from dify_host.tools.mcp_messages import result_messages, tool_info
from dify_host.tools.pool import tool_of
from dify_host.tools.sources import ResolvedTool
from dify_host.tools.tables import tool_mcp_providers

__all__ = ["McpProvider", "McpTools", "NewMcpProvider"]

_IDENTIFIER: Final = re.compile(r"[a-z0-9_-]{1,24}")
_LONGEST_NAME: Final = 40


class NewMcpProvider(msgspec.Struct, kw_only=True):
    """What a person says of an MCP server; `headers` may hold keys."""

    name: str
    server_url: str
    server_identifier: str
    headers: dict[str, str] = {}
    icon: dict[str, Any] | None = None
    timeout: float = 30
    sse_read_timeout: float = 300


class McpProvider(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server; of header values the last four characters are shown."""

    id: str
    name: str
    server_identifier: str
    server_url: str
    headers: dict[str, str] = {}
    icon: dict[str, Any] | None = None
    tools: list[ToolInfo] = []
    timeout: float
    sse_read_timeout: float


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    server_identifier: str
    server_url: str
    icon: dict[str, Any] | None = None
    tools: builtins.list[McpTool] | None = None
    timeout: float
    sse_read_timeout: float
    encrypted_headers: str | None = None


class McpTools(TenantRepository):
    """The MCP servers of one workspace."""

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys, http: HttpClient) -> None:
        super().__init__(db, tenant)
        self._keys, self._http = keys, http

    async def list(self) -> builtins.list[McpProvider]:
        """Every server by name."""
        async with self.db.read() as conn:
            rows = (await conn.execute(self.scoped_select(tool_mcp_providers).order_by("name"))).all()
        cipher = await self._keys.cipher(self.tenant)
        return [_shown(to_struct(row, _Row), cipher) for row in rows]

    async def get(self, provider: str) -> McpProvider:
        """One server by its id, identifier or name; ToolProviderNotFound."""
        return _shown(await self._read(provider), await self._keys.cipher(self.tenant))

    async def add(self, new: NewMcpProvider, user_id: str) -> McpProvider:
        """Ask a server for its tools and keep it; ToolError with its words, Conflict for a taken name or address."""
        _check(new)
        tools = await self._ask(new.server_url, new.headers, new)
        row_id = new_id()
        row = {**self._values(new, new.headers, tools), "id": row_id, "user_id": user_id}
        cipher = await self._keys.cipher(self.tenant)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(tool_mcp_providers, _sealed(row, row_id, cipher)))
        return await self.get(row_id)

    async def update(self, provider: str, new: NewMcpProvider) -> McpProvider:
        """Replace what is known of a server and ask it anew; a header sent as `[__HIDDEN__]` stays as it is."""
        _check(new)
        former, cipher = await self._read(provider), await self._keys.cipher(self.tenant)
        known = _headers(former, cipher)
        headers = {name: known.get(name, "") if value == HIDDEN else value for name, value in new.headers.items()}
        tools = await self._ask(new.server_url, headers, new)
        values = _sealed(self._values(new, headers, tools), former.id, cipher)
        await self._change(former.id, values)
        return await self.get(former.id)

    async def refresh(self, provider: str) -> McpProvider:
        """Ask a server for its tools again."""
        former, cipher = await self._read(provider), await self._keys.cipher(self.tenant)
        tools = await self._ask(_url(former, cipher), _headers(former, cipher), former)
        await self._change(former.id, {"tools": msgspec.to_builtins(tools)})
        return await self.get(former.id)

    async def remove(self, provider: str) -> None:
        """Forget a server; ToolProviderNotFound."""
        found = await self._read(provider)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_delete(tool_mcp_providers).where(tool_mcp_providers.c.id == found.id))

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """A tool that the server listed when it was last asked."""
        row, cipher = await self._read(provider), await self._keys.cipher(self.tenant)
        info = tool_of([tool_info(item) for item in row.tools or []], tool, row.name)
        return ResolvedTool(info, partial(self._call, row, _url(row, cipher), _headers(row, cipher), info))

    async def _call(
        self, row: _Row, url: str, headers: Mapping[str, str], tool: ToolInfo, parameters: Mapping[str, Any], _key: str
    ) -> AsyncIterator[ToolMessage]:
        times: Any = {"timeout": row.timeout, "read": row.sse_read_timeout}
        async with connect(self._http, url, list(headers.items()), **times) as session:
            # A template without its value is an empty text: servers want such a parameter left out.
            given = {name: value for name, value in parameters.items() if not _blank(value)}
            result = await session.call_tool(tool.name, given)
        for message in result_messages(tool, result):
            yield message

    async def _ask(self, url: str, headers: Mapping[str, str], times: NewMcpProvider | _Row) -> builtins.list[McpTool]:
        waits: Any = {"timeout": times.timeout, "read": times.sse_read_timeout}
        async with connect(self._http, url, list(headers.items()), **waits) as session:
            return await session.list_tools()

    async def _read(self, provider: str) -> _Row:
        async with self.db.read() as conn:
            return await self._one(conn, provider)

    async def _one(self, conn: AsyncConnection, provider: str) -> _Row:
        query = self.scoped_select(tool_mcp_providers)
        rows = (await conn.execute(query.where(is_meant(tool_mcp_providers, provider, "server_identifier")))).all()
        if not rows:
            rows = (await conn.execute(query.where(tool_mcp_providers.c.name == provider))).all()
        if not rows:
            raise ToolProviderNotFound(
                f"The workspace has no MCP server {provider!r}.", hint="Add it under Tools, MCP.", provider=provider
            )
        return to_struct(rows[0], _Row)

    async def _change(self, row_id: str, values: Mapping[str, Any]) -> None:
        async with self.db.write() as conn:
            change = self.scoped_update(tool_mcp_providers, values)
            await conn.execute(change.where(tool_mcp_providers.c.id == row_id))

    def _values(self, new: NewMcpProvider, headers: Mapping[str, str], tools: builtins.list[McpTool]) -> dict[str, Any]:
        return {
            "name": new.name.strip(),
            "server_identifier": new.server_identifier,
            "server_url": new.server_url,
            "server_url_hash": hashlib.sha256(f"{self.tenant.id}:{new.server_url}".encode()).hexdigest(),
            "icon": new.icon or {},
            "authed": True,
            "tools": msgspec.to_builtins(tools),
            "timeout": new.timeout,
            "sse_read_timeout": new.sse_read_timeout,
            "encrypted_headers": msgspec.json.encode(headers).decode(),
        }


def _check(new: NewMcpProvider) -> None:
    if not new.name.strip() or len(new.name.strip()) > _LONGEST_NAME:
        raise BadInput(f"The name has to have 1 to {_LONGEST_NAME} characters.", field="name")
    if not _IDENTIFIER.fullmatch(new.server_identifier):
        raise BadInput(
            "The server identifier has to be 1 to 24 lower-case letters, digits, - and _.", field="server_identifier"
        )
    if not new.server_url.lower().startswith(("http://", "https://")):
        raise BadInput("The address of the server has to start with http:// or https://.", field="server_url")
    if new.timeout <= 0 or new.sse_read_timeout <= 0:
        raise BadInput("Timeouts are seconds above zero.", field="timeout")


def _blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _sealed(values: Mapping[str, Any], row_id: str, cipher: TenantCipher) -> dict[str, Any]:
    """The columns with address and headers encrypted."""
    sealed = {name: cipher.encrypt(values[name], _place(row_id, name)) for name in ("server_url", "encrypted_headers")}
    return {**values, **sealed}


def _url(row: _Row, cipher: TenantCipher) -> str:
    return cipher.decrypt(row.server_url, _place(row.id, "server_url"))


def _headers(row: _Row, cipher: TenantCipher) -> dict[str, str]:
    if not row.encrypted_headers:
        return {}
    clear = cipher.decrypt_bytes(row.encrypted_headers, _place(row.id, "encrypted_headers"))
    return msgspec.json.decode(clear, type=dict[str, str])


def _shown(row: _Row, cipher: TenantCipher) -> McpProvider:
    return McpProvider(
        id=row.id,
        name=row.name,
        server_identifier=row.server_identifier,
        server_url=_url(row, cipher),
        headers={name: mask(value) for name, value in _headers(row, cipher).items()},
        icon=row.icon,
        tools=[tool_info(tool) for tool in row.tools or []],
        timeout=row.timeout,
        sse_read_timeout=row.sse_read_timeout,
    )


def _place(row_id: str, column: str) -> str:
    return f"tool_mcp_providers:{row_id}:{column}"
