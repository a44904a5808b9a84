"""Knowledge as apps and workflow nodes see it: questions to several knowledge bases, and the end of a pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.ports import IndexedDocument, Indexing, ModelsPort, Retrieval
from dify_kernel.errors import BadInput

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.knowledge.external import ExternalKnowledge, read_external_retrieval
from dify_host.knowledge.links import Links
from dify_host.knowledge.metadata import Conditions, read_conditions
from dify_host.knowledge.pictures import linked_pictures
from dify_host.knowledge.pipeline_index import PipelineIndexer
from dify_host.knowledge.ranking import (
    Candidate,
    ExternalPiece,
    Piece,
    RerankModel,
    RetrievalModel,
    Weights,
    apply_weights,
    cut,
    read_retrieval_model,
    rerank,
)
from dify_host.knowledge.recording import RetrievalLog
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.retrieval import Asker, images_ignored, record_retrieval
from dify_host.knowledge.routing import choose_dataset, guess_conditions
from dify_host.knowledge.search import Searcher, searchable
from dify_host.knowledge.side_by_side import side_by_side
from dify_host.knowledge.tables import dataset_metadatas, documents
from dify_host.knowledge.vectors import VectorStores

__all__ = ["KnowledgeRuntime"]

log = logging.getLogger(__name__)


class KnowledgeRuntime:
    """The knowledge port of one tenant; `asker` is whose run it is, and `sign` gives the address of a file."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        stores: VectorStores,
        models: ModelsPort,
        asker: Asker,
        indexer: PipelineIndexer,
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
        self._asker = asker
        self._indexer = indexer
        self._external = external

    async def retrieve(self, request: Retrieval) -> list[dict[str, Any]]:
        """Found pieces by descending score, as the knowledge-retrieval node gives them.

        Datasets that are not the tenant's, or hold nothing to find, give nothing; the log names those that are not
        the tenant's, and says that images are not looked up. BadInput for a ranking that cannot compare the datasets.
        """
        query = request.query.strip()
        asked = await self._datasets(request.dataset_ids)
        if request.attachments and asked:
            bases = ", ".join(dataset.name for dataset in asked)
            log.warning("%s", images_ignored(bases, len(request.attachments)))
        if not query or not asked:
            return []
        conditions = await self._conditions(request, query, asked)
        searcher = Searcher(self._rows, self._links, self._stores, self._models, query)
        if request.mode == "single":
            chosen = await choose_dataset(self._models, request.single_model, query, asked)
            found = await self._one(searcher, query, chosen, conditions) if chosen else []
            asked = [chosen] if chosen else []
        else:
            found = await self._multiple(searcher, request, query, asked, conditions)
        ids = [dataset.id for dataset in asked]
        await record_retrieval(self._log, self._rows, ids, query, found, self._asker)
        names = {dataset.id: dataset.name for dataset in asked}
        await self._link_pictures(found)
        return [_piece(candidate, names, position) for position, candidate in enumerate(found, 1)]

    async def index(self, request: Indexing) -> IndexedDocument:
        """Put the chunks of a document into its knowledge base; the document keeps what went wrong."""
        return await self._indexer.index(request)

    async def _link_pictures(self, found: Sequence[Piece]) -> None:
        """Let pictures in the texts have addresses for a while, so that an answer can show them."""
        if self._sign is not None:
            inner = {piece.segment.id: piece.segment for piece in found if isinstance(piece, Candidate)}
            texts = {segment_id: segment.content for segment_id, segment in inner.items()}
            for segment_id, text in (await linked_pictures(self._rows, self._sign, texts)).items():
                inner[segment_id].content = text

    # -- several datasets ------------------------------------------------------------------------------------

    async def _multiple(
        self,
        searcher: Searcher,
        request: Retrieval,
        query: str,
        asked: Sequence[Dataset],
        conditions: Conditions | None,
    ) -> list[Piece]:
        """Search all side by side, each by its own settings, then rank what they gave together."""
        _refuse_incomparable(request, asked)
        results = await side_by_side(
            [self._one(searcher, query, dataset, conditions, request.top_k) for dataset in asked]
        )
        if len(asked) == 1:
            if asked[0].provider == "external":
                return results[0]  # how many, and from which score on, is the API's to decide
            return cut(results[0], request.top_k, request.score_threshold)
        model = _reranker(request)
        if model is not None:
            together = [piece for result in results for piece in result]
            ranked = await rerank(self._models, model, query, together, request.top_k)
            return cut(ranked, request.top_k, request.score_threshold)
        # Cosines of one query are comparable whichever store gave them; full-text ranks are not.
        found: list[Piece] = []
        for dataset, result in zip(asked, results, strict=True):
            inner = [piece for piece in result if isinstance(piece, Candidate)]
            found.extend(await searcher.with_vector_scores(dataset, inner) if _has_vectors(dataset) else result)
        if request.reranking_enable and request.reranking_mode == "weighted_score":
            weights = msgspec.convert(_given(request.weights), Weights)
            return cut(apply_weights(query, found, weights), request.top_k, request.score_threshold)
        by_vector = [
            msgspec.structs.replace(c, score=c.vector_score) if c.vector_score is not None else c for c in found
        ]
        return cut(sorted(by_vector, key=lambda c: -c.score), request.top_k, request.score_threshold)

    async def _one(
        self,
        searcher: Searcher,
        query: str,
        dataset: Dataset,
        conditions: Conditions | None,
        top_k: int | None = None,
    ) -> list[Piece]:
        """What one dataset finds by its own settings; an external one is asked at its API."""
        if dataset.provider != "external":
            return list(await searcher.search(dataset, _settings(dataset, top_k), conditions))
        if self._external is None:
            return []
        settings = read_external_retrieval(dataset.retrieval_model)
        hits = await self._external.retrieve(dataset, query, settings, conditions)
        return [
            ExternalPiece(text=hit.content, score=hit.score, vector_score=hit.score, dataset_id=dataset.id, hit=hit)
            for hit in hits
        ]

    # -- what to ask -----------------------------------------------------------------------------------------

    async def _datasets(self, ids: Sequence[str]) -> list[Dataset]:
        """The tenant's datasets among the ids that have something to find."""
        async with self._rows.db.read() as conn:
            found = await self._rows.datasets(conn, ids)
            held = self._rows.scoped_select(documents, documents.c.dataset_id).distinct()
            held = held.where(documents.c.dataset_id.in_(ids), searchable())
            filled = set((await conn.execute(held)).scalars())
        strangers = set(ids) - {dataset.id for dataset in found}
        if strangers:
            log.warning("knowledge bases %s do not exist in workspace %s", sorted(strangers), self._rows.tenant.id)
        return [
            dataset
            for dataset in found
            if dataset.provider == "external" or (dataset.id in filled and dataset.indexing_technique is not None)
        ]

    async def _conditions(self, request: Retrieval, query: str, asked: Sequence[Dataset]) -> Conditions | None:
        if request.metadata_filtering_mode == "manual":
            return read_conditions(request.metadata_filtering_conditions)
        if request.metadata_filtering_mode != "automatic":
            return None
        ids = [dataset.id for dataset in asked]
        fields = self._rows.scoped_select(dataset_metadatas, dataset_metadatas.c.name, dataset_metadatas.c.type)
        async with self._rows.db.read() as conn:
            rows = await conn.execute(fields.where(dataset_metadatas.c.dataset_id.in_(ids)).distinct())
            known = {row.name: row.type for row in rows}
        return await guess_conditions(self._models, request.metadata_model, query, known)


