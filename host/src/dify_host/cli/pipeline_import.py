"""Knowledge pipelines for the command line, whose files go in and out as those of apps do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dify_host.cli.app_check import show_changes, show_missing, show_problems

if TYPE_CHECKING:
    from dify_host.cli.output import Output
    from dify_host.workspace import Workspace

__all__ = ["export_text", "import_pipeline", "is_pipeline"]


async def is_pipeline(text: str | bytes, max_variable_size: int) -> bool:
    """Whether a text describes a knowledge pipeline and no app; InvalidDsl, TooLarge."""
    from dify_host.apps.dsl import PipelineDsl, read

    reading = await asyncio.to_thread(read, text, max_variable_size=max_variable_size)
    return isinstance(reading.dsl, PipelineDsl)


async def import_pipeline(
    out: Output,
    workspace: Workspace,
    text: str | bytes,
    account_id: str,
    *,
    name: str | None,
    pipeline_id: str | None,
    publish: bool,
) -> None:
    """Make a knowledge base with the pipeline, or overwrite a draft, and say what was found."""
    from dify_host.apps.changes import AppChanges

    result = await workspace.pipelines.import_dsl(
        text,
        account_id=account_id,
        pipeline_id=pipeline_id,
        changes=AppChanges(name=name) if name else None,
        publish=publish,
        confirmed=True,
    )
    done = f"Pipeline {result.pipeline_id} of knowledge base {result.dataset_id} is imported"
    out.done(f"{done}{' and published' if publish else ''}.")
    show_changes(out, result.changes)
    show_problems(out, result.warnings)
    show_missing(out, result.missing)
    out.result(
        {
            "pipeline_id": result.pipeline_id,
            "dataset_id": result.dataset_id,
            "mode": "rag-pipeline",
            "published": publish,
            "problems": result.warnings,
            "missing": result.missing,
            "missing_plugins": result.missing_plugins,
            "changes": result.changes,
        }
    )


async def export_text(workspace: Workspace, app_id: str, secrets: bool) -> str:
    """The app or the pipeline of an id as text; AppNotFound when there is neither."""
    from dify_host.apps.errors import AppNotFound
    from dify_host.pipelines.errors import PipelineNotFound

    try:
        return await workspace.apps.export(app_id, secrets)
    except AppNotFound:
        try:
            return await workspace.pipelines.export(app_id, secrets)
        except PipelineNotFound:
            pass
        raise
