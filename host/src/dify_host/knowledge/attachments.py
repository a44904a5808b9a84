"""Uploaded files that belong to segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dify_kernel.errors import BadInput, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import new_id
from dify_host.knowledge.links import Links
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import segment_attachment_bindings as bindings

__all__ = ["MOST_ATTACHMENTS", "Attachments"]

#: How many a segment may have.
MOST_ATTACHMENTS: Final = 10


class Attachments:
    """The attachments of one tenant's segments."""

    def __init__(self, rows: KnowledgeRepository) -> None:
        self._rows = rows
        self._links = Links(rows.db, rows.tenant)

    async def bind(
        self, conn: AsyncConnection, dataset_id: str, document_id: str, segment_id: str, ids: Sequence[str]
    ) -> None:
        """Make these the attachments of a segment; BadInput for more than ten, NotFound for what was not uploaded."""
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > MOST_ATTACHMENTS:
            raise BadInput(f"A segment may have {MOST_ATTACHMENTS} attachments.", segment_id=segment_id)
        known = {upload.id for upload in await self._links.uploads(conn, wanted)} if wanted else set()
        if missing := [attachment for attachment in wanted if attachment not in known]:
            raise NotFound("File not found.", hint="Upload it first.", upload_file_id=missing[0])
        await conn.execute(self._rows.scoped_delete(bindings).where(bindings.c.segment_id == segment_id))
        place = {"dataset_id": dataset_id, "document_id": document_id, "segment_id": segment_id}
        if wanted:
            rows = [{"id": new_id(), **place, "attachment_id": attachment} for attachment in wanted]
            await conn.execute(self._rows.scoped_insert(bindings, rows))

    async def shown(self, conn: AsyncConnection, segment_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The attachments by segment, in the order in which they were bound; a segment without any is absent.

        `source_url` is empty.
        """
        query = self._rows.scoped_select(bindings, bindings.c.segment_id, bindings.c.attachment_id)
        bound = (await conn.execute(query.where(bindings.c.segment_id.in_(segment_ids)).order_by(bindings.c.id))).all()
        ids = sorted({row.attachment_id for row in bound})
        uploads = {upload.id: upload for upload in await self._links.uploads(conn, ids)} if ids else {}
        found: dict[str, list[dict[str, Any]]] = {}
        for row in bound:
            if (upload := uploads.get(row.attachment_id)) is not None:
                named = {name: getattr(upload, name) for name in ("id", "name", "size", "extension", "mime_type")}
                found.setdefault(row.segment_id, []).append({**named, "source_url": ""})
        return found
