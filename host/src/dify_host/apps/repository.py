"""Reads and writes one tenant's apps, configurations, workflows and sites; secrets are opened and sealed here.

Reads open their own connection, or use the caller's when `conn` is given; writes always run in the caller's
transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import tables
from dify_host.apps.errors import (
    AppNotFound,
    NotAPublishedVersion,
    SiteNotFound,
    WorkflowNotFound,
    WorkflowNotPublished,
)
from dify_host.apps.records import AppRecord, ModelConfig, SiteRecord, Variable, WorkflowRecord
from dify_host.apps.tables import app_dataset_joins, app_model_configs, apps, sites, workflows
from dify_host.db.engine import Database
from dify_host.db.repository import Page, TenantRepository, fetch_page, to_struct
from dify_host.db.statements import insert_missing
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.tables import accounts
from dify_host.net.crypto import TenantCipher

__all__ = ["DRAFT", "AppRepository"]

DRAFT = "draft"
#: Tables of this domain whose rows belong to one app by `app_id`.
_OWNED_BY_APP = (
    app_model_configs,
    sites,
    workflows,
    tables.workflow_draft_variables,
    tables.workflow_draft_variable_files,
    tables.installed_apps,
    app_dataset_joins,
    tables.app_mcp_servers,
    tables.trace_app_config,
    tables.app_triggers,
    tables.workflow_webhook_triggers,
    tables.workflow_schedule_plans,
)


class AppRepository(TenantRepository):
    """The tenant's apps; what belongs to another tenant is as absent as what never was."""

    def __init__(self, db: Database, tenant: Tenant, cipher: TenantCipher) -> None:
        super().__init__(db, tenant)
        self._cipher = cipher

    # -- apps -------------------------------------------------------------------------------------------------

    async def get(self, app_id: str, *, conn: AsyncConnection | None = None, lock: bool = False) -> AppRecord:
        """The app; AppNotFound otherwise. `lock` keeps its row until the caller's transaction ends."""
        query = self.scoped_select(apps).where(apps.c.id == app_id)
        async with self._reading(conn) as reader:
            row = (await reader.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is None:
            raise AppNotFound("App not found.", app_id=app_id)
        return to_struct(row, AppRecord)

    async def list(
        self, page: int = 1, limit: int = 20, *, mode: str | None = None, name: str | None = None
    ) -> Page[AppRecord]:
        """The apps, newest first; `name` finds a part of the name, whatever its case."""
        query = self.scoped_select(apps)
        if mode:
            query = query.where(apps.c.mode == mode)
        if name:
            query = query.where(apps.c.name.icontains(name, autoescape=True))
        async with self.db.read() as conn:
            newest = query.order_by(apps.c.created_at.desc(), apps.c.id.desc())
            return await fetch_page(conn, newest, AppRecord, page=page, limit=limit)

    async def create(self, conn: AsyncConnection, values: Mapping[str, Any]) -> AppRecord:
        """Add an app; `values` are columns of `apps`, at least `name` and `mode`."""
        app_id = new_id()
        await conn.execute(self.scoped_insert(apps, {**values, "id": app_id}))
        return await self.get(app_id, conn=conn)

    async def update(self, conn: AsyncConnection, app_id: str, values: Mapping[str, Any]) -> AppRecord:
        """Change columns of an app and return it; AppNotFound when it is not the tenant's."""
        await conn.execute(self.scoped_update(apps, values).where(apps.c.id == app_id))
        return await self.get(app_id, conn=conn)

    async def delete(self, conn: AsyncConnection, app_id: str) -> None:
        """Remove the app and every row of this domain that hangs on it; AppNotFound when it is not the tenant's."""
        await self.get(app_id, conn=conn, lock=True)
        for table in _OWNED_BY_APP:
            await conn.execute(table.delete().where(table.c.app_id == app_id))
        await conn.execute(self.scoped_delete(tables.tag_bindings).where(tables.tag_bindings.c.target_id == app_id))
        await conn.execute(self.scoped_delete(apps).where(apps.c.id == app_id))

    # -- workflows --------------------------------------------------------------------------------------------

    async def published_workflow(
        self, app_id: str, workflow_id: str | None = None, *, conn: AsyncConnection | None = None
    ) -> WorkflowRecord:
        """The version that runs, or the published version of an id.

        Raises AppNotFound, WorkflowNotPublished, WorkflowNotFound, and NotAPublishedVersion for a draft or a
        malformed id.
        """
        if workflow_id is None:
            wanted: Any = sa.select(apps.c.workflow_id).where(apps.c.id == app_id, self.owned(apps)).scalar_subquery()
        else:
            wanted = _canonical(workflow_id)
            if wanted is None:
                raise NotAPublishedVersion(
                    "Invalid workflow_id format.", hint="An id is a UUID.", workflow_id=workflow_id
                )
        query = self.scoped_select(workflows).where(workflows.c.app_id == app_id, workflows.c.id == wanted)
        async with self._reading(conn) as reader:
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
        """The published versions, newest first; AppNotFound when the app is not the tenant's."""
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
        async with self._reading(conn) as reader:
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
        owned = self.reached_through(tables.workflow_draft_variables.c.app_id, root=apps)
        mine = tables.workflow_draft_variables.c.app_id == app_id
        await conn.execute(tables.workflow_draft_variables.delete().where(mine, owned))

    def _workflow(self, row: sa.Row[Any]) -> WorkflowRecord:
        values = {str(key): value for key, value in row._mapping.items()}
        values["features"] = values["features"] or {}
        values["conversation_variables"] = values["conversation_variables"] or []
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

    # -- configurations ---------------------------------------------------------------------------------------

    async def model_config(
        self, app_id: str, config_id: str | None = None, *, conn: AsyncConnection | None = None
    ) -> ModelConfig | None:
        """The configuration a basic app runs with, or an earlier one; None when there is none (or no such app)."""
        wanted = apps.c.app_model_config_id if config_id is None else config_id
        query = (
            sa.select(app_model_configs)
            .join(apps, apps.c.id == app_model_configs.c.app_id)
            .where(apps.c.id == app_id, app_model_configs.c.id == wanted, self.owned(apps))
        )
        async with self._reading(conn) as reader:
            row = (await reader.execute(query)).one_or_none()
        if row is None:
            return None
        values = {str(key): value for key, value in row._mapping.items() if value is not None}
        return msgspec.convert({"model": {}, **values}, ModelConfig)

    async def insert_model_config(self, conn: AsyncConnection, config: ModelConfig, account_id: str | None) -> None:
        """Add a configuration and make it the app's; AppNotFound when the app is not the tenant's."""
        values = {**msgspec.structs.asdict(config), "created_by": account_id, "updated_by": account_id}
        values["provider"], values["model_id"] = config.model.get("provider"), config.model.get("name")
        await self.update(conn, config.app_id, {"app_model_config_id": config.id})
        await conn.execute(app_model_configs.insert().values(values))

    # -- sites ------------------------------------------------------------------------------------------------

    async def site(self, app_id: str, *, conn: AsyncConnection | None = None) -> SiteRecord:
        """The web page of an app; SiteNotFound otherwise."""
        owned = self.reached_through(sites.c.app_id, root=apps)
        async with self._reading(conn) as reader:
            row = (await reader.execute(sa.select(sites).where(sites.c.app_id == app_id, owned))).first()
        if row is None:
            raise SiteNotFound("Site not found.", app_id=app_id)
        return to_struct(row, SiteRecord)

    async def insert_site(self, conn: AsyncConnection, app: AppRecord, code: str, language: str) -> None:
        """Give an app its web page, named and drawn as the app is."""
        await self.get(app.id, conn=conn)
        shown = {name: getattr(app, name) for name in ("icon_type", "icon", "icon_background", "created_by")}
        values = {"id": new_id(), "app_id": app.id, "title": app.name, "code": code, "default_language": language}
        await conn.execute(sites.insert().values({**shown, **values, "updated_by": app.created_by}))

    async def update_site(self, conn: AsyncConnection, app_id: str, values: Mapping[str, Any]) -> SiteRecord:
        """Change columns of an app's web page and return it; SiteNotFound otherwise."""
        owned = self.reached_through(sites.c.app_id, root=apps)
        await conn.execute(sites.update().where(sites.c.app_id == app_id, owned).values(dict(values)))
        return await self.site(app_id, conn=conn)

    # -- datasets ---------------------------------------------------------------------------------------------

    async def set_datasets(self, conn: AsyncConnection, app_id: str, dataset_ids: Iterable[str]) -> None:
        """Write down which datasets the app uses, and only these; texts that are no ids are left out."""
        await self.get(app_id, conn=conn)
        wanted = {found for text in dataset_ids if (found := _canonical(text))}
        known = sa.select(app_dataset_joins.c.dataset_id).where(app_dataset_joins.c.app_id == app_id)
        present = set((await conn.execute(known)).scalars())
        if gone := present - wanted:
            stale = sa.and_(app_dataset_joins.c.app_id == app_id, app_dataset_joins.c.dataset_id.in_(gone))
            await conn.execute(app_dataset_joins.delete().where(stale))
        rows = [{"app_id": app_id, "dataset_id": dataset_id} for dataset_id in sorted(wanted - present)]
        await insert_missing(conn, app_dataset_joins, rows, key=["dataset_id", "app_id"])

    async def dataset_ids(self, app_id: str) -> tuple[str, ...]:
        """The datasets the app uses, sorted."""
        owned = self.reached_through(app_dataset_joins.c.app_id, root=apps)
        query = sa.select(app_dataset_joins.c.dataset_id).where(app_dataset_joins.c.app_id == app_id, owned)
        async with self.db.read() as conn:
            return tuple(sorted((await conn.execute(query)).scalars()))

    # -- whose and of what kind -------------------------------------------------------------------------------

    async def tag_names(self, app_id: str) -> tuple[str, ...]:
        """The names of the app's tags, sorted."""
        tags, bindings = tables.tags, tables.tag_bindings
        query = (
            self.scoped_select(tags, tags.c.name)
            .join(bindings, bindings.c.tag_id == tags.c.id)
            .where(tags.c.type == "app", bindings.c.target_id == app_id, self.owned(bindings))
        )
        async with self.db.read() as conn:
            return tuple(sorted((await conn.execute(query)).scalars()))

    async def author(self, account_id: str | None, *, conn: AsyncConnection | None = None) -> tuple[str, str]:
        """The name and interface language of an account; empty texts when there is none."""
        query = sa.select(accounts.c.name, accounts.c.interface_language).where(accounts.c.id == account_id)
        async with self._reading(conn) as reader:
            row = (await reader.execute(query)).one_or_none()
        return (row.name or "", row.interface_language or "") if row else ("", "")

    # -- inside -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _reading(self, conn: AsyncConnection | None) -> AsyncIterator[AsyncConnection]:
        """The caller's connection, or one of our own."""
        if conn is not None:
            yield conn
            return
        async with self.db.read() as own:
            yield own


def _place(workflow_id: str, name: str) -> str:
    """Where a secret variable lives: its sealed value opens nowhere else."""
    return f"workflows/{workflow_id}/environment_variables/{name}"


def _canonical(text: Any) -> str | None:
    """The id in its stored form; None when the text is no id."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        return None
