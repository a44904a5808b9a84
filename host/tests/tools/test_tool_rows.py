"""What is kept of tools comes back as it was, on every engine."""

from __future__ import annotations

import json

import pytest
from dify_host.db.engine import Database
from dify_host.net.client import GuardedClient
from dify_host.tools.api_providers import NewApiProvider
from dify_host.tools.mcp_providers import NewMcpProvider
from dify_kernel.errors import Conflict
from dify_kernel.registry import Registry
from dify_kernel.testing.loopback import loopback

from .mcp_server import McpServer
from .tools_house import USER, ToolsHouse, said

DOCUMENT = json.dumps(
    {
        "openapi": "3.0.0",
        "servers": [{"url": "https://a.test"}],
        "paths": {"/größe/{id}": {"get": {"operationId": "size", "parameters": [{"name": "id", "in": "path"}]}}},
    }
)


async def test_every_kind_of_provider_is_kept_listed_and_forgotten(
    database: Database, registry: Registry, http: GuardedClient
) -> None:
    house = ToolsHouse(database, registry, http)
    tenant = await house.tenant()
    tools = house.tools(tenant)
    for name in ("b", "a"):
        await tools.installed.add_credentials("greeting", {"api_key": f"key-{name}"}, name=name, user_id=USER)
    await tools.apis.add(NewApiProvider(name="Größe", schema=DOCUMENT, icon={"content": "📏"}), USER)
    with loopback(McpServer()) as server:
        new = NewMcpProvider(name="Sums", server_url=server.url, server_identifier="sums", timeout=2.5)
        await tools.mcp.add(new, USER)
        with pytest.raises(Conflict):
            await tools.mcp.add(new, USER)
        assert len(await said(house.runtime(tenant), "mcp", "sums", "add", a=1, b=1)) == 1

    again = house.tools(tenant)
    assert [item.name for item in (await again.installed.get("greeting")).credentials] == ["b", "a"]
    (api,) = await again.apis.list()
    assert (api.icon, api.tools[0].name, api.tools[0].parameters[0].required) == ({"content": "📏"}, "size", True)
    (mcp,) = await again.mcp.list()
    assert (mcp.server_url, mcp.timeout, mcp.sse_read_timeout) == (server.url, 2.5, 300)
    assert {item.type for item in await again.list()} == {"builtin", "api", "mcp"}
    await again.apis.remove("Größe")
    await again.mcp.remove("sums")
    assert {item.type for item in await again.list()} == {"builtin"}
