"""Retrieval from one knowledge base, as the retrieve endpoint and hit testing show it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import BadInput

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.knowledge.errors import DatasetNotFound
from dify_host.knowledge.external import ExternalKnowledge, read_external_retrieval
from dify_host.knowledge.external_call import ExternalHit
from dify_host.knowledge.found_rows import FoundRows
from dify_host.knowledge.links import Links
from dify_host.knowledge.metadata import read_conditions
from dify_host.knowledge.pictures import linked_pictures
from dify_host.knowledge.ranking import Candidate, Piece, read_retrieval_model
from dify_host.knowledge.recording import Asker, RetrievalLog
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.search import Searcher
from dify_host.knowledge.segment_views import SegmentView, segment_view
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Asker", "ChildHit", "Found", "Retriever", "SourceDocument", "images_ignored", "record_retrieval"]

MAX_QUERY = 250

log = logging.getLogger(__name__)


class ChildHit(msgspec.Struct, frozen=True, kw_only=True):
    """A child chunk that matched."""

    id: str
    content: str
    position: int
    score: float


class SourceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a found segment."""

    id: str
    data_source_type: str
    name: str
    doc_type: str | None
    doc_metadata: dict[str, Any] | None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One found segment; `child_chunks` is None unless children matched."""

    segment: SegmentView
    document: SourceDocument
    score: float
    child_chunks: list[ChildHit] | None


class Retriever:
    """Asks the knowledge bases of one tenant, one at a time; `sign` gives the address of a file."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        stores: VectorStores,
        models: ModelsPort,
        external: ExternalKnowledge | None = None,
        log: RetrievalLog | None = None,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self._log = log
        self._sign = sign
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._stores = stores
        self._models = models
        self._external = external

    async def retrieve(
        self,
        dataset_id: str,
        query: str,
        asker: Asker,
        retrieval_model: dict[str, Any] | None = None,
        attachment_ids: Sequence[str] = (),
    ) -> list[Found]:
        """The best segments by these settings, else by the dataset's own; best first.

        The query has 1 to 250 characters. It is recorded, and what was found counts a hit. Images are left out, which
        the log tells; BadInput when there is nothing else to look up, or for an external knowledge base.
        """
        _check_query(query, has_images=bool(attachment_ids))
        dataset = await self._dataset(dataset_id)
        if attachment_ids:
            log.warning("%s", images_ignored(dataset.name, len(attachment_ids)))
        found = await self._search(dataset, self._searcher(query), retrieval_model)
        await record_retrieval(self._log, self._rows, [dataset_id], query, found, asker)
        shown = [_shown(candidate) for candidate in found]
        if self._sign is not None:
            texts = {item.segment.id: item.segment.content for item in shown}
            linked = await linked_pictures(self._rows, self._sign, texts)
            for item in shown:
                item.segment.sign_content = linked.get(item.segment.id, item.segment.content)
        return shown

    async def compare(
        self, dataset_id: str, query: str, settings: Sequence[dict[str, Any] | None]
    ) -> list[list[Found]]:
        """What each of the settings finds (None: the dataset's own), for measuring: nothing is recorded or counted.

        The query may be of any length and is embedded once.
        """
        dataset = await self._dataset(dataset_id)
        searcher = self._searcher(query)
        return [[_shown(item) for item in await self._search(dataset, searcher, given)] for given in settings]

    async def retrieve_external(
        self,
        dataset_id: str,
        query: str,
        asker: Asker,
        external_retrieval_model: dict[str, Any] | None = None,
        metadata_filtering_conditions: dict[str, Any] | None = None,
    ) -> list[ExternalHit]:
        """What the API of an external knowledge base finds, best first; the query is recorded.

        BadInput for another knowledge base; ExternalApiNotFound, ExternalKnowledgeFailed.
        """
        _check_query(query)
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
        if dataset.provider != "external" or self._external is None:
            raise BadInput(f"Knowledge base {dataset.name} is not external.", hint="Use hit-testing.", id=dataset_id)
        settings = read_external_retrieval(external_retrieval_model or dataset.retrieval_model)
        conditions = read_conditions(metadata_filtering_conditions)
        found = await self._external.retrieve(dataset, query, settings, conditions)
        await record_retrieval(self._log, self._rows, [dataset_id], query, (), asker)
        return found

    async def _dataset(self, dataset_id: str) -> Dataset:
        found = FoundRows(self._rows.tenant)
        dataset = await self._rows.db.run_read(lambda conn: found.dataset(conn, dataset_id))
        if dataset is None:
            raise DatasetNotFound("Dataset not found.", dataset_id=dataset_id)
        if dataset.provider == "external":
            raise BadInput(
                f"Knowledge base {dataset.name} is external.", hint="Use external-hit-testing.", id=dataset_id
            )
        return dataset

    def _searcher(self, query: str) -> Searcher:
        return Searcher(self._rows, self._links, self._stores, self._models, query)

    async def _search(self, dataset: Dataset, searcher: Searcher, given: dict[str, Any] | None) -> list[Candidate]:
        model = read_retrieval_model(given or dataset.retrieval_model)
        return await searcher.search(dataset, model, read_conditions(model.metadata_filtering_conditions))


def images_ignored(name: str, count: int) -> str:
    """Why images that somebody asks with are not looked up."""
    return f"{count} images are not looked up in knowledge base {name}: it holds texts only."


def _check_query(query: str, *, has_images: bool = False) -> None:
    if not query.strip():
        why = " Images cannot be looked up in knowledge bases of texts." if has_images else ""
        raise BadInput(f"query is required.{why}", field="query")
    if len(query) > MAX_QUERY:
        raise BadInput(f"query has {len(query)} characters, and may have {MAX_QUERY}.", field="query")


async def record_retrieval(
    log: RetrievalLog | None,
    rows: KnowledgeRepository,
    dataset_ids: Sequence[str],
    query: str,
    found: Sequence[Piece],
    asker: Asker,
) -> None:
    """Record a question to each of the tenant's datasets, and a hit of each found segment; nothing without a log."""
    if log is not None:
        segments = [piece.segment.id for piece in found if isinstance(piece, Candidate)]
        await log.note(rows, dataset_ids, query, segments, asker)


def _shown(candidate: Candidate) -> Found:
    document = candidate.document
    children = [ChildHit(id=id, content=text, position=at, score=score) for id, text, at, score in candidate.children]
    return Found(
        segment=segment_view(candidate.segment),
        document=SourceDocument(
            id=document.id,
            data_source_type=document.data_source_type,
            name=document.name,
            doc_type=document.doc_type,
            doc_metadata=document.doc_metadata,
        ),
        score=candidate.score,
        child_chunks=children or None,
    )
