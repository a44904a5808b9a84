"""Reads and writes one tenant's apps, their configurations and sites; workflows are in `workflow_repository`.

Reads open their own connection, or use the caller's when `conn` is given; writes always run in the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import tables
from dify_host.apps.errors import AppNotFound, SiteNotFound
from dify_host.apps.records import AppRecord, ModelConfig, SiteRecord
from dify_host.apps.tables import app_dataset_joins, app_model_configs, apps, sites, workflows
from dify_host.apps.workflow_repository import DRAFT, WorkflowRepository, canonical
from dify_host.db.repository import Page, fetch_page, to_struct
from dify_host.db.statements import insert_missing
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts

__all__ = ["DRAFT", "AppRepository"]

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


class AppRepository(WorkflowRepository):
    """The tenant's apps; what belongs to another tenant is as absent as what never was."""

    owners = apps

    # -- apps -------------------------------------------------------------------------------------------------

    async def get(self, app_id: str, *, conn: AsyncConnection | None = None, lock: bool = False) -> AppRecord:
        """The app; AppNotFound otherwise. `lock` keeps its row until the caller's transaction ends."""
        query = self.scoped_select(apps).where(apps.c.id == app_id)
        async with self.reading(conn) as reader:
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
        async with self.reading(conn) as reader:
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
        async with self.reading(conn) as reader:
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
        wanted = {found for text in dataset_ids if (found := canonical(text))}
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
        async with self.reading(conn) as reader:
            row = (await reader.execute(query)).one_or_none()
        return (row.name or "", row.interface_language or "") if row else ("", "")
