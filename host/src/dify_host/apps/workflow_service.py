"""Drafts and versions of workflows, whoever owns them: an app or a knowledge pipeline.

Each change is one transaction.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import msgspec
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import sharing, validation
from dify_host.apps.checking import AppChecker
from dify_host.apps.dsl import WorkflowBody, read_pipeline_variables
from dify_host.apps.errors import DraftWorkflowNotExist, DraftWorkflowNotSync, WorkflowNotPublished
from dify_host.apps.needs import Missing
from dify_host.apps.records import AppRecord, Variable, WorkflowRecord
from dify_host.apps.variables import keep_secrets, read_variables
from dify_host.apps.workflow_repository import DRAFT, WorkflowRepository
from dify_host.db.types import encode_json, new_id, utc_now
from dify_host.settings import HostSettings

__all__ = ["WorkflowService"]

Rows = TypeVar("Rows", bound=WorkflowRepository)


class WorkflowService(ABC, Generic[Rows]):
    """The workflows of one workspace that one kind of owner has; `app_id` is the owner's id."""

    def __init__(self, repository: Rows, registry: Registry, settings: HostSettings) -> None:
        self.repository = repository
        self._db, self._tenant = repository.db, repository.tenant
        self._checker, self._settings = AppChecker(registry), settings

    # -- what the kinds of owner do in their own way ----------------------------------------------------------

    @abstractmethod
    async def _owner(self, conn: AsyncConnection, app_id: str) -> AppRecord:
        """The owner, locked; NotFound, and BadInput for one that has no draft."""

    @abstractmethod
    def _type(self, owner: AppRecord) -> str:
        """What its workflows are: `workflow`, `chat` or `rag-pipeline`."""

    @abstractmethod
    def _wrong(self, record: WorkflowRecord, owner: AppRecord) -> list[Problem]:
        """Everything that is wrong with a version, errors first."""

    async def _drafted(self, conn: AsyncConnection, owner: AppRecord, record: WorkflowRecord, account_id: str) -> None:
        """Do what else a new draft asks for."""

    @abstractmethod
    async def _made_current(
        self, conn: AsyncConnection, owner: AppRecord, record: WorkflowRecord, account_id: str
    ) -> None:
        """Let the owner run this version from now on."""

    # -- drafts and versions ----------------------------------------------------------------------------------

    async def save_draft(
        self,
        app_id: str,
        *,
        graph: dict[str, Any],
        features: dict[str, Any],
        account_id: str,
        hash: str | None = None,
        environment_variables: list[Any] | None = None,
        conversation_variables: list[Any] | None = None,
        rag_pipeline_variables: list[Any] | None = None,
    ) -> WorkflowRecord:
        """Keep a draft, finished or not; `hash` must be that of the draft it replaces.

        Variables that are None stay as they are, as does a secret sent back hidden. Raises DraftWorkflowNotSync.
        """
        limit = self._settings.max_variable_size
        async with self._db.write() as conn:
            owner = await self._owner(conn, app_id)
            stored = await self.repository.draft_workflow(app_id, conn=conn, lock=True)
            if stored is not None and hash != stored.hash:
                raise DraftWorkflowNotSync(
                    "Workflow graph might have been modified, please refresh and resubmit.", app_id=app_id
                )
            environment = stored.environment_variables if stored else []
            if environment_variables is not None:
                environment = keep_secrets(read_variables(environment_variables, "env", max_size=limit), environment)
            conversation = stored.conversation_variables if stored else []
            if conversation_variables is not None:
                conversation = read_variables(conversation_variables, "conversation", max_size=limit)
            form = stored.rag_pipeline_variables if stored else []
            if rag_pipeline_variables is not None:
                form = read_pipeline_variables(rag_pipeline_variables)
            body = WorkflowBody(
                graph=graph,
                features=features,
                environment_variables=environment,
                conversation_variables=conversation,
                rag_pipeline_variables=form,
            )
            return await self._put_draft(conn, owner, body, account_id, stored)

    async def publish(
        self, app_id: str, account_id: str, *, marked_name: str = "", marked_comment: str = ""
    ) -> WorkflowRecord:
        """Make a version of the draft and run it from now on; InvalidGraph with every problem when it cannot run."""
        async with self._db.write() as conn:
            owner = await self._owner(conn, app_id)
            draft = await self.repository.draft_workflow(app_id, conn=conn, lock=True)
            if draft is None:
                raise DraftWorkflowNotExist("No valid workflow found.", hint="Save a draft first.", app_id=app_id)
            validation.refuse_errors(self._wrong(draft, owner), finished=True)
            return await self._publish(conn, owner, draft, account_id, marked_name, marked_comment)

    async def problems(self, app_id: str) -> list[Problem]:
        """Everything that is wrong with the owner as it stands, errors first."""
        owner = await self.repository.get(app_id)
        return self._wrong(await self._exported_version(app_id, None), owner)

    async def missing(self, app_id: str) -> list[Missing]:
        """What the owner needs as it stands and nothing installed offers."""
        await self.repository.get(app_id)
        return self._checker.missing_for((await self._exported_version(app_id, None)).graph, {})

    # -- for texts --------------------------------------------------------------------------------------------

    async def _exported_version(self, app_id: str, workflow_id: str | None) -> WorkflowRecord:
        """A named version, else the draft, else what is published."""
        if workflow_id is not None:
            return await self.repository.published_workflow(app_id, workflow_id)
        draft = await self.repository.draft_workflow(app_id)
        if draft is not None:
            return draft
        try:
            return await self.repository.published_workflow(app_id)
        except WorkflowNotPublished as exc:
            raise DraftWorkflowNotExist(
                "Missing draft workflow configuration, please check.", hint="Save a draft first.", app_id=app_id
            ) from exc

    def _shared_workflow(self, record: WorkflowRecord, include_secret: bool) -> WorkflowBody:
        return WorkflowBody(
            graph=sharing.export_graph(
                record.graph,
                self._tenant.id,
                include_secret=include_secret,
                encrypt_datasets=self._settings.dsl_export_encrypt_dataset_id,
            ),
            features=record.features,
            environment_variables=sharing.export_variables(record.environment_variables, include_secret=include_secret),
            conversation_variables=record.conversation_variables,
            rag_pipeline_variables=record.rag_pipeline_variables,
        )

    def _readable(self, body: WorkflowBody) -> tuple[WorkflowBody, list[Problem]]:
        """What a text brings, with the ids of knowledge bases in clear; warns of nodes that lost some."""
        graph, poorer = sharing.import_graph(body.graph, self._tenant.id)
        message = "Some knowledge bases of the node are of another workspace and were left out; choose others."
        warnings = [
            Problem(code="missing_dataset", message=message, node_id=node_id, severity="warning") for node_id in poorer
        ]
        return msgspec.structs.replace(body, graph=graph), warnings

    # -- inside a transaction ---------------------------------------------------------------------------------

    async def _replace_draft(
        self, conn: AsyncConnection, owner: AppRecord, body: WorkflowBody, account_id: str
    ) -> WorkflowRecord:
        """Write the draft whatever it was; secrets that the text left out stay."""
        stored = await self.repository.draft_workflow(owner.id, conn=conn, lock=True)
        known = stored.environment_variables if stored else []
        environment = keep_secrets(body.environment_variables, known, also_empty=True)
        body = msgspec.structs.replace(body, environment_variables=environment)
        return await self._put_draft(conn, owner, body, account_id, stored)

    async def _put_draft(
        self,
        conn: AsyncConnection,
        owner: AppRecord,
        body: WorkflowBody,
        account_id: str,
        stored: WorkflowRecord | None,
    ) -> WorkflowRecord:
        now = utc_now()
        record = WorkflowRecord(
            id=stored.id if stored else new_id(),
            tenant_id=self._tenant.id,
            app_id=owner.id,
            type=self._type(owner),
            version=DRAFT,
            graph=body.graph,
            features=body.features,
            environment_variables=body.environment_variables,
            conversation_variables=body.conversation_variables,
            rag_pipeline_variables=body.rag_pipeline_variables,
            hash=_hash(body),
            created_by=stored.created_by if stored else account_id,
            created_at=stored.created_at if stored else now,
            updated_by=account_id,
            updated_at=now,
        )
        if stored:
            await self.repository.update_workflow(conn, record)
        else:
            await self.repository.insert_workflow(conn, record)
        await self._drafted(conn, owner, record, account_id)
        return record

    async def _publish(
        self,
        conn: AsyncConnection,
        owner: AppRecord,
        draft: WorkflowRecord,
        account_id: str,
        marked_name: str,
        marked_comment: str,
    ) -> WorkflowRecord:
        now = utc_now()
        record = msgspec.structs.replace(
            draft,
            id=new_id(),
            version=now.isoformat(" ", "microseconds"),
            marked_name=marked_name,
            marked_comment=marked_comment,
            created_by=account_id,
            created_at=now,
            updated_by=account_id,
            updated_at=now,
        )
        await self.repository.insert_workflow(conn, record)
        await self._made_current(conn, owner, record, account_id)
        return record


def _hash(body: WorkflowBody) -> str:
    """What tells a changed draft; values of secrets are left out, as the hash is shown to editors."""
    hidden: list[Variable] = sharing.export_variables(body.environment_variables, include_secret=False)
    shown = msgspec.structs.replace(body, environment_variables=hidden)
    return hashlib.sha256(encode_json(shown).encode()).hexdigest()
