"""`dify tools`: what tools there are, APIs and MCP servers to add, keys to keep, and a call to try one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dify_kernel.errors import BadInput

from dify_host.cli.app_run import pairs
from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_kernel.contracts.tool import ToolInfo

    from dify_host.identity.workspaces import Member
    from dify_host.platform import Platform

__all__ = ["tools"]


@click.group()
def tools() -> None:
    """List tools, add APIs and MCP servers, call a tool."""


@tools.command("list")
@takes_call
def list_tools(call: Call) -> None:
    """List every tool of the workspace."""
    call.run(_list(call))


async def _list(call: Call) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        providers = await workspace.tools.list()
    rows = []
    for item in providers:
        listed: list[ToolInfo | None] = [*item.tools] or [None]
        rows += [(item.type, item.id, tool.name if tool else "", _short(tool), item.status) for tool in listed]
    call.out.table("Tools", ["type", "provider", "tool", "what it does", "status"], rows)
    call.out.result({"providers": [_summary(item) for item in providers]})


@tools.command()
@click.argument("provider")
@takes_call
def show(call: Call, provider: str) -> None:
    """Show what the tools of a PROVIDER (or TYPE:PROVIDER) take."""
    call.run(_show(call, provider))


async def _show(call: Call, provider: str) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        found = await workspace.tools.find(provider)
    for tool in found.tools:
        call.out.say(f"{found.id}/{tool.name}  {tool.description}", style="bold")
        rows = [
            (item.name, item.type, item.form, item.required, item.default, item.description) for item in tool.parameters
        ]
        call.out.table("Parameters", ["name", "type", "filled by", "required", "default", "meaning"], rows)
    call.out.result(_summary(found))


@tools.group()
def add() -> None:
    """Add an API, an MCP server, or credentials."""


@add.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="How it is called; else the title in FILE.")
@click.option("-c", "--credential", "credentials", multiple=True, metavar="NAME=VALUE", help="auth_type=… and so on.")
@takes_call
def api(call: Call, file: Path, name: str | None, credentials: tuple[str, ...]) -> None:
    """Add the operations of an OpenAPI or Swagger FILE as tools."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise BadInput(f"{file} is not UTF-8: {exc}.") from exc
    call.run(_api(call, text, name or "", pairs(credentials, "--credential")))


async def _api(call: Call, text: str, name: str, credentials: dict[str, Any]) -> None:
    from dify_host.tools.api_providers import NewApiProvider
    from dify_host.tools.openapi import read_description

    new = NewApiProvider(name=name or read_description(text).title, schema=text, credentials=credentials)
    async with call.workspace() as (_platform, workspace, owner):
        added = await workspace.tools.apis.add(new, owner.id)
    call.out.done(f"{added.name} has {len(added.tools)} tools.")
    call.out.result({"id": added.id, "name": added.name, "tools": [tool.name for tool in added.tools]})


@add.command()
@click.argument("url")
@click.option("--id", "identifier", required=True, help="What graphs call it: lower-case letters, digits, - and _.")
@click.option("--name", help="How it is called; else its id.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Authorization=Bearer … .")
@takes_call
def mcp(call: Call, url: str, identifier: str, name: str | None, headers: tuple[str, ...]) -> None:
    """Add the tools of the MCP server at URL."""
    call.run(_mcp(call, url, identifier, name or identifier, pairs(headers, "--header")))


async def _mcp(call: Call, url: str, identifier: str, name: str, headers: dict[str, str]) -> None:
    from dify_host.tools.mcp_providers import NewMcpProvider

    new = NewMcpProvider(name=name, server_url=url, server_identifier=identifier, headers=headers)
    async with call.workspace() as (_platform, workspace, owner):
        added = await workspace.tools.mcp.add(new, owner.id)
    call.out.done(f"{added.name} has {len(added.tools)} tools.")
    call.out.result({"id": added.id, "name": added.name, "tools": [tool.name for tool in added.tools]})


@add.command("credentials")
@click.argument("provider")
@click.option("-c", "--credential", "credentials", multiple=True, metavar="NAME=VALUE", help="See `plugins show`.")
@click.option("--name", default="API KEY 1", show_default=True, help="How the set is called.")
@takes_call
def add_credentials(call: Call, provider: str, credentials: tuple[str, ...], name: str) -> None:
    """Check credentials for an installed PROVIDER and keep them."""
    call.run(_credentials(call, provider, pairs(credentials, "--credential"), name))


async def _credentials(call: Call, provider: str, credentials: dict[str, Any], name: str) -> None:
    async with call.workspace() as (_platform, workspace, owner):
        info = await workspace.tools.installed.add_credentials(provider, credentials, name=name, user_id=owner.id)
    call.out.done(f"{info.label} is ready.")
    call.out.result({"provider": info.provider, "status": info.status})


@tools.command("call")
@click.argument("tool", metavar="PROVIDER/TOOL")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="One parameter.")
@takes_call
def call_tool(call: Call, tool: str, parameters: tuple[str, ...]) -> None:
    """Call one tool and print what it says."""
    call.run(_call(call, tool, pairs(parameters, "--parameter")))


async def _call(call: Call, named: str, parameters: dict[str, str]) -> None:
    import msgspec

    provider, separator, tool = named.rpartition("/")
    if not separator or not tool:
        raise BadInput(f"{named!r} is not PROVIDER/TOOL.", hint="For instance time/current_time.")
    said: list[dict[str, Any]] = []
    async with call.workspace() as (platform, workspace, owner):
        found = await workspace.tools.find(provider)
        runtime = _port(platform, owner)
        async for message in runtime.invoke(found.type, found.id, tool, parameters):
            shown = _message(message)
            said.append(shown)
            call.out.write(shown["text"] if shown["type"] == "text" else msgspec.json.encode(shown).decode() + "\n")
    call.out.write("\n")
    call.out.result({"messages": said})


def _port(platform: Platform, owner: Member) -> Any:
    """The tools port of a run of the owner's, without the run."""
    from dify_kernel.contracts.node import RunInfo

    from dify_host.db.types import new_id
    from dify_host.runs.recorder import Creator

    run = RunInfo(run_id=new_id(), tenant_id=owner.tenant.id, user_id=owner.id, invoke_from="debugger")
    return platform.ports(owner.tenant, run, Creator(role="account", id=owner.id, name=owner.name)).tools


def _message(message: Any) -> dict[str, Any]:
    import msgspec
    from dify_kernel.contracts.tool import BlobMessage

    if isinstance(message, BlobMessage):
        return {
            "type": "blob",
            "size": len(message.data),
            "mime_type": message.mime_type,
            "filename": message.filename,
        }
    shown: dict[str, Any] = msgspec.to_builtins(message)
    return shown


def _summary(provider: Any) -> dict[str, Any]:
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(provider)
    return shown


def _short(tool: ToolInfo | None) -> str:
    text = tool.description if tool else ""
    return text if len(text) <= 80 else text[:79] + "…"
