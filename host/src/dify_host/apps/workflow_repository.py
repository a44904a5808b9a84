"""Workflows of one tenant, whoever owns them: an app or a knowledge pipeline. Secrets are opened and sealed here.

Reads open their own connection, or use the caller's when `conn` is given; writes always run in the caller's
transaction.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.errors import NotAPublishedVersion, WorkflowNotFound, WorkflowNotPublished
from dify_host.apps.records import AppRecord, Variable, WorkflowRecord
from dify_host.apps.tables import workflow_draft_variables, workflows
from dify_host.db.engine import Database
from dify_host.db.repository import Page, TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.net.crypto import TenantCipher

__all__ = ["DRAFT", "WorkflowRepository", "canonical"]

DRAFT = "draft"


class WorkflowRepository(TenantRepository, ABC):
    """Workflows by the `app_id` of their owner; `owners` is the table of those, which says what version runs."""

    owners: ClassVar[sa.Table]

    def __init__(self, db: Database, tenant: Tenant, cipher: TenantCipher) -> None:
        super().__init__(db, tenant)
        self._cipher = cipher

    @abstractmethod
    async def get(self, app_id: str, *, conn: AsyncConnection | None = None, lock: bool = False) -> AppRecord:
        """The owner of workflows; NotFound of its kind otherwise. `lock` keeps its row for the caller's transaction."""

    async def published_workflow(
        self, app_id: str, workflow_id: str | None = None, *, conn: AsyncConnection | None = None
    ) -> WorkflowRecord:
        """The version that runs, or the published version of an id.

        Raises the owner's NotFound, WorkflowNotPublished, WorkflowNotFound, and NotAPublishedVersion for a draft or a
        malformed id.
        """
        if workflow_id is None:
            runs = self.scoped_select(self.owners, self.owners.c.workflow_id).where(self.owners.c.id == app_id)
            wanted: Any = runs.scalar_subquery()
        else:
            wanted = canonical(workflow_id)
            if wanted is None:
                raise NotAPublishedVersion(
                    "Invalid workflow_id format.", hint="An id is a UUID.", workflow_id=workflow_id
                )
        query = self.scoped_select(workflows).where(workflows.c.app_id == app_id, workflows.c.id == wanted)
        async with self.reading(conn) as reader:
            row = (await reader.execute(query)).one_or_none()
            if row is None:
                await self.get(app_id, conn=reader)
        if row is None and workflow_id is None:
            raise WorkflowNotPublished("Workflow not published", app_id=app_id)
        if row is None:
            raise WorkflowNotFound(f"Workflow not found with id: {workflow_id}", app_id=app_id)
        if row.version == DRAFT:
            raise NotAPublishedVersion(
                f"Cannot use draft workflow version. Workflow ID: {workflow_id}.",
                hint="Please use a published workflow version or leave workflow_id empty.",
                app_id=app_id,
            )
        return self._workflow(row)

    async def workflow_of_version(self, app_id: str, version: str) -> WorkflowRecord:
        """The published version of a name; WorkflowNotFound when it is gone."""
        query = self.scoped_select(workflows).where(workflows.c.app_id == app_id, workflows.c.version == version)
        async with self.db.read() as conn:
            row = (await conn.execute(query.where(workflows.c.version != DRAFT))).one_or_none()
        if row is None:
            raise WorkflowNotFound(f"The app has no published version {version!r}.", app_id=app_id)
        return self._workflow(row)

    async def published_workflows(self, app_id: str, page: int = 1, limit: int = 10) -> Page[WorkflowRecord]:
        """The published versions, newest first; the owner's NotFound when it is not the tenant's."""
        query = self.scoped_select(workflows).where(workflows.c.app_id == app_id, workflows.c.version != DRAFT)
        page, limit = max(page, 1), max(limit, 1)
        async with self.db.read() as conn:
            await self.get(app_id, conn=conn)
            total = (await conn.execute(sa.select(sa.func.count()).select_from(query.subquery()))).scalar_one()
            newest = query.order_by(workflows.c.created_at.desc(), workflows.c.id.desc())
            rows = (await conn.execute(newest.limit(limit).offset((page - 1) * limit))).all()
        data = [self._workflow(row) for row in rows]
        return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def draft_workflow(
        self, app_id: str, *, conn: AsyncConnection | None = None, lock: bool = False
    ) -> WorkflowRecord | None:
        """The draft; None when there is none (or no such app). `lock` keeps its row for the caller's transaction."""
        query = self.scoped_select(workflows).where(workflows.c.app_id == app_id, workflows.c.version == DRAFT)
        async with self.reading(conn) as reader:
            row = (await reader.execute(query.with_for_update() if lock else query)).one_or_none()
        return None if row is None else self._workflow(row)

    async def insert_workflow(self, conn: AsyncConnection, record: WorkflowRecord) -> None:
        """Add a version; Conflict when the app has one of that name."""
        await conn.execute(self.scoped_insert(workflows, self._sealed(record)))

    async def update_workflow(self, conn: AsyncConnection, record: WorkflowRecord) -> None:
        """Replace the content of a version."""
        values = self._sealed(record)
        for fixed in ("id", "tenant_id", "created_at", "created_by"):
            del values[fixed]
        await conn.execute(self.scoped_update(workflows, values).where(workflows.c.id == record.id))

    async def delete_draft_variables(self, conn: AsyncConnection, app_id: str) -> None:
        """Forget the values that nodes of the draft left behind."""
        kept = workflow_draft_variables
        owned = self.reached_through(kept.c.app_id, root=self.owners)
        await conn.execute(kept.delete().where(kept.c.app_id == app_id, owned))

    def _workflow(self, row: sa.Row[Any]) -> WorkflowRecord:
        values = {str(key): value for key, value in row._mapping.items()}
        values["features"] = values["features"] or {}
        for name in ("conversation_variables", "rag_pipeline_variables"):
            values[name] = values[name] or []
        environment = msgspec.convert(values["environment_variables"] or [], list[Variable])
        for item in environment:
            if item.value_type == "secret":
                item.value = self._cipher.decrypt(item.value, _place(row.id, item.name))
        values["environment_variables"] = environment
        return msgspec.convert(values, WorkflowRecord)

    def _sealed(self, record: WorkflowRecord) -> dict[str, Any]:
        """The columns of a version, the values of its secrets encrypted."""
        values = msgspec.structs.asdict(record)
        if values["updated_at"] is None:
            values["updated_at"] = utc_now()
        environment = []
        for item in record.environment_variables:
            if item.value_type == "secret":
                sealed = self._cipher.encrypt(str(item.value or ""), _place(record.id, item.name))
                item = msgspec.structs.replace(item, value=sealed)
            environment.append(item)
        values["environment_variables"] = environment
        return values

    @asynccontextmanager
    async def reading(self, conn: AsyncConnection | None) -> AsyncIterator[AsyncConnection]:
        """The caller's connection, or one of our own."""
        if conn is not None:
            yield conn
            return
        async with self.db.read() as own:
            yield own


def _place(workflow_id: str, name: str) -> str:
    """Where a secret variable lives: its sealed value opens nowhere else."""
    return f"workflows/{workflow_id}/environment_variables/{name}"


def canonical(text: Any) -> str | None:
    """The id in its stored form; None when the text is no id."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        return None
