"""Documents from what people chose in a console: several uploaded files at once, into a knowledge base or a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.errors import BadInput, DifyError

from dify_host.knowledge.datasets import DatasetDetail, DatasetService, NewDataset
from dify_host.knowledge.document_change import DocumentChange
from dify_host.knowledge.document_views import DocumentView
from dify_host.knowledge.documents import DocumentOptions, DocumentService, new_batch
from dify_host.knowledge.errors import DatasetNameDuplicate
from dify_host.knowledge.extract.formats import extension_of
from dify_host.knowledge.links import Links, Upload
from dify_host.knowledge.pipeline_documents import SourceItem
from dify_host.knowledge.remote import NOTION_IMPORT, ONLINE_DRIVE, UPLOAD_FILE
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents

__all__ = ["DocumentSources", "DocumentsAdded", "ManyDocuments", "drive_key"]

_NAME = 40
_TRIES = 100
#: Sources of which a dataset has each item once.
_ONCE = (NOTION_IMPORT, ONLINE_DRIVE)


class ManyDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be added. With `duplicate`, a file replaces the enabled document that has its name.

    `original_document_id` names the document that the one file replaces. `items` of an outside source come instead of
    files, with its `kind`.
    """

    file_ids: list[str]
    options: DocumentOptions
    items: list[SourceItem] = []
    kind: str = UPLOAD_FILE
    duplicate: bool = True
    original_document_id: str | None = None


class DocumentsAdded(msgspec.Struct, frozen=True, kw_only=True):
    """The documents, in the order of their files, and their batch."""

    dataset: DatasetDetail
    documents: list[DocumentView]
    batch: str


class DocumentSources:
    """Adds documents for one tenant."""

    def __init__(
        self,
        rows: KnowledgeRepository,
        links: Links,
        datasets: DatasetService,
        service: DocumentService,
        admit: Callable[[str], str] = extension_of,
    ) -> None:
        self._admit = admit
        self._rows = rows
        self._links = links
        self._datasets = datasets
        self._documents = service

    async def add(self, dataset_id: str, wish: ManyDocuments, user_id: str) -> DocumentsAdded:
        """Queue the indexing of every file, under one batch.

        NotFound for a file that was not uploaded, UnsupportedFileType: then none of them is added.
        """
        if wish.kind != UPLOAD_FILE:
            return await self._add_items(dataset_id, wish, user_id)
        uploads = await self._uploads(wish)
        # One rule for all of them: the first keeps it, and the others take the dataset's latest.
        options = msgspec.structs.replace(wish.options, batch=new_batch())
        made = []
        for upload in uploads:
            made.append(await self._one(dataset_id, upload, wish, options, user_id))
            options = msgspec.structs.replace(options, process_rule=None)
        dataset = await self._datasets.get(dataset_id)
        return DocumentsAdded(dataset=dataset, documents=made, batch=options.batch or "")

    async def begin(self, new: NewDataset, wish: ManyDocuments, user_id: str) -> DocumentsAdded:
        """Make a knowledge base of the files; without a name it has that of the first file."""
        first = wish.items[0].name if wish.items else (await self._uploads(wish))[0].name
        dataset = await self._named(new, new.name or first, user_id)
        try:
            return await self.add(dataset.id, wish, user_id)
        except DifyError:
            await self._datasets.delete(dataset.id)
            raise

    async def bound(self, dataset_id: str) -> frozenset[str]:
        """What a dataset has already of online documents, by their id, and of drives, by `drive_key`."""
        query = self._rows.scoped_select(documents, documents.c.data_source_info).where(
            documents.c.dataset_id == dataset_id, documents.c.data_source_type.in_(_ONCE)
        )
        async with self._rows.db.read() as conn:
            infos = (await conn.execute(query)).scalars()
            return frozenset(_key(info) for info in infos if info)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _add_items(self, dataset_id: str, wish: ManyDocuments, user_id: str) -> DocumentsAdded:
        """A document for each, but not a second one of an online document or a file."""
        if wish.kind == ONLINE_DRIVE:
            for item in wish.items:
                self._admit(item.name)
        options = msgspec.structs.replace(wish.options, batch=new_batch())
        bound = await self.bound(dataset_id) if wish.kind in _ONCE else frozenset()
        made = []
        for item in wish.items:
            if wish.kind in _ONCE and _key(item.info) in bound:
                continue
            created = await self._documents.create_by_source(dataset_id, wish.kind, item, options, user_id)
            made.append(created.document)
            options = msgspec.structs.replace(options, process_rule=None)
        dataset = await self._datasets.get(dataset_id)
        return DocumentsAdded(dataset=dataset, documents=made, batch=options.batch or "")

    async def _uploads(self, wish: ManyDocuments) -> list[Upload]:
        """The files, in their order, once it is known that each can be read."""
        if not wish.file_ids:
            raise BadInput("file_ids is required.", hint="Upload files first.", field="data_source")
        if wish.original_document_id and len(wish.file_ids) > 1:
            raise BadInput("Only one file can replace a document.", field="original_document_id")
        found = []
        async with self._rows.db.read() as conn:
            for file_id in dict.fromkeys(wish.file_ids):
                upload = await self._links.upload(conn, file_id)
                self._admit(f"file.{upload.extension}")
                found.append(upload)
        return found

    async def _one(
        self, dataset_id: str, upload: Upload, wish: ManyDocuments, options: DocumentOptions, user_id: str
    ) -> DocumentView:
        replaced = wish.original_document_id
        if replaced is None and wish.duplicate:
            replaced = await self._of_name(dataset_id, upload.name)
        if replaced is None:
            return (await self._documents.create_by_file(dataset_id, upload.id, options, user_id)).document
        change = DocumentChange(process_rule=options.process_rule, batch=options.batch)
        changed = await self._documents.update_by_file(dataset_id, replaced, upload.id, user_id, change)
        return changed.document

    async def _of_name(self, dataset_id: str, name: str) -> str | None:
        query = self._rows.scoped_select(documents, documents.c.id).where(
            documents.c.dataset_id == dataset_id,
            documents.c.name == name,
            documents.c.data_source_type == "upload_file",
            documents.c.enabled.is_(True),
            documents.c.archived.is_(False),
            documents.c.indexing_status.in_(("completed", "error")),
        )
        async with self._rows.db.read() as conn:
            found: str | None = (await conn.execute(query.order_by(documents.c.position).limit(1))).scalar_one_or_none()
        return found

    async def _named(self, new: NewDataset, name: str, user_id: str) -> DatasetDetail:
        """The dataset, under that name, or with a number behind it when the name is taken."""
        wanted: Sequence[str] = [name[:_NAME]]
        if not new.name:
            wanted = [*wanted, *(f"{name[: _NAME - 4]} {number}" for number in range(2, _TRIES))]
        for candidate in wanted[:-1]:
            try:
                return await self._datasets.create(msgspec.structs.replace(new, name=candidate), user_id)
            except DatasetNameDuplicate:
                continue
        return await self._datasets.create(msgspec.structs.replace(new, name=wanted[-1]), user_id)


def drive_key(info: Mapping[str, Any]) -> str:
    """What a file of a drive is known by: its credentials, bucket and id."""
    return "\n".join(str(info.get(name) or "") for name in ("credential_id", "bucket", "id"))


def _key(info: Mapping[str, Any]) -> str:
    page_id = info.get("notion_page_id")
    return drive_key(info) if page_id is None else str(page_id)
