"""Documents from what people chose in a console: several uploaded files at once, into a knowledge base or a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from dify_kernel.errors import BadInput, DifyError

from dify_host.knowledge.datasets import DatasetDetail, DatasetService, NewDataset
from dify_host.knowledge.document_views import DocumentView
from dify_host.knowledge.documents import DocumentOptions, DocumentService, new_batch
from dify_host.knowledge.errors import DatasetNameDuplicate
from dify_host.knowledge.extract.formats import extension_of
from dify_host.knowledge.links import Links, Upload
from dify_host.knowledge.pipeline_documents import SourceItem
from dify_host.knowledge.remote import NOTION_IMPORT, UPLOAD_FILE
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents

__all__ = ["DocumentSources", "DocumentsAdded", "ManyDocuments"]

_NAME = 40
_TRIES = 100


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
        """The ids of the online documents that a dataset has already."""
        query = self._rows.scoped_select(documents, documents.c.data_source_info).where(
            documents.c.dataset_id == dataset_id, documents.c.data_source_type == NOTION_IMPORT
        )
        async with self._rows.db.read() as conn:
            infos = (await conn.execute(query)).scalars()
            return frozenset(str(info.get("notion_page_id")) for info in infos if info)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _add_items(self, dataset_id: str, wish: ManyDocuments, user_id: str) -> DocumentsAdded:
        """A document for each, but not a second one of an online document."""
        options = msgspec.structs.replace(wish.options, batch=new_batch())
        bound = await self.bound(dataset_id) if wish.kind == NOTION_IMPORT else frozenset()
        made = []
        for item in wish.items:
            if item.info.get("notion_page_id") in bound:
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
        changed = await self._documents.update_by_file(
            dataset_id, replaced, upload.id, user_id, options.process_rule, batch=options.batch
        )
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
