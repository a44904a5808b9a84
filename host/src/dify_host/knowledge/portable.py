"""Makes a knowledge base of a file that was exported, here or elsewhere.

The row of the knowledge base is written last: what an import that was cut off has left is seen by nobody. The same
import finds it again, as its ids are made of the file's; without one a daily job takes it out. Vectors come from the
file when the base keeps their model; otherwise its documents are given to the indexing job.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.model import ModelType
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import DifyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.statements import put_many
from dify_host.db.tenant import Tenant
from dify_host.knowledge.chunk import text_hash
from dify_host.knowledge.errors import DatasetNameDuplicate, ImportCutOff, ProviderNotInitialize
from dify_host.knowledge.import_marks import ImportMark, take_back
from dify_host.knowledge.index_writer import IndexWriter, Node, record_of
from dify_host.knowledge.links import Links
from dify_host.knowledge.pictures import signed
from dify_host.knowledge.portable_format import (
    Attachment,
    BaseFile,
    Child,
    DocumentRow,
    Embedding,
    FieldValue,
    SegmentRow,
)
from dify_host.knowledge.portable_read import Archive
from dify_host.knowledge.records import Dataset, IndexStruct, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.spaces import bind_collection
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
from dify_host.knowledge.tasks import INDEX, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Imported", "Importer"]

_IDS: Final = uuid.UUID("5f1d3a52-6a1b-4d0e-9a53-0c0f4f7f3c11")
_ENDED: Final = ("completed", "error")
Progress = Callable[[int, int], None]
Model = tuple[str, str]


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file: `counts` of it, `to_index` documents that the indexing job has to see."""

    id: str
    name: str
    counts: dict[str, int]
    model: str | None
    to_index: int