def _settings(dataset: Dataset, top_k: int | None = None) -> RetrievalModel:
    """The dataset's own settings; an economy one takes the app's top_k."""
    model = read_retrieval_model(dataset.retrieval_model)
    if dataset.indexing_technique == "economy" and top_k:
        return msgspec.structs.replace(model, top_k=top_k, search_method="keyword_search")
    return model


def _reranker(request: Retrieval) -> RerankModel | None:
    """The app's rerank model; None when it has none."""
    given = request.reranking_model or {}
    provider = given.get("provider") or given.get("reranking_provider_name")
    model = given.get("model") or given.get("reranking_model_name")
    if not request.reranking_enable or request.reranking_mode != "reranking_model" or not (provider and model):
        return None
    return RerankModel(reranking_provider_name=str(provider), reranking_model_name=str(model))


def _refuse_incomparable(request: Retrieval, asked: Sequence[Dataset]) -> None:
    """Without a rerank model, only datasets of one kind can be ranked together; external ones go by their scores."""
    asked = [dataset for dataset in asked if dataset.provider != "external"]
    if len(asked) < 2 or _reranker(request) is not None:
        return
    if len({dataset.indexing_technique for dataset in asked}) > 1:
        raise BadInput(
            "The knowledge bases are indexed by different techniques, and there is no rerank model.",
            hint="Set a rerank model, or ask only economy or only high-quality knowledge bases.",
        )
    spaces = {(dataset.embedding_model_provider, dataset.embedding_model) for dataset in asked}
    if request.reranking_enable and request.reranking_mode == "weighted_score" and len(spaces) > 1:
        raise BadInput(
            "The knowledge bases use different embedding models, whose scores cannot be weighted together.",
            hint="Set a rerank model, or use one embedding model.",
        )


