"""What can be done with the annotations of an app: write, change, delete, and find the one that answers a question."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from dify_kernel.errors import DifyError, NotFound, PlatformUnavailable
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.annotations.index import AnnotationIndex
from dify_host.annotations.records import Annotation, Hit, Match, ReplySetting
from dify_host.annotations.repository import AnnotationRepository, table
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.repository import Page
from dify_host.db.statements import insert_many
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id

__all__ = ["AnnotationService"]

_PAGE: Final = 200

log = logging.getLogger(__name__)


class AnnotationService:
    """The annotations of one workspace. Each change writes a job that brings the index to what the row says."""

    def __init__(self, db: Database, tenant: Tenant, index: AnnotationIndex) -> None:
        self._db, self._tenant, self._index = db, tenant, index
        self.repository = AnnotationRepository(db, tenant)

    @property
    def tenant(self) -> Tenant:
        """The workspace."""
        return self._tenant

    async def page(self, app_id: str, *, page: int = 1, limit: int = 20, keyword: str = "") -> Page[Annotation]:
        """A page of an app's annotations, newest first."""
        return await self.repository.page(app_id, page=page, limit=limit, keyword=keyword)

    async def create(
        self,
        app_id: str,
        question: str,
        answer: str,
        *,
        account_id: str,
        message_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Annotation:
        """Write an annotation; NotFound for an app of somebody else."""
        row = {
            "id": new_id(),
            "app_id": app_id,
            "conversation_id": conversation_id,
            "message_id": message_id,
            "question": question,
            "content": answer,
            "hit_count": 0,
            "account_id": account_id,
        }
        async with self._db.write() as conn:
            own = self.repository.scoped_select(apps, apps.c.id).where(apps.c.id == app_id)
            if (await conn.execute(own)).first() is not None:
                await conn.execute(table.insert().values(row))
                await enqueue(conn, "index_annotation", self._job(app_id, str(row["id"])), queue="dataset")
            return await self.repository.get(conn, app_id, str(row["id"]))

    async def of_message(
        self, app_id: str, message_id: str, question: str | None, answer: str, *, account_id: str
    ) -> Annotation:
        """Write the annotation of a message, or change the one that it has; NotFound for no message of the app.

        Without a question it is the message's.
        """
        asked, conversation_id, present = await self.repository.message(app_id, message_id)
        if present is not None:
            return await self.update(app_id, present, question or asked, answer)
        return await self.create(
            app_id,
            question or asked,
            answer,
            account_id=account_id,
            message_id=message_id,
            conversation_id=conversation_id,
        )

    async def every(self, app_id: str) -> list[Annotation]:
        """All annotations of an app, newest first."""
        found, last_id = [], None
        while page := await self.repository.behind(app_id, last_id, _PAGE):
            found += page
            last_id = page[-1].id
        return sorted(found, key=lambda item: (item.created_at, item.id), reverse=True)

    async def hits(self, app_id: str, annotation_id: str, *, page: int = 1, limit: int = 20) -> Page[Hit]:
        """The questions that an annotation answered, newest first; NotFound."""
        return await self.repository.hits(app_id, annotation_id, page=page, limit=limit)

    @asynccontextmanager
    async def writing(
        self, app_id: str, pairs: Sequence[tuple[str, str]], *, account_id: str
    ) -> AsyncIterator[AsyncConnection]:
        """Write annotations in one transaction, in which the caller asks for their index; NotFound for no app."""
        rows = [
            {
                "id": new_id(),
                "app_id": app_id,
                "question": question,
                "content": answer,
                "hit_count": 0,
                "account_id": account_id,
            }
            for question, answer in pairs
        ]
        async with self._db.write() as conn:
            own = self.repository.scoped_select(apps, apps.c.id).where(apps.c.id == app_id)
            if (await conn.execute(own)).first() is None:
                raise NotFound("App not found.", app=app_id)
            await insert_many(conn, table, rows)
            yield conn

    async def update(self, app_id: str, annotation_id: str, question: str | None, answer: str) -> Annotation:
        """Give an annotation other texts; a question that is not given stays. NotFound."""
        async with self._db.write() as conn:
            before = await self.repository.get(conn, app_id, annotation_id)
            await self.repository.change(conn, app_id, annotation_id, question or before.question, answer)
            await enqueue(conn, "index_annotation", self._job(app_id, annotation_id), queue="dataset")
            return await self.repository.get(conn, app_id, annotation_id)

    async def delete(self, app_id: str, annotation_id: str) -> None:
        """Remove an annotation; NotFound."""
        async with self._db.write() as conn:
            await self.repository.get(conn, app_id, annotation_id)
            await self.repository.delete(conn, app_id, annotation_id)
            await enqueue(conn, "index_annotation", self._job(app_id, annotation_id), queue="dataset")

    async def delete_all(self, app_id: str, annotation_ids: Sequence[str] | None = None) -> None:
        """Remove those of the ids that are the app's, or all."""
        async with self._db.write() as conn:
            gone = await self.repository.delete_all(conn, app_id, annotation_ids)
            for start in range(0, len(gone), _PAGE):
                job = {"tenant_id": self._tenant.id, "app_id": app_id, "annotation_ids": gone[start : start + _PAGE]}
                await enqueue(conn, "index_annotations", job, queue="dataset")

    def _job(self, app_id: str, annotation_id: str) -> dict[str, str]:
        return {"tenant_id": self._tenant.id, "app_id": app_id, "annotation_id": annotation_id}

    async def index(self, app_id: str, annotation_id: str) -> None:
        """Bring the index to what the row says: the job of every change. Nothing when the app does not use it."""
        await self.index_many(app_id, [annotation_id])

    async def index_many(self, app_id: str, annotation_ids: Sequence[str]) -> None:
        """The same for several."""
        setting = await self.repository.setting(app_id)
        if setting is None:
            return
        found = [item for id in annotation_ids if (item := await self.repository.find(app_id, id)) is not None]
        await self._index.write(setting, found)
        there = {item.id for item in found}
        await self._index.remove(setting, [id for id in annotation_ids if id not in there])

    async def index_behind(self, app_id: str, last_id: str | None) -> None:
        """Index all annotations with ids behind the last one. Nothing when the app does not use them."""
        setting = await self.repository.setting(app_id)
        while setting is not None and (page := await self.repository.behind(app_id, last_id, _PAGE)):
            await self._index.write(setting, page)
            last_id = page[-1].id

    async def shown(self, app_id: str) -> dict[str, Any]:
        """Whether and how an app answers with its annotations, as `/parameters` shows it."""
        setting = await self.repository.setting(app_id)
        return {"enabled": False} if setting is None else setting.shown()

    async def match(self, setting: ReplySetting, question: str) -> Match | None:
        """The annotation that answers the question, or None.

        A model or store that fails is logged and finds nothing: the app answers by itself then, as it would without
        annotations.
        """
        try:
            nearest = await self._index.nearest(setting, question)
        except PlatformUnavailable:
            raise
        except DifyError as exc:
            log.warning("annotations of app %s cannot be searched: %s", setting.app_id, exc)
            return None
        if nearest is None:
            return None
        annotation = await self.repository.find(setting.app_id, nearest[0])
        if annotation is None:  # deleted, and its job still waits
            return None
        author = await self.repository.author(annotation.account_id)
        return Match(annotation=annotation, author=author, score=nearest[1])
