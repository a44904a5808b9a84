"""What indexing would make of files: the first chunks and how many there are. Nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import to_struct
from dify_host.knowledge.chunk import Chunk, chunk_texts
from dify_host.knowledge.clean import clean
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.links import Links, Upload
from dify_host.knowledge.pipeline_documents import SourceItem
from dify_host.knowledge.questions import Questions
from dify_host.knowledge.records import Document
from dify_host.knowledge.remote import RemoteDocuments, is_remote
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule, check_rule
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tables import documents

__all__ = ["Estimate", "Estimates", "PreviewChunk", "PreviewPair"]

_PREVIEWED: Final = 10
_CHILDREN: Final = 50
_PAIRS: Final = 20  # questions that a chunk may give


class PreviewChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk as it would be."""

    content: str
    child_chunks: list[str] | None = None


class PreviewPair(msgspec.Struct, frozen=True, kw_only=True):
    """A question and its answer as a model writes them."""

    question: str
    answer: str


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """How many segments there would be, and the first ten; questions and answers are those of the first chunk."""

    total_segments: int
    preview: list[PreviewChunk]
    qa_preview: list[PreviewPair] | None = None
    tokens: int = 0
    total_price: float = 0
    currency: str = "USD"


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a text is read from: an uploaded file, or a place outside."""

    upload: Upload | None = None
    kind: str = ""
    info: dict[str, Any] = {}


class Estimates:
    """Estimates for one tenant. Documents are read in processes of their own, by the extractor.

    For questions and answers the default model is asked about the first chunk, and for no other.
    """

    def __init__(
        self,
        rows: KnowledgeRepository,
        links: Links,
        storage: Storage,
        extractor: Extractor,
        settings: KnowledgeSettings,
        models: ModelsPort,
        remote: RemoteDocuments | None = None,
    ) -> None:
        self._models = models
        self._remote = remote
        self._rows = rows
        self._links = links
        self._storage = storage
        self._extractor = extractor
        self._settings = settings

    async def files(self, file_ids: Sequence[str], rule: ProcessRule, doc_form: str, *, language: str = "") -> Estimate:
        """Of uploaded files; NotFound, UnsupportedFileType, ExtractionFailed, BadInput for a rule that does not fit."""
        if not file_ids:
            raise BadInput("file_ids is required.", hint="Upload files first.", field="info_list")
        check_rule(rule, doc_form=doc_form, max_length=self._settings.indexing_max_segmentation_tokens_length)
        async with self._rows.db.read() as conn:
            uploads = [await self._links.upload(conn, file_id) for file_id in dict.fromkeys(file_ids)]
        return await self._estimate([_Source(upload=upload) for upload in uploads], rule, doc_form, language)

    async def items(
        self, kind: str, items: Sequence[SourceItem], rule: ProcessRule, doc_form: str, *, language: str = ""
    ) -> Estimate:
        """Of pages or documents of an outside source, which are read; DatasourceError and its family."""
        check_rule(rule, doc_form=doc_form, max_length=self._settings.indexing_max_segmentation_tokens_length)
        return await self._estimate([_Source(kind=kind, info=item.info) for item in items], rule, doc_form, language)

    async def document(self, dataset_id: str, document_id: str) -> Estimate:
        """Of one document, by its own rule; BadInput when it is indexed or has failed already."""
        async with self._rows.db.read() as conn:
            document = await self._rows.document(conn, dataset_id, document_id)
            rule = await self._rows.process_rule(conn, document.dataset_process_rule_id)
            if document.indexing_status in ("completed", "error"):
                raise BadInput("The document has been indexed already.", document_id=document_id)
            source = await self._source(conn, document)
        return await self._estimate([source], rule, document.doc_form, document.doc_language or "")

    async def batch(self, dataset_id: str, batch: str) -> Estimate:
        """Of the documents of a batch, by the rule of the first; NotFound for an unknown batch."""
        query = self._rows.scoped_select(documents).where(
            documents.c.dataset_id == dataset_id, documents.c.batch == batch
        )
        async with self._rows.db.read() as conn:
            rows = (await conn.execute(query.order_by(documents.c.position, documents.c.id))).all()
            found = [to_struct(row, Document) for row in rows]
            if not found:
                raise NotFound("Documents not found.", batch=batch)
            rule = await self._rows.process_rule(conn, found[0].dataset_process_rule_id)
            sources = [await self._source(conn, document) for document in found]
        return await self._estimate(sources, rule, found[0].doc_form, found[0].doc_language or "")

    # -- inside -----------------------------------------------------------------------------------------------

    async def _source(self, conn: AsyncConnection, document: Document) -> _Source:
        if is_remote(document):
            return _Source(kind=document.data_source_type, info=document.data_source_info or {})
        if document.file_id is None:
            raise NotFound("The document has no file.", document_id=document.id)
        return _Source(upload=await self._links.upload(conn, document.file_id))

    async def _texts(self, source: _Source) -> list[str]:
        if source.upload is not None:
            data = await self._storage.load(source.upload.key)
            name = f"file.{source.upload.extension}"
            return [text.text for text in await self._extractor.extract(data, name)]
        if self._remote is None:
            raise BadInput("Documents of outside sources cannot be read here.")
        fetched = await self._remote.fetch(source.kind, source.info)
        if fetched is None or fetched.file is None:
            return [fetched.text] if fetched else []
        return [text.text for text in await self._extractor.extract(fetched.file.data, fetched.file.name)]

    async def _estimate(self, sources: Sequence[_Source], rule: ProcessRule, doc_form: str, language: str) -> Estimate:
        # Questions and answers are made of the chunks of a text.
        form = "text_model" if doc_form == "qa_model" else doc_form
        chunks: list[Chunk] = []
        total = 0
        for source in sources:
            made = await asyncio.to_thread(_chunks, await self._texts(source), rule, form)
            total += len(made)
            chunks += made[: _PREVIEWED - len(chunks)]
        preview = [
            PreviewChunk(content=chunk.content, child_chunks=chunk.children[:_CHILDREN] or None) for chunk in chunks
        ]
        if doc_form == "qa_model":
            pairs = await Questions(self._models, language).pairs(chunks[0].content) if chunks else []
            shown = [PreviewPair(question=question, answer=answer) for question, answer in pairs]
            return Estimate(total_segments=total * _PAIRS, preview=preview, qa_preview=shown)
        return Estimate(total_segments=total, preview=preview)


def _chunks(texts: Sequence[str], rule: ProcessRule, form: str) -> list[Chunk]:
    return chunk_texts([clean(text, rule.effective) for text in texts], rule, form)
