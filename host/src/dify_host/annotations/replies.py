"""Switches an app's annotation reply on and off: a job that indexes its annotations, and how far it is.

What a job achieved stands in the database.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import redis.asyncio as redis
import sqlalchemy as sa
from dify_kernel.errors import NotFound

from dify_host.annotations.index import AnnotationIndex
from dify_host.annotations.job_notes import JobNotes
from dify_host.annotations.records import ReplyJob, ReplySetting
from dify_host.annotations.repository import AnnotationRepository, settings
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.statements import upsert
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.spaces import bind_collection
from dify_host.models.pool import provider_name

__all__ = ["Action", "AnnotationReplies", "ReplyWish", "forget_annotations"]

Action = Literal["enable", "disable"]
_BUSY: Final = 3_600  # seconds in which a job that is lost holds up the next
_PAGE: Final = 200
_PREFIX: Final = "Annotations"


class ReplyWish(msgspec.Struct, frozen=True, kw_only=True):
    """How an app is to answer with its annotations."""

    score_threshold: float
    provider: str
    model: str


class AnnotationReplies:
    """The annotation replies of one workspace's apps."""

    def __init__(self, db: Database, tenant: Tenant, index: AnnotationIndex, *, store: str, redis: redis.Redis) -> None:
        self._db, self._tenant, self._index = db, tenant, index
        self._store, self._redis = store, redis
        self._repository = AnnotationRepository(db, tenant)

    async def start(self, app_id: str, action: Action, wish: ReplyWish, *, account_id: str) -> ReplyJob:
        """Write the job; while one of the app is under way that one is told instead."""
        job_id = new_id()
        if not await self._redis.set(self._busy(app_id), job_id, nx=True, ex=_BUSY):
            running = await self._redis.get(self._busy(app_id))
            if running is not None:
                running_id = running if isinstance(running, str) else running.decode()
                return ReplyJob(job_id=running_id, job_status="processing")
        await self._notes(app_id, action).write(ReplyJob(job_id=job_id, job_status="waiting"))
        args = {"tenant_id": self._tenant.id, "app_id": app_id, "action": action, "job_id": job_id}
        args |= {"account_id": account_id, "wish": msgspec.to_builtins(wish)}
        async with self._db.write() as conn:
            await enqueue(conn, "annotation_reply", args, queue="dataset")
        return ReplyJob(job_id=job_id, job_status="waiting")

    async def status(self, app_id: str, action: Action, job_id: str) -> ReplyJob:
        """How far a job is; BadInput for an unknown one."""
        return await self._notes(app_id, action).read(job_id)

    async def run(self, app_id: str, action: Action, wish: ReplyWish, *, account_id: str, job_id: str) -> None:
        """The job itself; may run twice. Its error is kept for `status`; one that may pass is raised, to try again."""
        try:
            async with self._notes(app_id, action).working(job_id):
                if action == "enable":
                    await self._enable(app_id, wish, account_id)
                else:
                    await self._disable(app_id)
        finally:
            if await self._redis.get(self._busy(app_id)) == job_id.encode():
                await self._redis.delete(self._busy(app_id))

    async def _enable(self, app_id: str, wish: ReplyWish, account_id: str) -> None:
        former = await self._repository.setting(app_id)
        provider = provider_name(wish.provider)
        dimension = await self._index.dimension(provider, wish.model)
        async with self._db.write() as conn:
            if (await conn.execute(self._app(app_id))).first() is None:
                return  # deleted meanwhile
            binding, index = await bind_collection(
                conn, provider, wish.model, store=self._store, prefix=_PREFIX, type="annotation"
            )
            index = msgspec.structs.replace(index, dimension=dimension)
            row = {
                "id": new_id(),
                "app_id": app_id,
                "score_threshold": wish.score_threshold,
                "collection_binding_id": binding,
                "index_struct": index.stored(),
                "created_user_id": account_id,
                "updated_user_id": account_id,
                "created_at": utc_now(),
                "updated_at": utc_now(),
            }
            changed = ["score_threshold", "collection_binding_id", "index_struct", "updated_user_id"]
            await upsert(conn, settings, [row], key=["app_id"], update=changed)
        if former is not None and former.index != index:
            await self._index.clear(former.index, app_id)
        setting = await self._repository.setting(app_id)
        if setting is not None:
            await self._fill(setting)

    async def set_threshold(self, app_id: str, setting_id: str, threshold: float, account_id: str) -> None:
        """From which similarity on the app answers with its annotations; NotFound when it does not, or by another."""
        owned = self._repository.reached_through(settings.c.app_id, root=apps)
        change = settings.update().where(settings.c.app_id == app_id, settings.c.id == setting_id, owned)
        values = {"score_threshold": threshold, "updated_user_id": account_id, "updated_at": utc_now()}
        async with self._db.write() as conn:
            if (await conn.execute(change.values(values))).rowcount == 0:
                raise NotFound("App annotation not found", app_id=app_id)

    async def _fill(self, setting: ReplySetting) -> None:
        last_id = None
        while page := await self._repository.behind(setting.app_id, last_id, _PAGE):
            await self._index.write(setting, page)
            last_id = page[-1].id

    async def _disable(self, app_id: str) -> None:
        setting = await self._repository.setting(app_id)
        if setting is None:
            return
        async with self._db.write() as conn:
            owned = self._repository.reached_through(settings.c.app_id, root=apps)
            await conn.execute(settings.delete().where(settings.c.app_id == app_id, owned))
        await self._index.clear(setting.index, app_id)

    def _app(self, app_id: str) -> sa.Select[tuple[str]]:
        return self._repository.scoped_select(apps, apps.c.id).where(apps.c.id == app_id)

    def _notes(self, app_id: str, action: Action) -> JobNotes:
        return JobNotes(self._redis, f"annotation-reply:{self._tenant.id}:{app_id}:{action}")

    def _busy(self, app_id: str) -> str:
        return f"annotation-reply:{self._tenant.id}:{app_id}"


async def forget_annotations(db: Database, index: AnnotationIndex, app_id: str) -> None:
    """Take the annotations of an app that is gone out of the index, and its setting with them."""
    async with db.read() as conn:
        stored = (await conn.execute(sa.select(settings.c.index_struct).where(settings.c.app_id == app_id))).scalar()
    found = IndexStruct.read(stored)
    if found is not None:
        await index.clear(found, app_id)
    async with db.write() as conn:
        await conn.execute(settings.delete().where(settings.c.app_id == app_id))
