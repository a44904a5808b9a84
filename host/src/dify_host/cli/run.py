"""`dify run`: an app straight from its file, without a server; nothing of the run is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dify_host.cli.app_run import pairs, run_program
from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.apps.dsl import AppDsl
    from dify_host.apps.records import AppRecord
    from dify_host.platform import Platform
    from dify_host.runs.programs import Program

__all__ = ["run"]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input; @path gives a file.")
@click.option("--query", default="", help="The message, for a chat app.")
@takes_call
def run(call: Call, file: Path, inputs: tuple[str, ...], query: str) -> None:
    """Run an app straight from its file, without a server."""
    if not call.run(_run(call, file.read_bytes(), pairs(inputs, "-i"), query)):
        sys.exit(1)


async def _run(call: Call, text: bytes, inputs: dict[str, str], query: str) -> bool:
    from dify_host.apps.dsl import parse
    from dify_host.runs.retention import delete_app_rows

    async with call.workspace() as (platform, workspace, owner):
        dsl = parse(text, max_variable_size=platform.settings.max_variable_size)
        app, program = _program(platform, dsl, owner.tenant_id)
        opening = str(dsl.workflow.features.get("opening_statement") or "") if dsl.workflow else ""
        place = (platform, workspace, owner)
        try:
            return await run_program(call.out, place, program, app, inputs=inputs, query=query, introduction=opening)
        finally:
            await delete_app_rows(platform.db, owner.tenant, app.id)


def _program(platform: Platform, dsl: AppDsl, tenant_id: str) -> tuple[AppRecord, Program]:
    """Compile a parsed file under an id of its own; InvalidGraph with every problem."""
    import msgspec

    from dify_host.apps.records import AppRecord, ModelConfig, WorkflowRecord
    from dify_host.apps.sharing import import_graph
    from dify_host.db.types import new_id, utc_now

    now, app_id = utc_now(), new_id()
    app = AppRecord(
        id=app_id, tenant_id=tenant_id, name=dsl.app.name, mode=dsl.app.mode, created_at=now, updated_at=now
    )
    if dsl.workflow is None:
        config = msgspec.convert({**(dsl.model_config or {}), "id": new_id(), "app_id": app_id}, ModelConfig)
        return app, platform.programs.basic(config, dsl.app.mode)
    graph, _ = import_graph(dsl.workflow.graph, tenant_id)
    record = WorkflowRecord(
        id=new_id(),
        tenant_id=tenant_id,
        app_id=app_id,
        type="workflow" if dsl.app.mode == "workflow" else "chat",
        version="draft",
        graph=graph,
        features=dsl.workflow.features,
        environment_variables=dsl.workflow.environment_variables,
        conversation_variables=dsl.workflow.conversation_variables,
        created_at=now,
    )
    return app, platform.programs.workflow(record)
