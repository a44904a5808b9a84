"""Segments from a CSV file, as a job: a row each, behind those that a document has."""

from __future__ import annotations

import csv
import io
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import msgspec
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound
from redis.asyncio import Redis

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.errors import DocumentNotFound, UnsupportedFileType
from dify_host.knowledge.extract.text import decode
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.patience import Patience
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.segments import NewSegment, SegmentService, refuse_unready
from dify_host.knowledge.tasks import IMPORT, Task, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["ImportStatus", "SegmentImport", "SegmentImporter", "read_rows"]

_GROUP: Final = 100
_REMEMBERED: Final = timedelta(days=1)


class ImportStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An import: waiting, processing, completed or error, and then why."""

    job_id: str
    job_status: str
    error: str | None = None


def read_rows(data: bytes, doc_form: str) -> list[NewSegment]:
    """The segments of a CSV file: its first row is the header, the first column the content or the question.

    A question's answer is the second column. Rows without a content are left out. BadInput names the row that lacks
    an answer, and says when there is nothing in the file.
    """
    found = list(_rows(data, doc_form))
    if not found:
        raise BadInput("The CSV file is empty.", hint="The first row is the header, each further one a segment.")
    return found


def _rows(data: bytes, doc_form: str) -> Iterator[NewSegment]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(decode(data), newline=""))
    next(reader, None)
    for row in reader:
        content = row[0].strip() if row else ""
        if not content:
            continue
        answer = row[1].strip() if len(row) > 1 else ""
        if doc_form == "qa_model" and not answer:
            raise BadInput(f"Line {reader.line_num} of the CSV file has no answer.", hint="It is the second column.")
        yield NewSegment(content=content, answer=answer if doc_form == "qa_model" else None)


class SegmentImport:
    """Begins imports for one tenant, and tells how far they are."""

    def __init__(self, rows: KnowledgeRepository, tasks: Tasks, links: Links, redis: Redis) -> None:
        self._rows = rows
        self._tasks = tasks
        self._links = links
        self._redis = redis

    async def begin(self, dataset_id: str, document_id: str, upload_file_id: str, user_id: str) -> ImportStatus:
        """Queue the import of an uploaded file; UnsupportedFileType unless its name ends with .csv."""
        job_id = new_id()
        async with self._rows.db.write() as conn:
            await self._rows.dataset(conn, dataset_id)
            refuse_unready(await self._rows.document(conn, dataset_id, document_id))
            upload = await self._links.upload(conn, upload_file_id)
            if upload.extension.lower() != "csv":
                raise UnsupportedFileType("Invalid file type. Only CSV files are allowed")
            payload = {"document_id": document_id, "upload_file_id": upload.id, "user_id": user_id}
            await self._tasks.add(conn, IMPORT, dataset_id, [job_id], payload)
        return ImportStatus(job_id=job_id, job_status="waiting")

    async def status(self, job_id: str) -> ImportStatus:
        """How far an import is; NotFound for an unknown one. A completed one is known for a day."""
        async with self._rows.db.read() as conn:
            task = (await self._tasks.of(conn, IMPORT, [job_id])).get(job_id)
        if task is not None:
            status = "error" if task.error else "waiting" if task.slot is None else "processing"
            return ImportStatus(job_id=job_id, job_status=status, error=task.error)
        if await self._redis.get(_key(self._rows.tenant, job_id)) is None:
            raise NotFound("The job does not exist.", job_id=job_id)
        return ImportStatus(job_id=job_id, job_status="completed")


class SegmentImporter:
    """Does imports, of every tenant: a handler for `TurnRunner`."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        stores: VectorStores,
        models: Callable[[Tenant], ModelsPort],
        redis: Redis,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._db = db
        self._storage = storage
        self._stores = stores
        self._models = models
        self._redis = redis
        self._patience = patience or Patience()

    async def task(self, task: Task, until: float) -> bool:
        """Add the segments of the file, a hundred at a time; what was added already is not added again."""
        tenant = Tenant(task.tenant_id)
        rows = KnowledgeRepository(self._db, tenant)
        wish = task.payload or {}
        async with self._db.read() as conn:
            try:
                document = await rows.document(conn, task.dataset_id, wish["document_id"])
            except DocumentNotFound:  # nobody can ask how it ended
                return True
            upload = await Links(self._db, tenant).upload(conn, wish["upload_file_id"])
        found = read_rows(await self._storage.load(upload.key), document.doc_form)
        writer = IndexWriter(rows, self._stores, self._models(tenant), patience=self._patience)
        service = SegmentService(self._db, tenant, writer)
        for start in range(0, len(found), _GROUP):
            group = found[start : start + _GROUP]
            # The ids come from the job and the row, so what an earlier try has added is known.
            ids = [str(uuid.uuid5(uuid.UUID(task.target_id), str(start + at))) for at in range(len(group))]
            await service.create(task.dataset_id, document.id, group, wish["user_id"], ids=ids)
        await self._redis.set(_key(tenant, task.target_id), "completed", ex=_REMEMBERED)
        return True


def _key(tenant: Tenant, job_id: str) -> str:
    return f"segment_batch_import_{tenant.id}_{job_id}"
