"""What indexing would make of files: the first chunks and how many there are. Nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound

from dify_host.knowledge.chunk import Chunk, chunk_texts
from dify_host.knowledge.clean import clean
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.links import Links, Upload
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule, check_rule
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tables import documents

__all__ = ["Estimate", "Estimates", "PreviewChunk"]

_PREVIEWED: Final = 10
_CHILDREN: Final = 50
_PAIRS: Final = 20  # questions that a chunk may give


class PreviewChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk as it would be."""

    content: str
    child_chunks: list[str] | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """How many segments there would be, and the first ten of them."""

    total_segments: int
    preview: list[PreviewChunk]
    qa_preview: list[dict[str, Any]] | None = None
    tokens: int = 0
    total_price: float = 0
    currency: str = "USD"


class Estimates:
    """Estimates for one tenant. Documents are read in processes of their own, by the extractor."""

    def __init__(
        self,
        rows: KnowledgeRepository,
        links: Links,
        storage: Storage,
        extractor: Extractor,
        settings: KnowledgeSettings,
    ) -> None:
        self._rows = rows
        self._links = links
        self._storage = storage
        self._extractor = extractor
        self._settings = settings

    async def files(self, file_ids: Sequence[str], rule: ProcessRule, doc_form: str) -> Estimate:
        """Of uploaded files; NotFound, UnsupportedFileType, ExtractionFailed, BadInput for a rule that does not fit."""
        if not file_ids:
            raise BadInput("file_ids is required.", hint="Upload files first.", field="info_list")
        check_rule(rule, doc_form=doc_form, max_length=self._settings.indexing_max_segmentation_tokens_length)
        async with self._rows.db.read() as conn:
            uploads = [await self._links.upload(conn, file_id) for file_id in dict.fromkeys(file_ids)]
        return await self._estimate(uploads, rule, doc_form)

    async def document(self, dataset_id: str, document_id: str) -> Estimate:
        """Of one document, by its own rule; BadInput when it is indexed or has failed already."""
        async with self._rows.db.read() as conn:
            document = await self._rows.document(conn, dataset_id, document_id)
            rule = await self._rows.process_rule(conn, document.dataset_process_rule_id)
            if document.indexing_status in ("completed", "error"):
                raise BadInput("The document has been indexed already.", document_id=document_id)
            if document.file_id is None:
                raise NotFound("The document has no file.", document_id=document_id)
            upload = await self._links.upload(conn, document.file_id)
        return await self._estimate([upload], rule, document.doc_form)

    async def batch(self, dataset_id: str, batch: str) -> Estimate:
        """Of the documents of a batch, by the rule of the first; NotFound for an unknown batch."""
        query = self._rows.scoped_select(documents).where(
            documents.c.dataset_id == dataset_id, documents.c.batch == batch
        )
        async with self._rows.db.read() as conn:
            found = (await conn.execute(query.order_by(documents.c.position, documents.c.id))).all()
            if not found:
                raise NotFound("Documents not found.", batch=batch)
            rule = await self._rows.process_rule(conn, found[0].dataset_process_rule_id)
            uploads = [await self._links.upload(conn, row.file_id) for row in found if row.file_id]
        return await self._estimate(uploads, rule, found[0].doc_form)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _estimate(self, uploads: Sequence[Upload], rule: ProcessRule, doc_form: str) -> Estimate:
        # Questions and answers are made of the chunks of a text, by a model, which an estimate does not ask.
        form = "text_model" if doc_form == "qa_model" else doc_form
        chunks: list[Chunk] = []
        total = 0
        for upload in uploads:
            data = await self._storage.load(upload.key)
            texts = [text.text for text in await self._extractor.extract(data, f"file.{upload.extension}")]
            made = await asyncio.to_thread(_chunks, texts, rule, form)
            total += len(made)
            chunks += made[: _PREVIEWED - len(chunks)]
        preview = [
            PreviewChunk(content=chunk.content, child_chunks=chunk.children[:_CHILDREN] or None) for chunk in chunks
        ]
        if doc_form == "qa_model":
            return Estimate(total_segments=total * _PAIRS, preview=preview, qa_preview=[])
        return Estimate(total_segments=total, preview=preview)


def _chunks(texts: Sequence[str], rule: ProcessRule, form: str) -> list[Chunk]:
    return chunk_texts([clean(text, rule.effective) for text in texts], rule, form)
