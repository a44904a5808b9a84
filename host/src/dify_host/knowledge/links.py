"""What knowledge bases show of other domains, read in this place only: uploaded files, authors, tags and apps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.tables import app_dataset_joins, apps, tag_bindings, tags
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.types import utc_now
from dify_host.files.tables import upload_files
from dify_host.identity.tables import accounts, tenant_account_joins

__all__ = ["Links", "Tag", "Upload", "UsingApp"]


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file; `key` is its place in storage."""

    id: str
    key: str
    name: str
    size: int
    extension: str
    mime_type: str | None
    created_by: str
    created_at: datetime


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A label on a dataset."""

    id: str
    name: str
    type: str


class UsingApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app that uses a dataset."""

    id: str
    name: str
    description: str | None
    mode: str
    icon_type: str | None
    icon: str | None
    icon_background: str | None


class Links(TenantRepository):
    """Rows of neighbouring domains, always the tenant's."""

    async def upload(self, conn: AsyncConnection, upload_id: str) -> Upload:
        """The uploaded file; NotFound otherwise."""
        found = await self.uploads(conn, [upload_id])
        if not found:
            raise NotFound("File not found.", hint="Upload it first.", upload_file_id=upload_id)
        return found[0]

    async def uploads(self, conn: AsyncConnection, ids: Sequence[str]) -> list[Upload]:
        """Those of the uploaded files that exist, in no order."""
        rows = await conn.execute(self.scoped_select(upload_files).where(upload_files.c.id.in_(ids)))
        return [to_struct(row, Upload) for row in rows]

    async def add_upload(self, conn: AsyncConnection, values: dict[str, Any]) -> None:
        """Record a file that the caller has put into storage."""
        await conn.execute(self.scoped_insert(upload_files, values))

    async def drop_uploads(self, conn: AsyncConnection, ids: Sequence[str]) -> None:
        """Forget uploaded files; their bytes are the caller's to delete."""
        await conn.execute(self.scoped_delete(upload_files).where(upload_files.c.id.in_(ids)))

    async def use_upload(self, conn: AsyncConnection, upload_id: str, user_id: str) -> None:
        """Mark an uploaded file as used, so that it is not cleaned away."""
        used = {"used": True, "used_by": user_id, "used_at": utc_now()}
        await conn.execute(self.scoped_update(upload_files, used).where(upload_files.c.id == upload_id))

    async def author_names(self, conn: AsyncConnection, account_ids: Sequence[str]) -> dict[str, str]:
        """The names of accounts by id; they are not of one tenant, so only ids from the tenant's rows belong here."""
        rows = await conn.execute(sa.select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(account_ids)))
        return {row.id: row.name for row in rows}

    async def members(self, conn: AsyncConnection, account_ids: Sequence[str]) -> set[str]:
        """Those of the accounts that are members of the workspace."""
        query = self.scoped_select(tenant_account_joins, tenant_account_joins.c.account_id)
        return set((await conn.execute(query.where(tenant_account_joins.c.account_id.in_(account_ids)))).scalars())

    async def tags(self, conn: AsyncConnection, dataset_ids: Sequence[str]) -> dict[str, list[Tag]]:
        """The tags of datasets by dataset id, each list by name."""
        query = (
            self.scoped_select(tags, tag_bindings.c.target_id, tags.c.id, tags.c.name, tags.c.type)
            .join(tag_bindings, tag_bindings.c.tag_id == tags.c.id)
            .where(tag_bindings.c.target_id.in_(dataset_ids), tags.c.type == "knowledge")
            .order_by(tags.c.name)
        )
        found: dict[str, list[Tag]] = {}
        for row in await conn.execute(query):
            found.setdefault(row.target_id, []).append(to_struct(row, Tag))
        return found

    def tagged(self, tag_ids: Sequence[str]) -> sa.Select[Any]:
        """Select the ids of the targets that carry any of the tags."""
        return self.scoped_select(tag_bindings, tag_bindings.c.target_id).where(tag_bindings.c.tag_id.in_(tag_ids))

    async def app_counts(self, conn: AsyncConnection, dataset_ids: Sequence[str]) -> dict[str, int]:
        """How many apps use each dataset; one that none uses is absent."""
        query = (
            sa.select(app_dataset_joins.c.dataset_id, sa.func.count().label("used"))
            .where(
                app_dataset_joins.c.dataset_id.in_(dataset_ids),
                self.reached_through(app_dataset_joins.c.app_id, root=apps),
            )
            .group_by(app_dataset_joins.c.dataset_id)
        )
        return {row.dataset_id: row.used for row in await conn.execute(query)}

    async def using_apps(self, conn: AsyncConnection, dataset_id: str) -> list[UsingApp]:
        """The apps that use a dataset, newest first."""
        used = sa.select(app_dataset_joins.c.app_id).where(app_dataset_joins.c.dataset_id == dataset_id)
        query = self.scoped_select(apps).where(apps.c.id.in_(used))
        rows = await conn.execute(query.order_by(apps.c.created_at.desc(), apps.c.id.desc()))
        return [to_struct(row, UsingApp) for row in rows]
