"""Pictures that were read out of documents: kept as uploaded files, and named by links in the text."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa
from dify_kernel.contracts.storage import Storage

from dify_host.db.engine import Database
from dify_host.db.statements import put_missing
from dify_host.db.tenant import Tenant
from dify_host.files.tables import upload_files
from dify_host.knowledge.document_run import Stopped
from dify_host.knowledge.extract.extractor import Illustrated
from dify_host.knowledge.extract.pictures import Picture, placed
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents, segment_attachment_bindings

__all__ = ["DocumentPictures", "pictures_in", "signed"]

_LINK: Final = re.compile(r"/files/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/file-preview(?!\?)")
_GROUP: Final = 500


def pictures_in(text: str) -> list[str]:
    """The ids of the files whose links stand in a text, each once, in order."""
    return list(dict.fromkeys(_LINK.findall(text)))


def signed(text: str, addresses: Mapping[str, str]) -> str:
    """The text with the addresses of these files, by their ids, in the place of links to them; others stay."""
    return _LINK.sub(lambda found: addresses.get(found[1], found[0]), text)


async def linked_pictures(
    rows: KnowledgeRepository, sign: Callable[[str], str], texts: Mapping[str, str]
) -> dict[str, str]:
    """Texts of segments, by their ids, with addresses in the place of links to pictures that are attached to them.

    Those without such a link are not among them, and cost nothing.
    """
    named = {segment_id: found for segment_id, text in texts.items() if (found := pictures_in(text))}
    if not named:
        return {}
    held = segment_attachment_bindings
    query = rows.scoped_select(held, held.c.segment_id, held.c.attachment_id).where(held.c.segment_id.in_(named))
    addresses: dict[str, dict[str, str]] = {}
    async with rows.db.read() as conn:
        for row in await conn.execute(query):
            addresses.setdefault(row.segment_id, {})[row.attachment_id] = sign(row.attachment_id)
    return {segment_id: signed(texts[segment_id], known) for segment_id, known in addresses.items()}


class DocumentPictures:
    """The pictures of one tenant's documents. Their keys begin with the dataset's and the document's id."""

    def __init__(self, db: Database, tenant: Tenant, storage: Storage) -> None:
        self._db = db
        self._tenant = tenant
        self._storage = storage
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)

    async def keep(
        self, document: Document, read: Illustrated, fetched: Mapping[str, Picture]
    ) -> tuple[list[str], set[str]]:
        """Store the pictures, forget those of an earlier reading; returns the texts with links to them, and their ids.

        `fetched` are pictures that the document links to, by the digests in its texts; the others keep their address.
        The same picture of a document has the same id, so that reading it again doubles nothing. Stopped when the
        document was deleted meanwhile.
        """
        links = {item.digest: item.address for item in read.linked}
        kept: set[str] = set()
        for name, picture in [*((picture.digest, picture) for picture in read.pictures), *fetched.items()]:
            upload_id = str(uuid.uuid5(uuid.UUID(document.id), picture.digest))
            if upload_id not in kept:
                await self._store(document, upload_id, picture)
                kept.add(upload_id)
            links[name] = f"/files/{upload_id}/file-preview"
        if kept or await self._had(document):
            await self.drop(document.dataset_id, document.id, but=kept)
        return [placed(text.text, links) for text in read.texts], kept

    async def _store(self, document: Document, upload_id: str, picture: Picture) -> None:
        key = f"{self._folder(document.dataset_id, document.id)}{upload_id}.{picture.extension}"
        await self._storage.save(key, picture.data)
        if not await self._db.run_write(lambda conn: self._recorded(conn, document, upload_id, key, picture)):
            raise Stopped

    async def drop(self, dataset_id: str, document_id: str = "", *, but: set[str] | None = None) -> None:
        """Delete the pictures of a document, or of all of a dataset, except some; rows before bytes."""
        keys = [entry.key async for entry in self._storage.scan(self._folder(dataset_id, document_id))]
        gone = {key: key.rpartition("/")[2].partition(".")[0] for key in keys}
        gone = {key: upload_id for key, upload_id in gone.items() if upload_id not in (but or ())}
        ids = sorted(gone.values())
        for start in range(0, len(ids), _GROUP):
            async with self._db.write() as conn:
                await self._links.drop_uploads(conn, ids[start : start + _GROUP])
        for key in gone:
            await self._storage.delete(key)

    async def _had(self, document: Document) -> bool:
        """Whether segments of the document have pictures; so that most documents cost the storage nothing."""
        held = segment_attachment_bindings
        query = self._rows.scoped_select(held, held.c.id).where(held.c.document_id == document.id).limit(1)
        return await self._db.run_read(lambda conn: conn.execute(query).one_or_none() is not None)

    def _folder(self, dataset_id: str, document_id: str = "") -> str:
        parts = ["image_files", self._tenant.id, dataset_id, *([document_id] if document_id else [])]
        return "/".join(parts) + "/"

    def _recorded(self, conn: sa.Connection, document: Document, upload_id: str, key: str, picture: Picture) -> bool:
        """Write the row of a picture, while the document is there."""
        mine = self._rows.scoped_select(documents, documents.c.id).where(documents.c.id == document.id)
        if conn.execute(mine.with_for_update()).one_or_none() is None:
            return False
        row = {
            "id": upload_id,
            "tenant_id": self._tenant.id,
            "storage_type": "",
            "key": key,
            "name": f"image.{picture.extension}",
            "size": len(picture.data),
            "extension": picture.extension,
            "mime_type": f"image/{'jpeg' if picture.extension == 'jpg' else picture.extension}",
            "created_by": document.created_by,
            "used": True,
        }
        put_missing(conn, upload_files, [row], key=["id"])
        return True
