"""Finds the program of a run again, from what its log says that it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import sqlalchemy as sa

from dify_host.apps.errors import AppUnavailable, WorkflowNotFound
from dify_host.apps.records import PIPELINE_MODE
from dify_host.apps.repository import AppRepository
from dify_host.apps.workflow_repository import DRAFT, WorkflowRepository
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.pipelines.repository import PipelineRepository
from dify_host.runs.context import RunContext
from dify_host.runs.programs import Program, Programs
from dify_host.runs.tables import workflow_runs

__all__ = ["ProgramSources"]


class Rooms(Protocol):
    """Where a workspace keeps what runs."""

    @property
    def app_repository(self) -> AppRepository:
        """Its apps."""
        ...

    @property
    def pipeline_repository(self) -> PipelineRepository:
        """Its knowledge pipelines."""
        ...


class ProgramSources:
    """Published versions are found by id; of a draft the graph is with the run, its variables are today's."""

    def __init__(
        self,
        db: Database,
        programs: Programs,
        rooms: Callable[[Tenant], Awaitable[Rooms]],
    ) -> None:
        self._db, self._programs, self._rooms = db, programs, rooms

    async def __call__(self, context: RunContext) -> Program:
        """The program; the errors of apps when the version or the app is gone."""
        run = context.run
        if context.mode == PIPELINE_MODE:
            return await self._workflow((await self._rooms(context.tenant)).pipeline_repository, context)
        apps = (await self._rooms(context.tenant)).app_repository
        if not context.is_workflow:
            config = await apps.model_config(run.app_id, run.workflow_id)
            if config is None:
                raise AppUnavailable("The configuration that the run began with is gone.", app_id=run.app_id)
            return self._programs.basic(config, context.mode)
        return await self._workflow(apps, context)

    async def _workflow(self, owners: WorkflowRepository, context: RunContext) -> Program:
        run = context.run
        if context.version != DRAFT:
            record = await owners.published_workflow(run.app_id, run.workflow_id)
            return self._programs.workflow(record, root_id=context.root_id or None)
        draft = await owners.draft_workflow(run.app_id)
        graph = await self._graph(run.run_id)
        if draft is None or graph is None:
            raise WorkflowNotFound("The draft that the run began with is gone.", app_id=run.app_id)
        return self._programs.workflow(msgspec.structs.replace(draft, graph=graph), root_id=context.root_id or None)

    async def _graph(self, run_id: str) -> dict[str, object] | None:
        async with self._db.read() as conn:
            found = (await conn.execute(sa.select(workflow_runs.c.graph).where(workflow_runs.c.id == run_id))).scalar()
        return found if isinstance(found, dict) else None
