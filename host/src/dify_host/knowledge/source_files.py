"""The files behind documents: texts are kept as files too, and a file goes when no document needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dify_kernel.contracts.storage import Storage

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.links import Links
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents

__all__ = ["SourceFiles"]

_GROUP = 500


class SourceFiles:
    """The source files of one tenant's documents."""

    def __init__(self, db: Database, tenant: Tenant, storage: Storage) -> None:
        self._db = db
        self._tenant = tenant
        self._storage = storage
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)

    async def keep_text(self, name: str, text: str, user_id: str) -> str:
        """Store a text like an uploaded file, and return its id."""
        upload_id = new_id()
        data = text.encode("utf-8", "replace")
        key = f"upload_files/{self._tenant.id}/{upload_id}.txt"
        await self._storage.save(key, data)
        values = {
            "id": upload_id,
            "storage_type": "",
            "key": key,
            "name": name,
            "size": len(data),
            "extension": "txt",
            "mime_type": "text/plain",
            "created_by": user_id,
        }
        await self._db.write_inline(lambda conn: self._links.add_upload(conn, values))
        return upload_id

    @asynccontextmanager
    async def unless_refused(self, upload_id: str) -> AsyncIterator[None]:
        """Within it, an error deletes the file, unless a document has it by then."""
        try:
            yield
        except Exception:
            await self.drop_unused([upload_id])
            raise

    async def drop_unused(self, upload_ids: Sequence[str | None]) -> None:
        """Delete those of the files that no document has any more, rows before bytes."""
        ids = sorted({upload_id for upload_id in upload_ids if upload_id})
        for start in range(0, len(ids), _GROUP):
            group = ids[start : start + _GROUP]
            async with self._db.write() as conn:
                query = self._rows.scoped_select(documents, documents.c.file_id).where(documents.c.file_id.in_(group))
                used = set((await conn.execute(query)).scalars())
                gone = await self._links.uploads(conn, [upload_id for upload_id in group if upload_id not in used])
                await self._links.drop_uploads(conn, [upload.id for upload in gone])
            for upload in gone:
                await self._storage.delete(upload.key)
