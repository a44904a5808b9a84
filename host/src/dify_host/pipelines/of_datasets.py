"""What knowledge bases ask of the pipelines that they own: run one over a document again, tell how, forget one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.errors import WorkflowNotPublished
from dify_host.apps.tables import workflow_draft_variables, workflows
from dify_host.db.outbox import enqueue
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.types import new_id
from dify_host.pipelines.errors import PipelineNotFound
from dify_host.pipelines.records import ExecutionLog
from dify_host.pipelines.tables import document_pipeline_execution_logs, pipelines

__all__ = ["QUEUE", "RUN_PIPELINE", "PipelinesOfDatasets", "queue_run", "run_key"]

#: The job that runs a pipeline over one document, and where it waits.
RUN_PIPELINE: Final = "run_pipeline"
QUEUE: Final = "pipeline"
_logs = document_pipeline_execution_logs


class PipelinesOfDatasets(TenantRepository):
    """Those of one tenant."""

    async def published(self, conn: AsyncConnection, pipeline_ids: Iterable[str | None]) -> set[str]:
        """Those of the pipelines that have a version that runs."""
        ids = [pipeline_id for pipeline_id in pipeline_ids if pipeline_id]
        query = self.scoped_select(pipelines, pipelines.c.id).where(pipelines.c.id.in_(ids))
        return set((await conn.execute(query.where(pipelines.c.workflow_id.is_not(None)))).scalars()) if ids else set()

    async def log_of(self, conn: AsyncConnection, document_id: str) -> ExecutionLog | None:
        """What a document was made of last; None when no pipeline of the tenant made it."""
        owned = self.reached_through(_logs.c.pipeline_id, root=pipelines)
        query = sa.select(_logs).where(_logs.c.document_id == document_id, owned)
        row = (await conn.execute(query.order_by(_logs.c.created_at.desc(), _logs.c.id.desc()).limit(1))).first()
        return to_struct(row, ExecutionLog) if row else None

    async def run_again(self, conn: AsyncConnection, document_id: str) -> None:
        """Run what is published now over a document, with what it was made of last; its row is the caller's.

        PipelineNotFound for a document that no pipeline made, WorkflowNotPublished.
        """
        log = await self.log_of(conn, document_id)
        if log is None:
            raise PipelineNotFound("Pipeline not found.", document_id=document_id)
        query = self.scoped_select(pipelines, pipelines.c.workflow_id).where(pipelines.c.id == log.pipeline_id)
        workflow_id = (await conn.execute(query)).scalar()
        if workflow_id is None:
            raise WorkflowNotPublished("Workflow not published", app_id=log.pipeline_id)
        given = {name: getattr(log, name) for name in ExecutionLog.__struct_fields__ if name != "id"}
        await queue_run(conn, self.tenant.id, workflow_id, **given)

    async def forget(self, conn: AsyncConnection, pipeline_id: str) -> None:
        """Remove a pipeline with its workflows; its runs go by the job `delete_app`. None is no error."""
        mine = self.scoped_select(pipelines, pipelines.c.id).where(pipelines.c.id == pipeline_id)
        if (await conn.execute(mine.with_for_update())).first() is None:
            return
        for table in (workflows, workflow_draft_variables):
            await conn.execute(table.delete().where(table.c.app_id == pipeline_id))
        await conn.execute(_logs.delete().where(_logs.c.pipeline_id == pipeline_id))
        await conn.execute(self.scoped_delete(pipelines).where(pipelines.c.id == pipeline_id))
        args = {"tenant_id": self.tenant.id, "app_id": pipeline_id}
        await enqueue(conn, "delete_app", args, queue="app_deletion", key=f"delete_app:{pipeline_id}")


async def queue_run(conn: AsyncConnection, tenant_id: str, workflow_id: str, **values: Any) -> None:
    """Write down what the run of a document is given, and the job that begins it. The id of the run is decided here."""
    log_id = new_id()
    await conn.execute(_logs.insert().values({**values, "id": log_id}))
    args = {"tenant_id": tenant_id, "log_id": log_id, "workflow_id": workflow_id}
    await enqueue(conn, RUN_PIPELINE, args, queue=QUEUE, key=run_key(log_id))


def run_key(log_id: str) -> str:
    """The key of the job of a log."""
    return f"{RUN_PIPELINE}:{log_id}"
