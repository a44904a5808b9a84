"""Writes a knowledge base into one file, document by document, while it is used."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.knowledge.chunk import text_hash
from dify_host.knowledge.links import Links
from dify_host.knowledge.portable_format import (
    FORMAT,
    VERSION,
    Attachment,
    BaseFile,
    Child,
    DocumentRow,
    Embedding,
    Entry,
    Field,
    FieldValue,
    FileRow,
    Manifest,
    Rule,
    SegmentRow,
    pack_vector,
)
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_metadata_bindings,
    dataset_metadatas,
    dataset_process_rules,
    datasets,
    document_segments,
    documents,
    segment_attachment_bindings,
)
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Exporter"]

T = TypeVar("T", bound=msgspec.Struct)

_PART: Final = 500
_PAGE: Final = 200
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)
Progress = Callable[[int, int], None]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """BadInput for a file that cannot be written: no such folder, no right to, no room."""
    try:
        yield
    except OSError as exc:
        raise BadInput(f"{path} cannot be written: {exc.strerror or exc}.", hint="Choose another place.") from exc


def _check_replaceable(path: Path) -> None:
    """BadInput for what would be replaced and is no file: a device, a pipe."""
    if path.exists() and not path.is_file():
        raise BadInput(f"{path} is no file, and stays what it is.", hint="Choose another place.")


class _Zip:
    """A zip whose entries are counted and hashed as they are written."""

    def __init__(self, path: Path) -> None:
        self.entries: dict[str, Entry] = {}
        self._path = path
        with _writing(path):
            self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True)

    @contextmanager
    def entry(self, name: str, *, packed: bool = True) -> Iterator[Callable[[bytes], None]]:
        info = zipfile.ZipInfo(name, _OLDEST)
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        digest, size = hashlib.sha256(), 0
        stream: IO[bytes]
        with self._zip.open(info, "w", force_zip64=True) as stream:

            def write(data: bytes) -> None:
                nonlocal size
                with _writing(self._path):
                    stream.write(data)
                digest.update(data)
                size += len(data)

            yield write
        self.entries[name] = Entry(size=size, sha256=digest.hexdigest())

    def close(self) -> None:
        self._zip.close()


class Exporter:
    """Exports the knowledge bases of one tenant."""

    def __init__(self, db: Database, tenant: Tenant, storage: Storage, stores: VectorStores) -> None:
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._storage = storage
        self._stores = stores

    async def run(
        self, dataset_id: str, path: Path, *, files: bool = True, progress: Progress | None = None
    ) -> dict[str, int]:
        """Write a knowledge base to `path`, which appears when it is whole; returns the counts of the manifest.

        Each document is written as it is at its turn. BadInput for an external knowledge base.
        """
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
        if dataset.provider == "external":
            raise BadInput(f"Knowledge base {dataset.name} is external: its content is elsewhere.", id=dataset_id)
        _check_replaceable(path)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            archive = _Zip(unfinished)
            try:
                counts = await _Export(self, dataset.searched, archive, files, progress).run()
            finally:
                archive.close()
            with _writing(path):
                os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        return counts


class _Export:
    """One export."""

    def __init__(
        self, parts: Exporter, dataset: Dataset, archive: _Zip, files: bool, progress: Progress | None
    ) -> None:
        self._rows, self._links = parts._rows, parts._links
        self._storage, self._stores = parts._storage, parts._stores
        self._dataset = dataset
        self._zip = archive
        self._with_files = files
        self._progress = progress
        self._counts = dict.fromkeys(("documents", "segments", "children", "vectors", "files"), 0)
        self._uploads: dict[str, None] = {}

    async def run(self) -> dict[str, int]:
        with self._zip.entry("dataset.json") as write:
            write(msgspec.json.encode(await self._base()))
        async with self._rows.db.read() as conn:
            query = self._rows.scoped_select(documents, documents.c.id).where(
                documents.c.dataset_id == self._dataset.id
            )
            ids = list((await conn.execute(query.order_by(documents.c.position, documents.c.id))).scalars())
        part = done = 0
        while done < len(ids):
            part += 1
            nodes: dict[str, str] = {}
            with self._zip.entry(f"parts/{part:06}.jsonl") as write:
                begun = self._counts["segments"]
                while done < len(ids) and self._counts["segments"] - begun < _PART:
                    async for line in self._document(ids[done], nodes):
                        write(line)
                    done += 1
            await self._vectors(part, nodes)
            if self._progress is not None:
                self._progress(done, len(ids))
        if self._with_files:
            await self._files()
        self._manifest()
        return self._counts

    def _manifest(self) -> None:
        dataset, index = self._dataset, self._dataset.index
        embedding = None
        if index is not None and dataset.embedding_model and dataset.embedding_model_provider:
            embedding = Embedding(
                provider=dataset.embedding_model_provider, model=dataset.embedding_model, dimension=index.dimension
            )
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            created_at=utc_now(),
            name=dataset.name,
            embedding=embedding,
            counts=self._counts,
            entries=dict(self._zip.entries),
        )
        with self._zip.entry("manifest.json") as write:
            write(msgspec.json.encode(manifest))

    async def _base(self) -> BaseFile:
        rules, fields, mine = dataset_process_rules, dataset_metadatas, self._dataset.id
        owned = self._rows.reached_through(rules.c.dataset_id, root=datasets)
        async with self._rows.db.read() as conn:
            query = sa.select(*_columns(rules, Rule)).where(owned, rules.c.dataset_id == mine)
            written = [to_struct(row, Rule) for row in await conn.execute(query.order_by(rules.c.id))]
            kept = await self._select(conn, Field, fields)
        names = [name for name in BaseFile.__struct_fields__ if name not in ("rules", "fields")]
        return BaseFile(**{name: getattr(self._dataset, name) for name in names}, rules=written, fields=kept)

    # -- rows --------------------------------------------------------------------------------------------------

    async def _document(self, document_id: str, nodes: dict[str, str]) -> AsyncIterator[bytes]:
        """The lines of a document; none when it was deleted meanwhile. `nodes` gets its records and their hashes."""
        async with self._rows.db.read() as conn:
            found = await self._select(conn, DocumentRow, documents, documents.c.id == document_id)
            if not found:
                return
            yield self._line(self._shown(found[0]))
            self._counts["documents"] += 1
            bound = dataset_metadata_bindings
            for value in await self._select(conn, FieldValue, bound, bound.c.document_id == document_id):
                yield self._line(value)
        after = (-1, _FIRST_ID)
        while True:
            async with self._rows.db.read() as conn:
                lines, after = await self._segments(conn, document_id, after, nodes)
            if not lines:
                return
            for line in lines:
                yield line

    async def _segments(
        self, conn: AsyncConnection, document_id: str, after: tuple[int, str], nodes: dict[str, str]
    ) -> tuple[list[bytes], tuple[int, str]]:
        """The lines of the next segments and of what belongs to them, and where they end."""
        mine, position, id = document_segments, document_segments.c.position, document_segments.c.id
        beyond = sa.or_(position > after[0], sa.and_(position == after[0], id > after[1]))
        query = self._rows.scoped_select(mine, *_columns(mine, SegmentRow)).where(
            mine.c.document_id == document_id, beyond
        )
        rows = (await conn.execute(query.order_by(position, id).limit(_PAGE))).all()
        segments = [to_struct(row, SegmentRow) for row in rows]
        ids = [segment.id for segment in segments]
        children = await self._select(conn, Child, child_chunks, child_chunks.c.segment_id.in_(ids))
        held = segment_attachment_bindings
        attachments = await self._select(conn, Attachment, held, held.c.segment_id.in_(ids)) if self._with_files else []
        self._uploads.update(dict.fromkeys(attachment.attachment_id for attachment in attachments))
        parents = {child.segment_id for child in children}
        alone = [segment for segment in segments if segment.id not in parents]
        items: list[SegmentRow | Child] = [*children, *alone]
        for item in items:
            nodes[item.index_node_id or item.id] = item.index_node_hash or text_hash(item.content)
        self._counts["segments"] += len(segments)
        self._counts["children"] += len(children)
        last = (segments[-1].position, segments[-1].id) if segments else after
        return [self._line(item) for item in (*segments, *children, *attachments)], last

    async def _select(
        self, conn: AsyncConnection, kind: type[T], table: sa.Table, *conditions: sa.ColumnElement[bool]
    ) -> list[T]:
        query = self._rows.scoped_select(table, *_columns(table, kind)).where(
            table.c.dataset_id == self._dataset.id, *conditions
        )
        return [to_struct(row, kind) for row in await conn.execute(query.order_by(table.c.id))]

    def _shown(self, document: DocumentRow) -> DocumentRow:
        """The document as it is written: without what points to files that are left out."""
        info = dict(document.data_source_info or {})
        named = [document.file_id, info.get("upload_file_id")]
        if self._with_files:
            self._uploads.update(dict.fromkeys(id for id in named if isinstance(id, str)))
            return document
        info.pop("upload_file_id", None)
        kept = info if document.data_source_info is not None else None
        return msgspec.structs.replace(document, file_id=None, data_source_info=kept)

    @staticmethod
    def _line(item: Any) -> bytes:
        return msgspec.json.encode(item) + b"\n"

    # -- vectors and files -------------------------------------------------------------------------------------

    async def _vectors(self, part: int, nodes: dict[str, str]) -> None:
        """The vectors of these records, as far as they are of the texts that were written."""
        index = self._dataset.index
        if index is None or index.space is None or not nodes:
            return
        store = await self._stores.ready(index.store, index.space)
        ids: Sequence[str] = list(nodes)
        with self._zip.entry(f"vectors/{part:06}.bin", packed=False) as write:
            for start in range(0, len(ids), _PAGE):
                for record in await store.get(index.space, self._dataset.id, ids[start : start + _PAGE]):
                    if record.metadata.get("doc_hash") == nodes[record.id]:
                        write(pack_vector(record.id, record.vector))
                        self._counts["vectors"] += 1

    async def _files(self) -> None:
        """The uploaded files that rows point to; one whose bytes are gone is left out."""
        ids, written = list(self._uploads), []
        for start in range(0, len(ids), _PAGE):
            async with self._rows.db.read() as conn:
                uploads = await self._links.uploads(conn, ids[start : start + _PAGE])
            for upload in uploads:
                if not await self._storage.exists(upload.key):
                    continue
                with self._zip.entry(f"files/{upload.id}") as write:
                    async for piece in self._storage.stream(upload.key):
                        write(piece)
                size = self._zip.entries[f"files/{upload.id}"].size
                named = {name: getattr(upload, name) for name in ("id", "name", "extension", "mime_type")}
                written.append(FileRow(**named, size=size))
        with self._zip.entry("files.jsonl") as write:
            for row in written:
                write(self._line(row))
        self._counts["files"] = len(written)


def _columns(table: sa.Table, kind: type[msgspec.Struct]) -> list[sa.Column[Any]]:
    return [table.c[name] for name in kind.__struct_fields__]
