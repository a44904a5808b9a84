"""Reads and writes one tenant's knowledge pipelines; their workflows are found as those of apps are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.records import PIPELINE_MODE, AppRecord
from dify_host.apps.workflow_repository import WorkflowRepository
from dify_host.db.types import new_id
from dify_host.pipelines.errors import PipelineNotFound
from dify_host.pipelines.tables import pipelines

__all__ = ["PipelineRepository"]


class PipelineRepository(WorkflowRepository):
    """The tenant's pipelines; what belongs to another tenant is as absent as what never was."""

    owners = pipelines

    async def get(self, app_id: str, *, conn: AsyncConnection | None = None, lock: bool = False) -> AppRecord:
        """The pipeline as it is run; PipelineNotFound otherwise."""
        query = self.scoped_select(pipelines).where(pipelines.c.id == app_id)
        async with self.reading(conn) as reader:
            row = (await reader.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is None:
            raise PipelineNotFound("Pipeline not found.", pipeline_id=app_id)
        values = {str(key): value for key, value in row._mapping.items()}
        return msgspec.convert({**values, "mode": PIPELINE_MODE}, AppRecord)

    async def create(self, conn: AsyncConnection, values: Mapping[str, Any]) -> AppRecord:
        """Add a pipeline; `values` are columns of `pipelines`, at least `name`."""
        pipeline_id = new_id()
        await conn.execute(self.scoped_insert(pipelines, {**values, "id": pipeline_id}))
        return await self.get(pipeline_id, conn=conn)

    async def update(self, conn: AsyncConnection, pipeline_id: str, values: Mapping[str, Any]) -> AppRecord:
        """Change columns of a pipeline and return it; PipelineNotFound when it is not the tenant's."""
        await conn.execute(self.scoped_update(pipelines, values).where(pipelines.c.id == pipeline_id))
        return await self.get(pipeline_id, conn=conn)
