"""A client of the Model Context Protocol over streamable HTTP, on the guarded client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from dify_kernel.contracts.http import HttpClient, HttpConnectionError, HttpRequest, HttpStream, Timeout
from dify_kernel.errors import ToolError

from dify_host.version import VERSION

__all__ = ["McpSession", "McpTool", "connect"]

PROTOCOL: Final = "2025-06-18"
#: Nobody waits longer for a server that does not let go.
_GOODBYE: Final = Timeout(connect=2, read=2, write=2, total=2)
_MAX_PAGES: Final = 50
_MAX_BYTES: Final = 20 * 1024 * 1024
_SHOWN: Final = 500


class McpTool(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tool as a server lists it."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None


class McpSession:
    """One session with a server; made by `connect`. Errors: ToolError with the server's words."""

    def __init__(self, http: HttpClient, url: str, headers: Sequence[tuple[str, str]], timeout: Timeout) -> None:
        self._http, self._url, self._timeout = http, url, timeout
        self._headers = list(headers)
        self._session = ""
        self._protocol = ""
        self._last = 0

    async def open(self) -> None:
        """Greet the server; its session and version go with every later request."""
        client = {"name": "Dify", "version": VERSION}
        result = await self._ask("initialize", {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client})
        self._protocol = str(result.get("protocolVersion") or PROTOCOL)
        await self._tell("notifications/initialized")

    async def list_tools(self) -> list[McpTool]:
        """Every tool of the server."""
        found: list[McpTool] = []
        cursor: Any = None
        for _ in range(_MAX_PAGES):
            result = await self._ask("tools/list", {"cursor": cursor} if cursor else {})
            try:
                found += msgspec.convert(result.get("tools") or [], list[McpTool])
            except msgspec.ValidationError as exc:
                raise ToolError(f"The MCP server lists tools that cannot be read: {exc}.", url=self._url) from exc
            cursor = result.get("nextCursor")
            if not cursor:
                return found
        raise ToolError(f"The MCP server lists its tools on more than {_MAX_PAGES} pages.", url=self._url)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of one call, as the protocol has it."""
        return await self._ask("tools/call", {"name": name, "arguments": arguments})

    async def close(self) -> None:
        """End the session; a server that does not care is left alone."""
        if not self._session:
            return
        with suppress(HttpConnectionError):  # the server forgets it by itself
            await self._http.send(msgspec.structs.replace(self._request("DELETE", None), timeout=_GOODBYE))

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        message = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        async with self._http.stream(self._request("POST", message)) as answer:
            await self._check(answer, method)
            found = dict(answer.headers)
            self._session = found.get("mcp-session-id", self._session)
            streamed = found.get("content-type", "").partition(";")[0].strip() == "text/event-stream"
            items = _events(answer) if streamed else _whole(answer)
            async for item in items:
                if isinstance(item, dict) and item.get("id") == self._last and "method" not in item:
                    return self._result(item, method)
        raise ToolError(f"The MCP server ended its answer to {method} without a result.", url=self._url)

    def _result(self, item: dict[str, Any], method: str) -> dict[str, Any]:
        error = item.get("error")
        if isinstance(error, dict):
            raise ToolError(f"{error.get('message') or error}", hint="", mcp_code=error.get("code"), method=method)
        result = item.get("result")
        return result if isinstance(result, dict) else {}

    async def _tell(self, method: str) -> None:
        async with self._http.stream(self._request("POST", {"jsonrpc": "2.0", "method": method})) as answer:
            await self._check(answer, method)
            await answer.read()

    async def _check(self, answer: HttpStream, method: str) -> None:
        if answer.status in (401, 403):
            raise ToolError(
                f"The MCP server refused the credentials (status {answer.status}).",
                hint="Set its headers, for instance Authorization.",
                status=answer.status,
            )
        if not 200 <= answer.status < 300:
            text = (await answer.read()).decode("utf-8", "replace")
            raise ToolError(
                f"The MCP server answered {method} with status {answer.status}: {text[:_SHOWN]}", status=answer.status
            )

    def _request(self, verb: str, message: dict[str, Any] | None) -> HttpRequest:
        headers = [("Accept", "application/json, text/event-stream"), *self._headers]
        if message is not None:
            headers.append(("Content-Type", "application/json"))
        if self._session:
            headers.append(("Mcp-Session-Id", self._session))
        if self._protocol:
            headers.append(("MCP-Protocol-Version", self._protocol))
        content = None if message is None else msgspec.json.encode(message)
        return HttpRequest(
            method=verb,
            url=self._url,
            headers=headers,
            content=content,
            timeout=self._timeout,
            max_bytes=_MAX_BYTES,
        )


@asynccontextmanager
async def connect(
    http: HttpClient, url: str, headers: Sequence[tuple[str, str]] = (), *, timeout: float = 30, read: float = 300
) -> AsyncIterator[McpSession]:
    """A session for the time of the block; `timeout` bounds connecting, `read` the wait for each piece of an answer."""
    session = McpSession(http, url, headers, Timeout(connect=timeout, read=read, write=timeout))
    try:
        await session.open()
        yield session
    finally:
        await session.close()


async def _whole(answer: HttpStream) -> AsyncIterator[Any]:
    """The messages of an answer in JSON: one, or a batch."""
    decoded = _decoded(await answer.read())
    for item in decoded if isinstance(decoded, list) else [decoded]:
        yield item


async def _events(answer: HttpStream) -> AsyncIterator[Any]:
    """The messages of a stream of events, as they come."""
    data: list[str] = []
    async for line in answer.lines():
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield _decoded("\n".join(data).encode())
            data = []
    if data:
        yield _decoded("\n".join(data).encode())


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as exc:
        raise ToolError(f"The MCP server answered what is no JSON: {exc}.", hint="Check its address.") from exc
