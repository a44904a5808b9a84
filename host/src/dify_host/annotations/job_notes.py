"""How far a job on annotations is: it stands in Redis for a day, for whichever process is asked."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import redis.asyncio as redis
from dify_kernel.errors import BadInput, DifyError

from dify_host.annotations.records import ReplyJob

__all__ = ["JobNotes"]

log = logging.getLogger(__name__)

_KEPT: Final = 86_400  # seconds


class JobNotes:
    """The notes of the jobs of one kind; `prefix` sets them apart from others."""

    def __init__(self, redis: redis.Redis, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix

    async def write(self, job: ReplyJob) -> None:
        """Keep how far a job is."""
        await self._redis.set(self._key(job.job_id), msgspec.json.encode(job), ex=_KEPT)

    async def read(self, job_id: str) -> ReplyJob:
        """How far a job is; BadInput for an unknown one."""
        text = await self._redis.get(self._key(job_id))
        if text is None:
            raise BadInput("The job does not exist.", job_id=job_id)
        return msgspec.json.decode(text, type=ReplyJob)

    @asynccontextmanager
    async def working(self, job_id: str) -> AsyncIterator[None]:
        """The job is at work inside. Its error is kept; one that may pass is raised, to try again."""
        await self.write(ReplyJob(job_id=job_id, job_status="processing"))
        try:
            yield
        except DifyError as exc:
            await self.write(ReplyJob(job_id=job_id, job_status="error", error_msg=exc.description))
            if exc.retryable:
                raise
            log.warning("The job %s failed: %s", self._key(job_id), exc)
        else:
            await self.write(ReplyJob(job_id=job_id, job_status="completed"))

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}:{job_id}"
