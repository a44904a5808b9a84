"""What can be done with the annotations of an app: write, change, delete, and find the one that answers a question."""

from __future__ import annotations

import logging
from typing import Any

from dify_kernel.errors import DifyError, PlatformUnavailable

from dify_host.annotations.index import AnnotationIndex
from dify_host.annotations.records import Annotation, Match, ReplySetting
from dify_host.annotations.repository import AnnotationRepository, table
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.repository import Page
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id

__all__ = ["AnnotationService"]

log = logging.getLogger(__name__)


class AnnotationService:
    """The annotations of one workspace. Each change writes a job that brings the index to what the row says."""

    def __init__(self, db: Database, tenant: Tenant, index: AnnotationIndex) -> None:
        self._db, self._tenant, self._index = db, tenant, index
        self.repository = AnnotationRepository(db, tenant)

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

    async def update(self, app_id: str, annotation_id: str, question: str, answer: str) -> Annotation:
        """Give an annotation other texts; NotFound."""
        async with self._db.write() as conn:
            await self.repository.get(conn, app_id, annotation_id)
            await self.repository.change(conn, app_id, annotation_id, question, answer)
            await enqueue(conn, "index_annotation", self._job(app_id, annotation_id), queue="dataset")
            return await self.repository.get(conn, app_id, annotation_id)

    async def delete(self, app_id: str, annotation_id: str) -> None:
        """Remove an annotation; NotFound."""
        async with self._db.write() as conn:
            await self.repository.get(conn, app_id, annotation_id)
            await self.repository.delete(conn, app_id, annotation_id)
            await enqueue(conn, "index_annotation", self._job(app_id, annotation_id), queue="dataset")

    def _job(self, app_id: str, annotation_id: str) -> dict[str, str]:
        return {"tenant_id": self._tenant.id, "app_id": app_id, "annotation_id": annotation_id}

    async def index(self, app_id: str, annotation_id: str) -> None:
        """Bring the index to what the row says: the job of every change. Nothing when the app does not use it."""
        setting = await self.repository.setting(app_id)
        if setting is None:
            return
        found = await self.repository.find(app_id, annotation_id)
        if found is None:
            await self._index.remove(setting, annotation_id)
        else:
            await self._index.write(setting, [found])

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
