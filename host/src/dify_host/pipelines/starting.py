"""Starts pipelines: a document and a job for each item, or one run that shows what would come of the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput

from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.db.tenant import Tenant
from dify_host.files.service import FileService
from dify_host.knowledge.pipeline_datasets import PipelineDatasets
from dify_host.knowledge.pipeline_documents import PipelineDocuments, SourceItem, new_batch
from dify_host.knowledge.records import Document
from dify_host.pipelines.datasources import source_item
from dify_host.pipelines.forms import form_values, second_step, source_node
from dify_host.pipelines.of_datasets import queue_run
from dify_host.pipelines.records import PipelineStart
from dify_host.pipelines.repository import PipelineRepository
from dify_host.runs.recorder import Creator
from dify_host.runs.request import RunRequest

__all__ = ["PUBLISHED", "PipelineStarter", "request_of"]

PUBLISHED: Final = "published"
"""How a run that makes a document is invoked."""


class PipelineStarter:
    """For one workspace."""

    def __init__(
        self,
        pipelines: PipelineRepository,
        datasets: PipelineDatasets,
        documents: PipelineDocuments,
        files: FileService,
    ) -> None:
        self._pipelines, self._datasets, self._documents, self._files = pipelines, datasets, documents, files

    async def start(
        self,
        pipeline_id: str,
        record: WorkflowRecord,
        start: PipelineStart,
        user_id: str,
        *,
        original_document_id: str | None = None,
    ) -> dict[str, Any]:
        """Make the documents that a version will fill, with a job each, and tell of them: the API's answer.

        With an original document, that one is filled anew by the one item. Raises BadInput for a form, an item or a
        source that does not fit; nothing is made then.
        """
        form_values(second_step(record, start.start_node_id), start.inputs)
        items = await self._items(record, start)
        if original_document_id and len(items) != 1:
            raise BadInput("A document is made of one item.", field="datasource_info_list")
        batch = new_batch()
        async with self._pipelines.db.write() as conn:
            dataset = await self._datasets.of(conn, pipeline_id, lock=True)
            if original_document_id:
                made = [await self._documents.again(conn, dataset, original_document_id, items[0])]
            else:
                made = await self._documents.create(conn, dataset, start.datasource_type, items, batch, user_id)
            for document in made:
                await queue_run(
                    conn,
                    self._pipelines.tenant.id,
                    record.id,
                    pipeline_id=pipeline_id,
                    document_id=document.id,
                    datasource_type=start.datasource_type,
                    datasource_info=document.data_source_info,
                    datasource_node_id=start.start_node_id,
                    input_data=start.inputs,
                    created_by=user_id,
                )
        return {
            "batch": made[0].batch,
            "dataset": {name: getattr(dataset, name) for name in ("id", "name", "description", "chunk_structure")},
            "documents": [_view(document) for document in made],
        }

    async def preview(
        self, pipeline: AppRecord, record: WorkflowRecord, start: PipelineStart, creator: Creator
    ) -> RunRequest:
        """The run of a version over the first item that makes no document."""
        items = await self._items(record, start)
        async with self._pipelines.db.read() as conn:
            dataset = await self._datasets.of(conn, pipeline.id)
        info = {"dataset_id": dataset.id, "batch": new_batch(), "datasource_info": items[0].info}
        return request_of(pipeline, record, start, creator, info, invoke_from="debugger")

    async def _items(self, record: WorkflowRecord, start: PipelineStart) -> Sequence[SourceItem]:
        source_node(record, start.start_node_id, start.datasource_type)
        if not start.datasource_info_list:
            raise BadInput("datasource_info_list is empty.", field="datasource_info_list")
        return [await source_item(start.datasource_type, info, self._files) for info in start.datasource_info_list]


def request_of(
    pipeline: AppRecord,
    record: WorkflowRecord,
    start: PipelineStart,
    creator: Creator,
    info: dict[str, Any],
    *,
    invoke_from: str,
    run_id: str | None = None,
) -> RunRequest:
    """The run of a version over one item. `info` are the values of `sys` that say what it is about."""
    system = {**info, "datasource_type": start.datasource_type, "invoke_from": invoke_from}
    return RunRequest(
        tenant=Tenant(pipeline.tenant_id),
        app=pipeline,
        creator=creator,
        user_id=creator.id,
        inputs={},
        invoke_from=invoke_from,
        from_source="console",
        triggered_from="rag-pipeline-run" if invoke_from == PUBLISHED else "rag-pipeline-debugging",
        run_id=run_id,
        root_id=start.start_node_id,
        more={"sys": system, "rag": form_values(second_step(record, start.start_node_id), start.inputs)},
    )


def _view(document: Document) -> dict[str, Any]:
    shown = ("id", "position", "data_source_type", "data_source_info", "name", "indexing_status", "error", "enabled")
    return {name: msgspec.to_builtins(getattr(document, name)) for name in shown}
