"""MCP servers of a workspace, over a real connection: sessions, tools, results, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from dify_host.db.tenant import Tenant
from dify_host.tools.errors import ToolNotFound, ToolParameterError, ToolProviderNotFound
from dify_host.tools.mcp_client import McpTool
from dify_host.tools.mcp_messages import tool_info
from dify_host.tools.mcp_providers import NewMcpProvider
from dify_host.tools.tables import tool_mcp_providers
from dify_kernel.contracts.http import HttpConnectionError
from dify_kernel.contracts.tool import BlobMessage, JsonMessage, LinkMessage, TextMessage, VariableMessage
from dify_kernel.errors import BadInput, Conflict, ToolError
from dify_kernel.testing.loopback import loopback

from .mcp_server import McpServer
from .tools_house import USER, ToolsHouse, said


@pytest.fixture(params=[False, True], ids=["json", "events"])
def mcp(request: pytest.FixtureRequest) -> McpServer:
    return McpServer(streams=request.param)


@pytest.fixture
def url(mcp: McpServer) -> Iterator[str]:
    with loopback(mcp) as server:
        yield f"{server.url}/mcp"


def server_at(url: str, **rest: Any) -> NewMcpProvider:
    return NewMcpProvider(**{"name": "Sums", "server_url": url, "server_identifier": "sums", **rest})


@pytest.fixture
async def sums(house: ToolsHouse, tenant: Tenant, url: str) -> str:
    return (await house.tools(tenant).mcp.add(server_at(url), USER)).id


async def test_the_tools_of_every_page_are_known(house: ToolsHouse, tenant: Tenant, sums: str, mcp: McpServer) -> None:
    (server,) = await house.tools(tenant).mcp.list()
    assert [tool.name for tool in server.tools] == ["add", "picture", "fail", "crash", "vanish"]
    shown = {item.name: (item.type, item.required, item.default) for item in server.tools[0].parameters}
    expected = {"a": ("number", True, None), "b": ("number", True, None), "how": ("select", False, "plain")}
    expected["note"] = ("string", False, None)
    assert shown == expected
    assert mcp.sessions == set()


@pytest.mark.parametrize(
    ("how", "messages"),
    [
        ("plain", [TextMessage("It is 3.")]),
        ("structured", [TextMessage("It is 3."), VariableMessage(name="sum", value=3)]),
        ("json", [JsonMessage({"sum": 3})]),
        ("list", [JsonMessage({"sum": 3})]),
    ],
)
@pytest.mark.parametrize("provider", ["sums", "Sums"])
async def test_a_tool_is_called_by_the_names_of_its_server(
    house: ToolsHouse, tenant: Tenant, sums: str, provider: str, how: str, messages: list[Any]
) -> None:
    assert await said(house.runtime(tenant), "mcp", provider, "add", a="1", b=2, how=how) == messages
    assert await said(house.runtime(tenant), "mcp", sums, "add", a="1", b=2, how=how) == messages


async def test_a_parameter_without_a_value_is_not_sent(house: ToolsHouse, tenant: Tenant, sums: str) -> None:
    runtime = house.runtime(tenant)
    assert await said(runtime, "mcp", "sums", "add", a=1, b=2, note="é") == [TextMessage("noted é")]
    for empty in ("", " \n", None):
        assert await said(runtime, "mcp", "sums", "add", a=1, b=2, note=empty) == [TextMessage("It is 3.")]


async def test_files_and_links_come_through(house: ToolsHouse, tenant: Tenant, sums: str) -> None:
    assert await said(house.runtime(tenant), "mcp", "sums", "picture") == [
        BlobMessage(data=b"\x89PNG", mime_type="image/png"),
        LinkMessage("https://a.test/doc"),
    ]


@pytest.mark.parametrize(
    ("tool", "words"), [("fail", "Out of order"), ("crash", "It crashed"), ("vanish", "without a result")]
)
async def test_a_failure_has_the_servers_words(
    house: ToolsHouse, tenant: Tenant, sums: str, mcp: McpServer, tool: str, words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        await said(house.runtime(tenant), "mcp", "sums", tool)
    assert mcp.sessions == set()


async def test_what_the_server_does_not_have_is_said_before_it_is_asked(
    house: ToolsHouse, tenant: Tenant, sums: str, mcp: McpServer
) -> None:
    opened = mcp.opened
    runtime = house.runtime(tenant)
    with pytest.raises(ToolNotFound, match="add, picture"):
        await runtime.describe("mcp", "sums", "subtract")
    with pytest.raises(ToolParameterError, match="b"):
        await said(runtime, "mcp", "sums", "add", a=1)
    with pytest.raises(ToolProviderNotFound):
        await runtime.describe("mcp", "other", "add")
    assert mcp.opened == opened


async def test_headers_are_sent_hidden_and_kept(house: ToolsHouse, tenant: Tenant) -> None:
    servers = house.tools(tenant).mcp
    with loopback(McpServer(key="a-key-of-theirs")) as server:
        with pytest.raises(ToolError, match="401"):
            await servers.add(server_at(server.url), USER)
        headers = {"Authorization": "Bearer a-key-of-theirs"}
        added = await servers.add(server_at(server.url, headers=headers), USER)
        assert "a-key" not in str(added)
        kept = server_at(server.url, name="Other", headers={"Authorization": "[__HIDDEN__]"})
        assert (await servers.update(added.id, kept)).name == "Other"
        assert await said(house.runtime(tenant), "mcp", "sums", "add", a=1, b=1) == [TextMessage("It is 2.")]
        async with house.db.read() as conn:
            (row,) = (await conn.execute(tool_mcp_providers.select())).all()
        assert "a-key-of-theirs" not in str(tuple(row))
        assert server.url not in str(tuple(row))


async def test_servers_of_one_workspace_are_unknown_in_another(
    house: ToolsHouse, tenant: Tenant, url: str, sums: str
) -> None:
    stranger_tenant = await house.tenant()
    stranger = house.tools(stranger_tenant).mcp
    for attempt in (stranger.get(sums), stranger.refresh("sums"), stranger.remove(sums)):
        with pytest.raises(ToolProviderNotFound):
            await attempt
    await stranger.add(server_at(url), USER)
    servers = house.tools(tenant).mcp
    with pytest.raises(Conflict):
        await servers.add(server_at(url, name="Twice", server_identifier="twice"), USER)
    assert (await servers.refresh("sums")).id == sums
    await servers.remove(sums)
    assert await servers.list() == []
    assert len(await stranger.list()) == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"server_identifier": "Not an id"}, "server_identifier"),
        ({"server_url": "ftp://x"}, "server_url"),
        ({"timeout": 0}, "timeout"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    house: ToolsHouse, tenant: Tenant, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await house.tools(tenant).mcp.add(server_at("http://127.0.0.1:1/mcp", **wrong), USER)
    assert caught.value.where["field"] == field


async def test_a_server_that_is_no_mcp_server_is_told_so(house: ToolsHouse, tenant: Tenant) -> None:
    servers = house.tools(tenant).mcp
    page = (200, {"Content-Type": "text/html"}, b"<html>")
    with loopback(page) as server, pytest.raises(ToolError, match="no JSON"):
        await servers.add(server_at(server.url), USER)
    with pytest.raises(HttpConnectionError):
        await servers.add(server_at("http://127.0.0.1:1/mcp"), USER)
    assert await servers.list() == []


def test_a_schema_that_cannot_be_followed_leaves_a_tool_callable() -> None:
    schema = {"properties": {"a": {"$ref": "https://elsewhere.test/a"}}, "required": ["a"]}
    (parameter,) = tool_info(msgspec.convert({"name": "t", "inputSchema": schema}, McpTool)).parameters
    assert (parameter.name, parameter.required) == ("a", True)


async def test_a_session_that_cannot_begin_is_ended(house: ToolsHouse, tenant: Tenant) -> None:
    mcp = McpServer(deaf=True)
    with loopback(mcp) as server, pytest.raises(ToolError, match="notifications/initialized with status 400: no notes"):
        await house.tools(tenant).mcp.add(server_at(server.url), USER)
    assert (mcp.opened, mcp.sessions) == (1, set())
