"""Annotations from a CSV file: the rows are written at once, all or none; a job brings them into the index."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio as redis
from dify_kernel.errors import BadInput

from dify_host.annotations.errors import TooManyImports
from dify_host.annotations.job_notes import JobNotes
from dify_host.annotations.records import ReplyJob
from dify_host.annotations.service import AnnotationService
from dify_host.db.outbox import enqueue
from dify_host.db.types import new_id
from dify_host.files.errors import FileTooLarge
from dify_host.knowledge.extract.text import decode
from dify_host.net.limits import RateLimiter
from dify_host.settings import HostSettings

__all__ = ["AnnotationImports", "read_annotations"]

_MEGABYTE: Final = 1024 * 1024
#: How long an import counts as running that nobody has ended.
_LONGEST_SECONDS: Final = 3600


def read_annotations(data: bytes, *, least: int, most: int) -> list[tuple[str, str]]:
    """The questions and answers of a CSV file: its first row is the header, the first two columns are read.

    Blank rows are left out. BadInput names the line that lacks a question or an answer, and says when the rows are
    fewer than `least` or more than `most`.
    """
    found = list(_rows(data))
    if len(found) < least:
        raise BadInput(
            "The CSV file is empty." if not found else f"The CSV file must contain at least {least} annotations.",
            hint="The first row is the header, each further one a question and its answer.",
        )
    if len(found) > most:
        raise BadInput(f"The CSV file contains too many records: at most {most} can be imported at a time.")
    return found


def _rows(data: bytes) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(decode(data), newline=""))
    next(reader, None)
    for row in reader:
        question, answer = (*(text.strip() for text in row[:2]), "", "")[:2]
        if question and answer:
            yield question, answer
        elif question or answer:
            raise BadInput(f"Line {reader.line_num} of the CSV file has no {'answer' if question else 'question'}.")


class AnnotationImports:
    """The imports of one workspace."""

    def __init__(
        self, service: AnnotationService, *, redis: redis.Redis, limiter: RateLimiter, settings: HostSettings
    ) -> None:
        self._service, self._redis, self._limiter, self._settings = service, redis, limiter, settings

    async def begin(self, app_id: str, filename: str, data: bytes, *, account_id: str) -> tuple[str, int]:
        """Write the annotations; returns the id of the job that indexes them, and how many they are.

        BadInput for what is no such file, FileTooLarge, TooManyImports.
        """
        settings = self._settings
        if not filename.lower().endswith(".csv"):
            raise BadInput("Invalid file type. Only CSV files are allowed", field="file")
        largest = settings.annotation_import_file_size_limit
        if len(data) > largest * _MEGABYTE:
            raise FileTooLarge(f"The file is larger than {largest} MB.", field="file")
        await self._count()
        pairs = read_annotations(
            data, least=settings.annotation_import_min_records, most=settings.annotation_import_max_records
        )
        job_id, after = new_id(), new_id()  # ids that are made later are larger
        job = {"tenant_id": self._service.tenant.id, "app_id": app_id, "job_id": job_id, "after": after}
        async with self._entered(job_id):
            await self._notes(app_id).write(ReplyJob(job_id=job_id, job_status="waiting"))
            async with self._service.writing(app_id, pairs, account_id=account_id) as conn:
                await enqueue(conn, "import_annotations", job, queue="dataset")
        return job_id, len(pairs)

    async def status(self, app_id: str, job_id: str) -> ReplyJob:
        """How far a job is; BadInput for an unknown one."""
        return await self._notes(app_id).read(job_id)

    async def run(self, app_id: str, job_id: str, after: str) -> None:
        """The job itself; may run twice. Its error is kept for `status`; one that may pass is raised, to try again."""
        async with self._notes(app_id).working(job_id):
            await self._service.index_behind(app_id, after)
        await self._leave(job_id)

    @asynccontextmanager
    async def _entered(self, job_id: str) -> AsyncIterator[None]:
        """The import is one of those that run, from now on until its job has ended; TooManyImports when it may not."""
        now, limit = time.time(), self._settings.annotation_import_max_concurrent
        async with self._redis.pipeline() as pipe:
            pipe.zremrangebyscore(self._running, 0, now - _LONGEST_SECONDS)
            pipe.zadd(self._running, {job_id: now})
            pipe.zcard(self._running)
            pipe.expire(self._running, _LONGEST_SECONDS)
            _, _, running, _ = await pipe.execute()
        try:
            if running > limit:
                raise TooManyImports(f"At most {limit} files of annotations can be imported at a time.")
            yield
        except BaseException:
            await self._leave(job_id)
            raise

    async def _leave(self, job_id: str) -> None:
        await self._redis.zrem(self._running, job_id)

    @property
    def _running(self) -> str:
        return f"annotation-imports:{self._service.tenant.id}"

    async def _count(self) -> None:
        limits: tuple[tuple[str, int, int], ...] = (
            ("minute", self._settings.annotation_import_rate_limit_per_minute, 60),
            ("hour", self._settings.annotation_import_rate_limit_per_hour, 3600),
        )
        for name, limit, seconds in limits:
            key = f"annotation_import:{name}:{self._service.tenant.id}"
            decision = await self._limiter.hit(key, limit, seconds)
            if not decision.allowed:
                raise TooManyImports(
                    f"At most {limit} files of annotations can be imported in {seconds} seconds.",
                    retry_after=round(decision.retry_after),
                )

    def _notes(self, app_id: str) -> JobNotes:
        return JobNotes(self._redis, f"annotation-import:{self._service.tenant.id}:{app_id}")