def _has_vectors(dataset: Dataset) -> bool:
    return dataset.indexing_technique == "high_quality"


def _given(value: dict[str, Any] | None) -> dict[str, Any]:
    """A mapping without its empty parts."""
    return {key: item for key, item in (value or {}).items() if item is not None}


def _piece(found: Piece, names: dict[str, str], position: int) -> dict[str, Any]:
    """One piece in the shape of the knowledge-retrieval node."""
    if isinstance(found, ExternalPiece):
        title, content, metadata = _external(found)
    else:
        assert isinstance(found, Candidate)
        title, content, metadata = _inner(found)
    source = {
        "_source": "knowledge",
        "dataset_name": names.get(metadata["dataset_id"], ""),
        "retriever_from": "workflow",
        "score": found.score,
        "position": position,
    }
    return {"content": content, "title": title, "files": [], "metadata": {**metadata, **source}}


def _inner(candidate: Candidate) -> tuple[str, str, dict[str, Any]]:
    """Title, content and metadata of a segment."""
    segment, document = candidate.segment, candidate.document
    content = segment.content
    if segment.answer:
        content = f"question:{segment.content} \nanswer:{segment.answer}"
    metadata = {
        "dataset_id": segment.dataset_id,
        "document_id": document.id,
        "document_name": document.name,
        "data_source_type": document.data_source_type,
        "segment_id": segment.id,
        "child_chunks": [
            {"id": id, "content": text, "position": at, "score": score} for id, text, at, score in candidate.children
        ],
        "segment_hit_count": segment.hit_count,
        "segment_word_count": segment.word_count,
        "segment_position": segment.position,
        "segment_index_node_hash": segment.index_node_hash,
        "doc_metadata": document.doc_metadata,
    }
    return document.name, content, metadata


def _external(piece: ExternalPiece) -> tuple[str, str, dict[str, Any]]:
    """Title, content and metadata of an external record; its own metadata is `doc_metadata`."""
    hit = piece.hit
    metadata = {
        "dataset_id": piece.dataset_id,
        "document_id": str(hit.metadata.get("document_id") or hit.title),
        "document_name": hit.title,
        "data_source_type": "external",
        "segment_id": None,
        "doc_metadata": hit.metadata,
    }
    return hit.title, hit.content, metadata
