"""The published versions of a workflow: list, name, delete, and take one back as the draft."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import Conflict

from dify_host.apps.errors import WorkflowNotFound
from dify_host.apps.records import WorkflowRecord
from dify_host.apps.repository import DRAFT
from dify_host.apps.tables import workflows
from dify_host.apps.workflow_service import WorkflowService
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now

__all__ = ["VersionPage", "WorkflowInUse", "WorkflowVersions"]


class WorkflowInUse(Conflict):
    """The version is the one that runs."""

    code = "bad_request"
    status = 400


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of versions, newest first."""

    items: list[WorkflowRecord]
    page: int
    limit: int
    has_more: bool


class WorkflowVersions(TenantRepository):
    """The versions of one workspace's workflows; what they consist of goes through the service of their kind."""

    def __init__(self, db: Database, tenant: Tenant, service: WorkflowService[Any]) -> None:
        super().__init__(db, tenant)
        self._service = service

    async def page(
        self, app_id: str, *, page: int, limit: int, created_by: str | None = None, named_only: bool = False
    ) -> VersionPage:
        """The published versions, of one author or with a name if asked; AppNotFound."""
        await self._service.repository.get(app_id)
        query = self.scoped_select(workflows, workflows.c.id).where(self._published(app_id))
        if created_by:
            query = query.where(workflows.c.created_by == created_by)
        if named_only:
            query = query.where(workflows.c.marked_name != "")
        newest = query.order_by(workflows.c.created_at.desc(), workflows.c.id.desc())
        async with self.db.read() as conn:
            ids = (await conn.execute(newest.limit(limit + 1).offset((page - 1) * limit))).scalars().all()
        items = [await self._service.repository.published_workflow(app_id, each) for each in ids[:limit]]
        return VersionPage(items=items, page=page, limit=limit, has_more=len(ids) > limit)

    async def rename(
        self, app_id: str, workflow_id: str, account_id: str, *, name: str | None, comment: str | None
    ) -> WorkflowRecord:
        """Give a version a name or a comment; None leaves it. WorkflowNotFound."""
        values: dict[str, Any] = {"updated_by": account_id, "updated_at": utc_now()}
        if name is not None:
            values["marked_name"] = name
        if comment is not None:
            values["marked_comment"] = comment
        this = sa.and_(workflows.c.id == workflow_id, self._published(app_id))
        async with self.db.write() as conn:
            changed = await conn.execute(self.scoped_update(workflows, values).where(this))
        if changed.rowcount == 0:
            raise _missing(app_id, workflow_id)
        renamed: WorkflowRecord = await self._service.repository.published_workflow(app_id, workflow_id)
        return renamed

    async def delete(self, app_id: str, workflow_id: str) -> None:
        """Forget a version; WorkflowInUse for the one that runs, WorkflowNotFound."""
        this = sa.and_(workflows.c.id == workflow_id, self._published(app_id))
        owners = self._service.repository.owners
        running = self.scoped_select(owners, owners.c.workflow_id).where(owners.c.id == app_id).with_for_update()
        async with self.db.write() as conn:
            if (await conn.execute(running)).scalar() == workflow_id:
                raise WorkflowInUse(
                    "The version is in use by the app and cannot be deleted.", hint="Publish another one first."
                )
            gone = await conn.execute(self.scoped_delete(workflows).where(this))
        if gone.rowcount == 0:
            raise _missing(app_id, workflow_id)

    async def restore(self, app_id: str, workflow_id: str, account_id: str) -> WorkflowRecord:
        """Make the draft what that version was; what runs stays. DraftWorkflowNotSync when somebody saves meanwhile."""
        repository = self._service.repository
        version: WorkflowRecord = await repository.published_workflow(app_id, workflow_id)
        draft = await repository.draft_workflow(app_id)
        return await self._service.save_draft(
            app_id,
            graph=version.graph,
            features=version.features,
            account_id=account_id,
            hash=draft.hash if draft else None,
            environment_variables=msgspec.to_builtins(version.environment_variables),
            conversation_variables=msgspec.to_builtins(version.conversation_variables),
            rag_pipeline_variables=version.rag_pipeline_variables,
        )

    def _published(self, app_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(workflows.c.app_id == app_id, workflows.c.version != DRAFT)


def _missing(app_id: str, workflow_id: str) -> WorkflowNotFound:
    return WorkflowNotFound(f"Workflow not found with id: {workflow_id}", app_id=app_id)
