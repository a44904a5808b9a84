"""`dify app`: apps as files in and out of this installation, and runs of the published ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dify_host.cli.app_run import pairs, run_program
from dify_host.cli.call import Call, takes_call

__all__ = ["app"]


@click.group()
def app() -> None:
    """Import, export, list and run apps."""


@app.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--publish", is_flag=True, help="Publish a workflow at once; needs a complete one.")
@click.option("--key", is_flag=True, help="Make an API key and print it.")
@click.option("--name", help="Another name than the file's.")
@takes_call
def import_app(call: Call, file: Path, publish: bool, key: bool, name: str | None) -> None:
    """Make an app of a file."""
    call.run(_import(call, file.read_bytes(), publish, key, name))


async def _import(call: Call, text: bytes, publish: bool, key: bool, name: str | None) -> None:
    async with call.workspace() as (_platform, workspace, owner):
        # Who types the command has decided: a file of another version is imported, and the warnings are printed.
        result = await workspace.apps.import_dsl(text, account_id=owner.id, name=name, publish=publish, confirmed=True)
        shown: dict[str, Any] = {
            "app_id": result.app_id,
            "mode": result.app_mode,
            "published": publish,
            "warnings": [problem.message for problem in result.warnings],
            "missing_plugins": result.missing_plugins,
        }
        if key and result.app_id:
            shown["api_key"] = (await workspace.api_keys.create("app", result.app_id)).token
    call.out.done(f"App {result.app_id} ({result.app_mode}) is imported{' and published' if publish else ''}.")
    for problem in result.warnings:
        call.out.say(f"  {problem.message}", style="yellow")
    for plugin in result.missing_plugins:
        call.out.say(f"  It needs the plugin {plugin}, which is not installed.", style="yellow")
    if "api_key" in shown:
        call.out.say(f"API key (shown once): {shown['api_key']}")
    call.out.result(shown)


@app.command("list")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True)
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@takes_call
def list_apps(call: Call, page: int, limit: int) -> None:
    """List apps, newest first."""
    call.run(_list(call, page, limit))


async def _list(call: Call, page: int, limit: int) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        found = await workspace.app_repository.list(page, limit)
    rows = [
        (item.id, item.name, item.mode, item.enable_api, f"{item.created_at:%Y-%m-%d %H:%M}") for item in found.data
    ]
    call.out.table(f"Apps ({found.total})", ["id", "name", "mode", "api", "created (UTC)"], rows)
    data = [{"id": item.id, "name": item.name, "mode": item.mode, "enable_api": item.enable_api} for item in found.data]
    call.out.result({"data": data, "total": found.total, "page": found.page, "has_more": found.has_more})


@app.command()
@click.argument("app_id")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here; else to the output.")
@click.option("--secrets", is_flag=True, help="Include the values of secret variables.")
@takes_call
def export(call: Call, app_id: str, output: Path | None, secrets: bool) -> None:
    """Write an app as text."""
    text = call.run(_export(call, app_id, secrets))
    if output is not None:
        output.write_text(text, "utf-8")
        call.out.done(f"{output} is written.")
        call.out.result({"app_id": app_id, "file": str(output)})
    else:
        call.out.write(text)
        call.out.result({"app_id": app_id, "data": text})


async def _export(call: Call, app_id: str, secrets: bool) -> str:
    async with call.workspace() as (_platform, workspace, _owner):
        return await workspace.apps.export(app_id, secrets)


@app.command()
@click.argument("app_id")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input; @path gives a file.")
@click.option("--query", default="", help="The message, for a chat app.")
@takes_call
def run(call: Call, app_id: str, inputs: tuple[str, ...], query: str) -> None:
    """Run the published version of an app in this process."""
    if not call.run(_run(call, app_id, pairs(inputs, "-i"), query)):
        sys.exit(1)


async def _run(call: Call, app_id: str, inputs: dict[str, str], query: str) -> bool:
    async with call.workspace() as place:
        platform, workspace, _owner = place
        live = await platform.live_apps.find(workspace.app_repository, app_id, "any")
        return await run_program(
            call.out, place, live.program, live.app, inputs=inputs, query=query, introduction=live.introduction
        )
