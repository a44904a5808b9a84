"""`dify app`: apps as files in and out of this installation, and runs of the published ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dify_host.cli.app_check import read_source, show_changes, show_check, show_missing, show_problems
from dify_host.cli.app_run import pairs, run_program
from dify_host.cli.call import Call, takes_call
from dify_host.cli.pipeline_import import export_text, import_pipeline, is_pipeline

__all__ = ["app"]


@click.group()
def app() -> None:
    """Import, check, export, list and run apps."""


@app.command("import")
@click.argument("source", metavar="FILE|URL")
@click.option("--publish", is_flag=True, help="Publish a workflow at once; needs a complete one.")
@click.option("--key", is_flag=True, help="Make an API key and print it.")
@click.option("--name", help="Another name than the file's.")
@click.option("--into", "app_id", metavar="APP_ID", help="Overwrite the draft of this workflow app.")
@takes_call
def import_app(call: Call, source: str, publish: bool, key: bool, name: str | None, app_id: str | None) -> None:
    """Make an app of a file, or of what an address answers with; of a knowledge pipeline, a knowledge base."""
    from dify_kernel.errors import InvalidGraph

    try:
        call.run(_import(call, source, publish, key, name, app_id))
    except InvalidGraph as exc:
        show_problems(call.out, exc.problems)
        call.out.result({"code": exc.code, "message": exc.description, "problems": exc.problems})
        call.out.say("The app is not imported.", style="red")
        sys.exit(1)


async def _import(call: Call, source: str, publish: bool, key: bool, name: str | None, app_id: str | None) -> None:
    async with call.workspace() as (platform, workspace, owner):
        text = await read_source(source, platform.http)
        if await is_pipeline(text, platform.settings.max_variable_size):
            await import_pipeline(call.out, workspace, text, owner.id, name=name, pipeline_id=app_id, publish=publish)
            return
        # Who types the command has decided: a file of another version is imported, and the warnings are printed.
        result = await workspace.apps.import_dsl(
            text, account_id=owner.id, name=name, app_id=app_id, publish=publish, confirmed=True
        )
        shown: dict[str, Any] = {
            "app_id": result.app_id,
            "mode": result.app_mode,
            "published": publish,
            "warnings": [problem.message for problem in result.warnings],
            "problems": result.warnings,
            "missing": result.missing,
            "missing_plugins": result.missing_plugins,
            "changes": result.changes,
        }
        if key and result.app_id:
            shown["api_key"] = (await workspace.api_keys.create("app", result.app_id)).token
    call.out.done(f"App {result.app_id} ({result.app_mode}) is imported{' and published' if publish else ''}.")
    show_changes(call.out, result.changes)
    show_problems(call.out, result.warnings)
    show_missing(call.out, result.missing)
    if "api_key" in shown:
        call.out.say(f"API key (shown once): {shown['api_key']}")
    call.out.result(shown)


@app.command()
@click.argument("source", metavar="FILE|URL")
@takes_call
def validate(call: Call, source: str) -> None:
    """Say what is wrong with a file, without keeping anything; exit 1 when it cannot run."""
    if not call.run(_validate(call, source)):
        sys.exit(1)


async def _validate(call: Call, source: str) -> bool:
    from dify_kernel.errors import BadInput
    from dify_kernel.graph.plan import Problem
    from dify_kernel.registry import Registry
    from dify_kernel.settings import load_settings

    from dify_host.apps.changes import Check
    from dify_host.apps.checking import AppChecker
    from dify_host.apps.dsl import read
    from dify_host.net.client import GuardedClient, OutboundSettings
    from dify_host.settings import HostSettings

    settings = HostSettings.read(call.env)
    async with GuardedClient(load_settings(OutboundSettings, call.env)) as http:
        text = await read_source(source, http)
    try:
        reading = read(text, max_variable_size=settings.max_variable_size)
        check = AppChecker(Registry(disabled=settings.disabled_plugins)).check(reading)
    except BadInput as exc:
        problem = Problem(code="invalid_dsl", message=exc.description)
        check = Check(kind="", name="", mode="", version="", valid=False, importable=False, problems=[problem])
    show_check(call.out, check)
    call.out.result(check)
    return check.valid


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
    """Write an app, or a knowledge pipeline, as text."""
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
        return await export_text(workspace, app_id, secrets)


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
