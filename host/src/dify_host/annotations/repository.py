"""The rows of annotations and of the setting that switches them on; one tenant in every statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from dify_kernel.errors import NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.annotations.records import Annotation, Hit, ReplySetting
from dify_host.apps.tables import app_annotation_settings, apps
from dify_host.db.repository import Page, TenantRepository, fetch_page, to_struct
from dify_host.identity.tables import accounts
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.tables import dataset_collection_bindings
from dify_host.runs.tables import app_annotation_hit_histories, message_annotations, messages

__all__ = ["AnnotationRepository"]

_GROUP: Final = 500

table = message_annotations
settings = app_annotation_settings


class AnnotationRepository(TenantRepository):
    """The annotations of one workspace's apps."""

    def _of(self, app_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(table.c.app_id == app_id, self.reached_through(table.c.app_id, root=apps))

    def _select(self, app_id: str) -> sa.Select[Any]:
        columns = (table.c[name] for name in ("id", "app_id", "question", "hit_count", "account_id", "created_at"))
        return sa.select(*columns, table.c.content.label("answer")).where(self._of(app_id))

    async def page(self, app_id: str, *, page: int, limit: int, keyword: str = "") -> Page[Annotation]:
        """A page, newest first; `keyword` finds a part of the question or the answer, whatever its case."""
        query = self._select(app_id)
        if keyword:
            texts = (table.c.question, table.c.content)
            query = query.where(sa.or_(*(text.icontains(keyword, autoescape=True) for text in texts)))
        async with self.db.read() as conn:
            newest = query.order_by(table.c.created_at.desc(), table.c.id.desc())
            return await fetch_page(conn, newest, Annotation, page=page, limit=limit)

    async def behind(self, app_id: str, last_id: str | None, limit: int) -> list[Annotation]:
        """Up to `limit` annotations with ids behind the last one, in the order of ids."""
        query = self._select(app_id).order_by(table.c.id).limit(limit)
        if last_id is not None:
            query = query.where(table.c.id > last_id)
        async with self.db.read() as conn:
            return [to_struct(row, Annotation) for row in await conn.execute(query)]

    async def find(self, app_id: str, annotation_id: str, *, conn: AsyncConnection | None = None) -> Annotation | None:
        """One annotation; None when the app has no such."""
        query = self._select(app_id).where(table.c.id == annotation_id)
        if conn is not None:
            row = (await conn.execute(query)).one_or_none()
        else:
            async with self.db.read() as own:
                row = (await own.execute(query)).one_or_none()
        return None if row is None else to_struct(row, Annotation)

    async def get(self, conn: AsyncConnection, app_id: str, annotation_id: str) -> Annotation:
        """One annotation; NotFound."""
        found = await self.find(app_id, annotation_id, conn=conn)
        if found is None:
            raise NotFound("Annotation not found", annotation_id=annotation_id)
        return found

    async def change(self, conn: AsyncConnection, app_id: str, annotation_id: str, question: str, answer: str) -> None:
        """Give an annotation other texts."""
        change = table.update().where(table.c.id == annotation_id, self._of(app_id))
        await conn.execute(change.values(question=question, content=answer))

    async def delete(self, conn: AsyncConnection, app_id: str, annotation_id: str) -> None:
        """Remove an annotation and what is remembered of its use."""
        hits = app_annotation_hit_histories
        await conn.execute(hits.delete().where(hits.c.annotation_id == annotation_id, hits.c.app_id == app_id))
        await conn.execute(table.delete().where(table.c.id == annotation_id, self._of(app_id)))

    async def delete_all(self, conn: AsyncConnection, app_id: str, annotation_ids: Sequence[str] | None) -> list[str]:
        """Remove those of the ids that are the app's, or all with None; returns which."""
        query = sa.select(table.c.id).where(self._of(app_id)).order_by(table.c.id)
        if annotation_ids is not None:
            query = query.where(table.c.id.in_(annotation_ids))
        gone = list((await conn.execute(query.with_for_update(of=table))).scalars())
        hits = app_annotation_hit_histories
        for start in range(0, len(gone), _GROUP):
            group = gone[start : start + _GROUP]
            await conn.execute(hits.delete().where(hits.c.annotation_id.in_(group), hits.c.app_id == app_id))
            await conn.execute(table.delete().where(table.c.id.in_(group), self._of(app_id)))
        return gone

    async def hits(self, app_id: str, annotation_id: str, *, page: int, limit: int) -> Page[Hit]:
        """The uses of an annotation, newest first; NotFound."""
        hits = app_annotation_hit_histories
        query = sa.select(hits).where(hits.c.annotation_id == annotation_id, hits.c.app_id == app_id)
        async with self.db.read() as conn:
            await self.get(conn, app_id, annotation_id)
            newest = query.order_by(hits.c.created_at.desc(), hits.c.id.desc())
            return await fetch_page(conn, newest, Hit, page=page, limit=limit)

    async def message(self, app_id: str, message_id: str) -> tuple[str, str, str | None]:
        """What a message of the app asked, its conversation, and the id of its annotation; NotFound."""
        mine = messages.c.app_id == app_id, self.reached_through(messages.c.app_id, root=apps)
        query = sa.select(messages.c.query, messages.c.conversation_id).where(messages.c.id == message_id, *mine)
        present = sa.select(table.c.id).where(table.c.message_id == message_id, self._of(app_id)).limit(1)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
            if row is None:
                raise NotFound("Message Not Exists.", message_id=message_id)
            return row.query, row.conversation_id, (await conn.execute(present)).scalar_one_or_none()

    async def author(self, account_id: str) -> str:
        """The name of who wrote an annotation; empty when the account is gone."""
        async with self.db.read() as conn:
            name = (await conn.execute(sa.select(accounts.c.name).where(accounts.c.id == account_id))).scalar()
        return name or ""

    # -- the setting ------------------------------------------------------------------------------------------

    async def setting(self, app_id: str) -> ReplySetting | None:
        """The app's setting; None when it does not answer with annotations."""
        bindings = dataset_collection_bindings
        query = (
            sa.select(settings, bindings.c.provider_name, bindings.c.model_name)
            .join(bindings, bindings.c.id == settings.c.collection_binding_id)
            .where(settings.c.app_id == app_id, self.reached_through(settings.c.app_id, root=apps))
        )
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        index = IndexStruct.read(row.index_struct) if row is not None else None
        if row is None or index is None:
            return None
        return ReplySetting(
            id=row.id,
            app_id=row.app_id,
            score_threshold=row.score_threshold,
            provider=row.provider_name,
            model=row.model_name,
            index=index,
        )