class Importer:
    """Imports knowledge bases for one tenant; `default` is the (provider, model) for a file whose model is not here."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        storage: Storage,
        stores: VectorStores,
        models: ModelsPort,
        *,
        settings: KnowledgeSettings | None = None,
        default: Model | None = None,
    ) -> None:
        self.rows = KnowledgeRepository(db, tenant)
        self.storage = storage
        self.stores = stores
        self.settings = settings or KnowledgeSettings()
        self.tasks = Tasks(db, tenant, slots=self.settings.tenant_isolated_task_concurrency)
        self.models = models
        self._default = default

    async def run(
        self,
        path: Path,
        user_id: str,
        *,
        name: str | None = None,
        model: Model | None = None,
        progress: Progress | None = None,
    ) -> Imported:
        """Import a file under its name or another, with its embedding model or another (provider, model).

        PortableFileRefused before anything is written; DatasetNameDuplicate; ProviderNotInitialize without a model.
        When something else fails, what was written is taken back.
        """
        with Archive(path) as archive:
            held = archive.check()
            base = archive.base()
            chosen = await self._model(base, archive.manifest.embedding, model)
            target = await self._target(archive, (name or base.name)[:40])
            work = _Import(self, archive, base, target, user_id, chosen, held)
            await work.forget()  # of an import that was cut off
            try:
                return await work.run(progress)
            except ImportCutOff:
                raise  # what is there is another's now
            except BaseException:
                await work.forget()
                raise

    async def _target(self, archive: Archive, name: str) -> _Target:
        """The name and the source of ids: the same for the same file and name, until that import has succeeded."""
        async with self.rows.db.read() as conn:
            await self.refuse_duplicate(conn, name)
            for attempt in range(1000):
                seed = uuid.uuid5(_IDS, f"{self.rows.tenant.id} {archive.digest} {attempt} {name}")
                query = self.rows.scoped_select(datasets, datasets.c.id)
                if (await conn.execute(query.where(datasets.c.id == str(seed)))).one_or_none() is None:
                    return _Target(name, seed)
        raise DatasetNameDuplicate("This file was imported a thousand times.", hint="Give another --name.", name=name)

    async def refuse_duplicate(self, conn: AsyncConnection, name: str) -> None:
        """DatasetNameDuplicate when the tenant has a knowledge base of the name."""
        query = self.rows.scoped_select(datasets, datasets.c.id).where(datasets.c.name == name).limit(1)
        if (await conn.execute(query)).one_or_none() is not None:
            raise DatasetNameDuplicate(f"There is a knowledge base {name!r}.", hint="Give another --name.", name=name)

    async def _model(self, base: BaseFile, held: Embedding | None, wanted: Model | None) -> Model | None:
        if base.indexing_technique != "high_quality":
            return None
        if wanted is not None:
            return wanted
        own = (held.provider, held.model) if held else None
        if own is not None:
            try:
                await self.models.describe(*own, ModelType.TEXT_EMBEDDING)
            except DifyError:
                pass  # it is not here
            else:
                return own
        if self._default is None:
            raise ProviderNotInitialize(
                f"The embedding model {'/'.join(own) if own else 'of the file'} is not here, and there is no default.",
                hint="Set the model up, or name one that is here.",
            )
        return self._default


class _Target(msgspec.Struct, frozen=True):
    """The knowledge base to be."""

    name: str
    seed: uuid.UUID

    @property
    def id(self) -> str:
        return str(self.seed)

    def of(self, id: str) -> str:
        """The id that something of the file has here."""
        return str(uuid.uuid5(self.seed, id))

    def maybe(self, id: str | None) -> str | None:
        return self.of(id) if id is not None else None


class _Import:
    """One import of a file that was checked."""

    def __init__(
        self,
        house: Importer,
        archive: Archive,
        base: BaseFile,
        target: _Target,
        user_id: str,
        model: Model | None,
        held: dict[str, set[str]],
    ) -> None:
        self._house, self._rows = house, house.rows
        self._links = Links(house.rows.db, house.rows.tenant)
        self._archive, self._base, self._target = archive, base, target
        self._user_id = user_id
        self._model = model
        self._held = held
        embedding = archive.manifest.embedding
        same = embedding is not None and model == (embedding.provider, embedding.model)
        self._dimension = embedding.dimension if embedding is not None and same else 0
        self._to_index: dict[str, None] = {}  # a part may be written again after a deadlock
        # Links in texts to files that come along.
        self._places = {id: f"/files/{target.of(id)}/file-preview" for id in held["files"]}

    async def run(self, progress: Progress | None) -> Imported:
        """Write everything, the row of the knowledge base last."""
        dataset = await self._dataset()
        parts = self._archive.parts
        mark = ImportMark(self._rows, dataset, self._uploads)
        await mark.set()
        await self._files(mark)
        for done, part in enumerate(parts):
            await mark.alive()
            if progress is not None:
                progress(done, len(parts))
            nodes = await self._rows.db.run_write(partial(self._part, part, dataset))
            await self._vectors(part, dataset, nodes)
        await self._appear(dataset, mark)
        return Imported(
            id=dataset.id,
            name=dataset.name,
            counts=self._archive.manifest.counts,
            model="/".join(self._model) if self._model else None,
            to_index=len(self._to_index),
        )

    async def forget(self) -> None:
        """Take out what was written, unless the knowledge base is there."""
        house = self._house
        await take_back(self._rows, house.storage, house.stores, await self._dataset(), self._uploads)

    @property
    def _uploads(self) -> list[str]:
        return [self._target.of(id) for id in sorted(self._held["files"])]

    # -- the row -----------------------------------------------------------------------------------------------

    async def _bound(self) -> tuple[str | None, IndexStruct | None]:
        if self._model is None:
            return None, None
        prefix, store = self._house.settings.vector_index_name_prefix, self._house.stores.default
        async with self._rows.db.write() as conn:
            binding, index = await bind_collection(conn, *self._model, store=store, prefix=prefix)
        return binding, msgspec.structs.replace(index, dimension=self._dimension)

    async def _dataset(self) -> Dataset:
        """The knowledge base as its row will be."""
        binding, index = await self._bound()
        base, now = self._base, self._archive.manifest.created_at
        same = (
            "description",
            "data_source_type",
            "indexing_technique",
            "keyword_number",
            "retrieval_model",
            "built_in_field_enabled",
            "icon_info",
            "chunk_structure",
            "enable_api",
        )
        return Dataset(
            **{name: getattr(base, name) for name in same},
            id=self._target.id,
            tenant_id=self._rows.tenant.id,
            name=self._target.name,
            provider="vendor",
            # Its members are people of elsewhere.
            permission="only_me" if base.permission == "partial_members" else base.permission,
            index_struct=index.stored() if index else None,
            embedding_model=self._model[1] if self._model else None,
            embedding_model_provider=self._model[0] if self._model else None,
            collection_binding_id=binding,
            runtime_mode="general",
            pipeline_id=None,
            is_multimodal=False,
            created_by=self._user_id,
            updated_by=self._user_id,
            created_at=now,
            updated_at=now,
        )

    async def _appear(self, dataset: Dataset, mark: ImportMark) -> None:
        """Write the row, and what hangs on it alone; ask for the indexing of what is not indexed."""
        new = self._target
        rules = [
            {
                "id": new.of(rule.id),
                "dataset_id": dataset.id,
                "mode": rule.mode,
                "rules": msgspec.to_builtins(rule.rules),
                "created_by": self._user_id,
                "created_at": rule.created_at,
            }
            for rule in self._base.rules
        ]
        mine = {"tenant_id": dataset.tenant_id, "dataset_id": dataset.id, "created_by": self._user_id}
        fields = [
            {"id": new.of(field.id), "type": field.type, "name": field.name, **mine} for field in self._base.fields
        ]
        row = msgspec.structs.asdict(dataset)
        row.pop("created_at"), row.pop("updated_at")
        async with self._rows.db.write() as conn:
            await self._house.refuse_duplicate(conn, dataset.name)
            await mark.done(conn)
            await conn.execute(self._rows.scoped_insert(datasets, row))
            await conn.run_sync(put_many, dataset_process_rules, rules)
            await conn.run_sync(put_many, dataset_metadatas, fields)
            await self._house.tasks.add(conn, INDEX, dataset.id, list(self._to_index))

    # -- rows, vectors, files ----------------------------------------------------------------------------------

    def _part(self, part: str, dataset: Dataset, conn: sa.Connection) -> dict[str, Node]:
        """Write the rows of a part; returns its records by their ids in the file."""
        read = list(self._archive.rows(part))
        children = [row for row in read if isinstance(row, Child)]
        parents = {child.segment_id for child in children}
        waiting = self._waiting(read)
        kept, nodes = [], {}
        for item in (row for row in read if isinstance(row, SegmentRow)):
            segment = self._segment(item, waiting=item.id in waiting)
            kept.append(segment)
            if item.id not in parents:
                nodes[item.index_node_id or item.id] = self._node(item, segment)
        by_id = {segment.id: segment for segment in kept}
        for child in children:
            nodes[child.index_node_id or child.id] = self._node(child, by_id[self._target.of(child.segment_id)])
        unfinished = {row.document_id for row in read if isinstance(row, SegmentRow) and row.id in waiting}
        given = [self._document(row, unfinished) for row in read if isinstance(row, DocumentRow)]
        values = [self._value(row) for row in read if isinstance(row, FieldValue)]
        bound = [self._attachment(row) for row in read if isinstance(row, Attachment)]
        put_many(conn, documents, given)
        put_many(conn, dataset_metadata_bindings, values)
        put_many(conn, document_segments, [msgspec.structs.asdict(segment) for segment in kept])
        put_many(conn, child_chunks, [self._child(child) for child in children])
        put_many(conn, segment_attachment_bindings, [row for row in bound if row])
        if dataset.indexing_technique == "economy":
            writer = IndexWriter(self._rows, self._house.stores, self._house.models)
            writer.write_words(conn, dataset, [segment for segment in kept if segment.status == "completed"])
        return nodes

    def _waiting(self, read: Sequence[Any]) -> set[str]:
        """The ids of completed segments whose vectors are not all in the file, or are of another model."""
        if self._base.indexing_technique != "high_quality":
            return set()
        held = self._held["vectors"] if self._dimension else set()
        by_segment: dict[str, list[str]] = {}
        done = {row.id: row for row in read if isinstance(row, SegmentRow) and row.status == "completed"}
        for row in read:
            if isinstance(row, Child):
                by_segment.setdefault(row.segment_id, []).append(row.index_node_id or row.id)
        return {
            id for id, row in done.items() if not held.issuperset(by_segment.get(id) or [row.index_node_id or row.id])
        }

    def _document(self, row: DocumentRow, unfinished: set[str]) -> dict[str, Any]:
        new, values = self._target, msgspec.structs.asdict(row)
        info = dict(row.data_source_info or {})
        upload = info.pop("upload_file_id", None)
        if upload in self._held["files"]:
            info["upload_file_id"] = new.of(upload)
        status = "indexing" if row.id in unfinished else row.indexing_status
        if status not in _ENDED and not row.is_paused:
            self._to_index[new.of(row.id)] = None
        return values | {
            "id": new.of(row.id),
            "dataset_process_rule_id": new.maybe(row.dataset_process_rule_id),
            "file_id": new.maybe(row.file_id) if row.file_id in self._held["files"] else None,
            "data_source_info": info if row.data_source_info is not None else None,
            "indexing_status": status,
            "paused_by": self._user_id if row.is_paused else None,
            "disabled_by": self._user_id if row.disabled_at else None,
            "archived_by": self._user_id if row.archived else None,
            **self._mine,
        }

    def _segment(self, row: SegmentRow, *, waiting: bool) -> Segment:
        node = self._target.of(row.index_node_id or row.id)
        values = msgspec.structs.asdict(row) | {
            "id": self._target.of(row.id),
            "document_id": self._target.of(row.document_id),
            "content": signed(row.content, self._places),
            "index_node_id": node,
            "status": "waiting" if waiting else row.status,
            "disabled_by": self._user_id if row.disabled_at else None,
            "updated_by": self._user_id,
            **self._mine,
        }
        return Segment(**values)

    def _child(self, row: Child) -> dict[str, Any]:
        return msgspec.structs.asdict(row) | {
            "id": self._target.of(row.id),
            "document_id": self._target.of(row.document_id),
            "segment_id": self._target.of(row.segment_id),
            "content": signed(row.content, self._places),
            "index_node_id": self._target.of(row.index_node_id or row.id),
            **self._mine,
        }

    def _value(self, row: FieldValue) -> dict[str, Any]:
        ids = {"document_id": self._target.of(row.document_id), "metadata_id": self._target.of(row.metadata_id)}
        return {**ids, **self._mine}

    def _attachment(self, row: Attachment) -> dict[str, Any] | None:
        if row.attachment_id not in self._held["files"]:
            return None
        names = ("document_id", "segment_id", "attachment_id")
        mine = {name: value for name, value in self._mine.items() if name != "created_by"}
        return {**{name: self._target.of(getattr(row, name)) for name in names}, **mine}

    def _node(self, row: SegmentRow | Child, segment: Segment) -> Node:
        hash = row.index_node_hash or text_hash(row.content)
        return Node(self._target.of(row.index_node_id or row.id), signed(row.content, self._places), hash, segment)

    @property
    def _mine(self) -> dict[str, str]:
        return {"tenant_id": self._rows.tenant.id, "dataset_id": self._target.id, "created_by": self._user_id}

    async def _vectors(self, part: str, dataset: Dataset, nodes: dict[str, Node]) -> None:
        index = dataset.index
        if index is None or index.space is None:
            return
        store = await self._house.stores.ready(index.store, index.space)
        for group in self._archive.vectors(part):
            await store.upsert(index.space, dataset.id, [record_of(nodes[id], vector) for id, vector in group])

    async def _files(self, mark: ImportMark) -> None:
        """The bytes first, then the row: bytes without a row are harmless."""
        for row in self._archive.files():
            await mark.alive()
            id = self._target.of(row.id)
            key = f"upload_files/{self._rows.tenant.id}/{id}" + (f".{row.extension}" if row.extension else "")
            await self._house.storage.save(key, _async(self._archive.file(row.id)))
            values = {name: getattr(row, name) for name in ("name", "size", "extension", "mime_type")}
            made = {"id": id, "storage_type": "", "key": key, "created_by": self._user_id, "used": True}
            async with self._rows.db.write() as conn:
                await self._links.add_upload(conn, {**values, **made})


async def _async(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
