"""Everything that changes a knowledge pipeline, each in one transaction: import, export, drafts, publishing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import sharing, validation
from dify_host.apps.changes import AppChanges
from dify_host.apps.dsl import PipelineDsl, PipelineHead, dump, import_status, read
from dify_host.apps.errors import InvalidDsl
from dify_host.apps.records import PIPELINE_MODE, AppRecord, WorkflowRecord
from dify_host.apps.workflow_service import WorkflowService
from dify_host.db.types import new_id
from dify_host.knowledge.pipeline_datasets import IndexSettings, PipelineDatasets
from dify_host.pipelines.forms import index_settings_of
from dify_host.pipelines.of_datasets import PipelinesOfDatasets
from dify_host.pipelines.records import ExecutionLog, IconInfo, PipelineImport
from dify_host.pipelines.repository import PipelineRepository
from dify_host.settings import HostSettings

__all__ = ["PipelineService"]


class PipelineService(WorkflowService[PipelineRepository]):
    """The pipelines of one workspace; each belongs to one knowledge base."""

    def __init__(
        self, repository: PipelineRepository, datasets: PipelineDatasets, registry: Registry, settings: HostSettings
    ) -> None:
        super().__init__(repository, registry, settings)
        self._datasets = datasets

    # -- text in and out --------------------------------------------------------------------------------------

    async def import_dsl(
        self,
        text: str | bytes,
        *,
        account_id: str,
        pipeline_id: str | None = None,
        changes: AppChanges | None = None,
        publish: bool = False,
        confirmed: bool = False,
    ) -> PipelineImport:
        """Make a pipeline of its text, with a knowledge base, or overwrite the draft of `pipeline_id`.

        All of it, or nothing when this raises. `changes` go before the text's name and drawing. Raises InvalidDsl, as
        for an app, TooLarge, and InvalidGraph with every problem.
        """
        reading = await asyncio.to_thread(read, text, max_variable_size=self._settings.max_variable_size)
        dsl = reading.dsl
        if not isinstance(dsl, PipelineDsl):
            raise InvalidDsl("Missing rag_pipeline data in YAML content", hint="This is an app, not a pipeline.")
        status, import_id = import_status(dsl.version), new_id()
        if status == "pending" and not confirmed:
            return PipelineImport(id=import_id, status=status, imported_dsl_version=dsl.version)
        workflow, warnings = self._readable(dsl.workflow)
        dsl = msgspec.structs.replace(dsl, workflow=workflow)
        problems = self._checker.problems(dsl)
        validation.refuse_errors(problems, finished=publish)
        head = _drawn(dsl.rag_pipeline, changes or AppChanges())
        settings = _settings(workflow.graph)
        async with self._db.write() as conn:
            if pipeline_id:
                pipeline, dataset_id = await self._overwrite(conn, pipeline_id, head, settings, account_id)
            else:
                pipeline, dataset_id = await self._insert(conn, head, settings, account_id)
            draft = await self._replace_draft(conn, pipeline, workflow, account_id)
            if publish:
                await self._publish(conn, pipeline, draft, account_id, "", "")
        if publish:
            await self._datasets.apply(dataset_id, settings, account_id)
        return PipelineImport(
            id=import_id,
            status="completed" if confirmed else status,
            pipeline_id=pipeline.id,
            dataset_id=dataset_id,
            imported_dsl_version=dsl.version,
            warnings=warnings + problems,
            missing=self._checker.missing(dsl),
            missing_plugins=self._checker.missing_plugins(dsl),
            changes=reading.changes,
        )

    async def export(self, pipeline_id: str, include_secret: bool = False, *, workflow_id: str | None = None) -> str:
        """The pipeline as text: a named version, else the draft, else what is published."""
        pipeline = await self.repository.get(pipeline_id)
        record = await self._exported_version(pipeline_id, workflow_id)
        async with self._db.read() as conn:
            icon = msgspec.convert((await self._datasets.of(conn, pipeline_id)).icon_info or {}, IconInfo)
        head = PipelineHead(
            name=pipeline.name,
            description=pipeline.description or "",
            icon=icon.icon,
            icon_type=icon.icon_type,
            icon_background=icon.icon_background or "",
            icon_url=icon.icon_url or "",
        )
        dsl = PipelineDsl(
            rag_pipeline=head,
            workflow=self._shared_workflow(record, include_secret),
            dependencies=sharing.export_dependencies(record.graph),
        )
        return await asyncio.to_thread(dump, dsl)

    # -- pipelines --------------------------------------------------------------------------------------------

    async def create(self, account_id: str) -> tuple[str, str]:
        """Make an empty pipeline with its knowledge base, and return the ids of both."""
        head = msgspec.to_builtins(IconInfo())
        async with self._db.write() as conn:
            pipeline, dataset_id = await self._insert(conn, head, IndexSettings(), account_id)
            return pipeline.id, dataset_id

    async def dataset_of(self, pipeline_id: str) -> str:
        """The id of the pipeline's knowledge base; PipelineNotFound."""
        await self.repository.get(pipeline_id)
        async with self._db.read() as conn:
            return (await self._datasets.of(conn, pipeline_id)).id

    async def log_of(self, document_id: str) -> ExecutionLog | None:
        """What a document was made of last; None when no pipeline made it."""
        async with self._db.read() as conn:
            return await PipelinesOfDatasets(self._db, self._tenant).log_of(conn, document_id)

    async def publish(
        self, app_id: str, account_id: str, *, marked_name: str = "", marked_comment: str = ""
    ) -> WorkflowRecord:
        """As with apps; the knowledge base is set as the `knowledge-index` node says.

        BadInput when its documents have another structure than the node wants.
        """
        made = await super().publish(app_id, account_id, marked_name=marked_name, marked_comment=marked_comment)
        await self._datasets.apply(await self.dataset_of(app_id), _settings(made.graph), account_id)
        return made

    # -- as a kind of owner -----------------------------------------------------------------------------------

    async def _owner(self, conn: AsyncConnection, app_id: str) -> AppRecord:
        return await self.repository.get(app_id, conn=conn, lock=True)

    def _type(self, owner: AppRecord) -> str:
        return PIPELINE_MODE

    def _wrong(self, record: WorkflowRecord, owner: AppRecord) -> list[Problem]:
        return self._checker.pipeline(record)

    async def _made_current(
        self, conn: AsyncConnection, owner: AppRecord, record: WorkflowRecord, account_id: str
    ) -> None:
        await self._datasets.check(conn, owner.id, _settings(record.graph))
        values = {"workflow_id": record.id, "is_published": True, "updated_by": account_id}
        await self.repository.update(conn, owner.id, values)

    async def _insert(
        self, conn: AsyncConnection, head: Mapping[str, Any], settings: IndexSettings, account_id: str
    ) -> tuple[AppRecord, str]:
        named = {"name": head.get("name") or "", "description": head.get("description") or ""}
        made = {"created_by": account_id, "updated_by": account_id}
        pipeline = await self.repository.create(conn, {**named, **made})
        dataset_id = await self._datasets.create(
            conn,
            pipeline.id,
            account_id,
            **named,
            icon_info=_icon(head),
            chunk_structure=settings.chunk_structure,
        )
        return pipeline, dataset_id

    async def _overwrite(
        self,
        conn: AsyncConnection,
        pipeline_id: str,
        head: Mapping[str, Any],
        settings: IndexSettings,
        account_id: str,
    ) -> tuple[AppRecord, str]:
        pipeline = await self._owner(conn, pipeline_id)
        await self._datasets.check(conn, pipeline_id, settings)
        await self.repository.delete_draft_variables(conn, pipeline_id)
        dataset = await self._datasets.of(conn, pipeline_id, lock=True)
        await self._datasets.update(conn, dataset.id, {"icon_info": _icon(head)})
        named = {name: head[name] for name in ("name", "description") if head.get(name)}
        return await self.repository.update(conn, pipeline.id, {**named, "updated_by": account_id}), dataset.id


def _drawn(head: PipelineHead, changes: AppChanges) -> dict[str, Any]:
    names = ("name", "description", "icon_type", "icon", "icon_background")
    values: dict[str, Any] = msgspec.to_builtins(head)
    return values | {name: value for name, value in changes.given().items() if name in names and value is not None}


def _icon(head: Mapping[str, Any]) -> dict[str, Any]:
    return {name: head[name] for name in IconInfo.__struct_fields__ if head.get(name)}


def _settings(graph: Mapping[str, Any]) -> IndexSettings:
    """What the last node says; a draft without one says nothing."""
    try:
        return msgspec.convert(index_settings_of(graph) or {}, IndexSettings)
    except msgspec.ValidationError as exc:
        raise BadInput(f"The settings of the knowledge base node cannot be read: {exc}.") from exc
