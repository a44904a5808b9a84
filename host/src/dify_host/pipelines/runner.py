"""Runs a pipeline over one document: one job, one run, however often the job comes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import DifyError, RunFenced

from dify_host.db.repository import to_struct
from dify_host.identity.accounts import Accounts
from dify_host.identity.errors import AccountNotFound
from dify_host.knowledge.pipeline_datasets import PipelineDatasets
from dify_host.knowledge.pipeline_documents import PipelineDocuments
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.pipelines.datasources import LOCAL_FILE, DatasourceRef, Datasources
from dify_host.pipelines.forms import source_node
from dify_host.pipelines.records import ExecutionLog, PipelineStart
from dify_host.pipelines.repository import PipelineRepository
from dify_host.pipelines.starting import PUBLISHED, request_of
from dify_host.pipelines.tables import document_pipeline_execution_logs
from dify_host.runs.programs import Programs
from dify_host.runs.recorder import Creator
from dify_host.runs.run_records import run_exists
from dify_host.runs.service import RunService

__all__ = ["PipelineRunner"]

log = logging.getLogger(__name__)
_logs = document_pipeline_execution_logs


class PipelineRunner:
    """The runs of one workspace's pipelines."""

    def __init__(
        self,
        pipelines: PipelineRepository,
        rows: KnowledgeRepository,
        datasets: PipelineDatasets,
        *,
        sources: Datasources,
        programs: Programs,
        runs: RunService,
        patience: float,
    ) -> None:
        self._pipelines, self._rows, self._datasets = pipelines, rows, datasets
        self._documents = PipelineDocuments(rows)
        self._sources, self._programs, self._runs, self._patience = sources, programs, runs, patience

    async def run(self, log_id: str, workflow_id: str) -> None:
        """Begin the run of a log and wait for its end, `patience` seconds at most; nothing when it exists already.

        Waiting only bounds how many run at a time: the run goes on without it. A run that cannot begin leaves its
        reason in the document. Raises what may be tried again.
        """
        entry = await self._entry(log_id)
        if entry is None or await run_exists(self._pipelines.db, log_id):
            return  # the run itself brings its document to an end
        try:
            await self._start(entry, workflow_id)
        except RunFenced as exc:
            log.info("The run of document %s has found another process: %s", entry.document_id, exc)
        except DifyError as exc:
            if exc.retryable:
                raise
            if await run_exists(self._pipelines.db, log_id):
                log.warning("The run of document %s goes on without its job: %s", entry.document_id, exc)
                return
            await self._documents.fail(entry.document_id, str(exc))

    async def _start(self, entry: ExecutionLog, workflow_id: str) -> None:
        pipeline = await self._pipelines.get(entry.pipeline_id)
        record = await self._pipelines.published_workflow(entry.pipeline_id, workflow_id)
        program = self._programs.workflow(record, root_id=entry.datasource_node_id)
        async with self._rows.db.read() as conn:
            dataset = await self._datasets.of(conn, entry.pipeline_id)
            document: Document = await self._rows.document(conn, dataset.id, entry.document_id)
        creator = await self._creator(entry)
        start = PipelineStart(
            datasource_type=entry.datasource_type,
            datasource_info_list=[entry.datasource_info],
            start_node_id=entry.datasource_node_id,
            inputs=entry.input_data or {},
        )
        ref = DatasourceRef.of(source_node(record, entry.datasource_node_id))
        info = {
            "dataset_id": dataset.id,
            "document_id": document.id,
            "batch": document.batch,
            "datasource_info": await self._read(ref, entry, creator),
        }
        request = request_of(pipeline, record, start, creator, info, invoke_from=PUBLISHED, run_id=entry.id)
        started = await self._runs.start(program, request)
        try:
            await asyncio.wait_for(started.handle.wait(), self._patience)
        except TimeoutError:
            log.warning("The run of document %s goes on without its job.", entry.document_id)

    async def _entry(self, log_id: str) -> ExecutionLog | None:
        owned = self._pipelines.reached_through(_logs.c.pipeline_id, root=self._pipelines.owners)
        async with self._pipelines.db.read() as conn:
            row = (await conn.execute(sa.select(_logs).where(_logs.c.id == log_id, owned))).one_or_none()
        return None if row is None else to_struct(row, ExecutionLog)

    async def _creator(self, entry: ExecutionLog) -> Creator:
        """The account that asked for the run; only its id when it is gone."""
        account_id = entry.created_by or ""
        try:
            account = await Accounts(self._pipelines.db).get(account_id)
        except AccountNotFound:
            return Creator(role="account", id=account_id)
        return Creator(role="account", id=account.id, name=account.name, email=account.email)

    async def _read(self, ref: DatasourceRef, entry: ExecutionLog, creator: Creator) -> dict[str, Any]:
        """The item with its content; an uploaded file is there already."""
        if entry.datasource_type == LOCAL_FILE:
            return entry.datasource_info
        credential_id = entry.datasource_info.get("credential_id")
        return await self._sources.read(ref, entry.datasource_info, credential_id=credential_id, user_id=creator.id)
