"""Searches one knowledge base: store or word index, then the rows, then the ranking its settings ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.vector import And, Compare, Filter, Hit, Space, VectorStore
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.knowledge.embedding import Vector, unit
from dify_host.knowledge.errors import DatasetNotInitialized, FullTextNotSupported
from dify_host.knowledge.found_rows import FoundRows, searchable
from dify_host.knowledge.index_writer import embedder_of
from dify_host.knowledge.links import Links
from dify_host.knowledge.metadata import Conditions, built_in_values, matches
from dify_host.knowledge.ranking import Candidate, RetrievalModel, apply_weights, cut, fuse, rerank
from dify_host.knowledge.records import ChildChunk, Dataset, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_keywords, document_segments, documents
from dify_host.knowledge.vectors import VectorStores
from dify_host.knowledge.words import keyword_scores, words

__all__ = ["Searcher", "searchable"]

_Pair = tuple[Segment, Document]

_WIDEST = 1024
#: How many candidates weights choose from: the rarity of words is taken over them, and a handful says little of it.
_WEIGHED = 100
#: How many candidates a rerank model chooses from. Servers of such models may take only 32 texts a call; each costs.
_RERANKED = 30
_LONG_LIST = 1000


class Searcher:
    """Searches the knowledge bases of one tenant for one query; a query is embedded once a model."""

    def __init__(
        self, rows: KnowledgeRepository, links: Links, stores: VectorStores, models: ModelsPort, query: str
    ) -> None:
        self._rows = rows
        self._found = FoundRows(rows.tenant)
        self._links = links
        self._stores = stores
        self._models = models
        self._query = query
        self._vectors: dict[tuple[str, str], asyncio.Task[Vector]] = {}

    async def search(
        self, dataset: Dataset, model: RetrievalModel, conditions: Conditions | None = None
    ) -> list[Candidate]:
        """The best segments by the settings, best first; only what is enabled and completed."""
        dataset = dataset.searched
        if dataset.indexing_technique is None:
            raise DatasetNotInitialized(
                f"Knowledge base {dataset.name} has nothing in it yet.",
                hint="Add a document first.",
                dataset_id=dataset.id,
            )
        scope = await self._scope(dataset, conditions)
        if scope is _NOTHING:
            return []
        if dataset.indexing_technique == "economy":
            return cut(await self._by_words(dataset, model.top_k, scope), model.top_k, model.threshold)
        found = await self._by_index(dataset, model, scope.filter)
        if model.reranker is not None:
            found = await rerank(self._models, model.reranker, self._query, found, model.top_k)
            return cut(found, model.top_k, model.threshold)
        if model.search_method == "hybrid_search" and model.weighting is not None:
            return cut(apply_weights(self._query, found, model.weighting), model.top_k, model.threshold)
        # A full-text rank is the store's own measure, which a threshold of similarity says nothing about.
        threshold = None if model.search_method == "full_text_search" else model.threshold
        return cut(found, model.top_k, threshold)

    async def with_vector_scores(self, dataset: Dataset, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with the cosine similarity to the query where it was not known."""
        dataset = dataset.searched
        missing = [candidate for candidate in candidates if candidate.vector_score is None]
        index = dataset.index
        if not missing or index is None or index.space is None:
            return list(candidates)
        vector = await self.vector(dataset)
        store = await self._stores.ready(index.store, index.space)
        scores = await _cosines(store, index.space, dataset.id, [candidate.node_id for candidate in missing], vector)
        return [
            msgspec.structs.replace(candidate, vector_score=scores.get(candidate.node_id, 0.0))
            if candidate.vector_score is None
            else candidate
            for candidate in candidates
        ]

    async def vector(self, dataset: Dataset) -> Vector:
        """The query's vector in the dataset's embedding space."""
        key = (dataset.embedding_model_provider or "", dataset.embedding_model or "")
        if key not in self._vectors:
            embedder = embedder_of(self._rows, self._models, dataset)
            self._vectors[key] = asyncio.ensure_future(embedder.query(self._query))
        return await self._vectors[key]

    # -- which documents -------------------------------------------------------------------------------------

    async def _scope(self, dataset: Dataset, conditions: Conditions | None) -> _Scope:
        """What a search must be limited to: documents that meet the conditions and are neither off nor archived."""
        if conditions is None:
            # Documents under work are no matter: what they have in the index is dropped with their rows.
            hidden = await self._rows.db.run_read(
                partial(self._found.hidden, dataset_id=dataset.id, limit=_LONG_LIST + 1)
            )
            if not hidden or len(hidden) > _LONG_LIST:
                return _Scope(None, None)
            return _Scope(Compare("not_in", "document_id", hidden), None)
        async with self._rows.db.read() as conn:
            allowed = await self._matching(conn, dataset, conditions)
        if not allowed:
            return _NOTHING
        return _Scope(Compare("in", "document_id", allowed), allowed)

    async def _matching(self, conn: AsyncConnection, dataset: Dataset, conditions: Conditions) -> list[str]:
        """The ids of the searchable documents that meet the conditions."""
        named = ("id", "name", "doc_metadata", "created_at", "updated_at", "created_by", "data_source_type")
        query = self._rows.scoped_select(documents, *(documents.c[name] for name in named)).where(
            documents.c.dataset_id == dataset.id, searchable()
        )
        rows = (await conn.execute(query)).all()
        built_in = dataset.built_in_field_enabled
        names = await self._links.author_names(conn, sorted({row.created_by for row in rows})) if built_in else {}
        found = []
        for row in rows:
            values: dict[str, Any] = dict(row.doc_metadata or {})
            if built_in:
                values |= built_in_values(
                    name=row.name,
                    uploader=names.get(row.created_by),
                    created_at=row.created_at,
                    updated_at=row.updated_at,
                    source=row.data_source_type,
                )
            if matches(conditions, values):
                found.append(row.id)
        return found

    # -- high quality ----------------------------------------------------------------------------------------

    async def _by_index(self, dataset: Dataset, model: RetrievalModel, filter: Filter | None) -> list[Candidate]:
        """Ask the store by the method, for more and more until enough of what it gives may be shown."""
        index = dataset.index
        if index is None or index.space is None:
            return []  # nothing was embedded yet
        store = await self._stores.ready(index.store, index.space)
        ask = self._asking(dataset, store, index.space, model, filter)
        reranks = model.reranker is not None
        weighs = model.search_method == "hybrid_search" and not reranks and model.weighting is not None
        most = wanted = max(model.top_k, _RERANKED if reranks else _WEIGHED if weighs else 0)
        while True:
            hits = await ask(wanted)
            found = await self._candidates(dataset, hits, full_text=model.search_method == "full_text_search")
            # The union of two searches may hold twice as many; all of them are candidates for the ranking.
            if len(found) >= model.top_k or len(hits) < wanted or wanted >= _WIDEST:
                break
            wanted = min(wanted * 4, _WIDEST)
        if reranks:
            return found[:most]
        return await self.with_vector_scores(dataset, found) if weighs else found

    def _asking(
        self, dataset: Dataset, store: VectorStore, space: Space, model: RetrievalModel, filter: Filter | None
    ) -> Callable[[int], Awaitable[list[Hit]]]:
        """What asks the store for the best `n` records by the search method."""
        method, capable = model.search_method, store.capabilities
        # A threshold may stand in the way of what a later ranking would put first.
        later = model.reranker is not None or (method == "hybrid_search" and model.weighting is not None)
        threshold = None if later else model.threshold

        async def by_vector(top_k: int) -> list[Hit]:
            vector = await self.vector(dataset)
            return await store.search(space, dataset.id, vector, top_k=top_k, threshold=threshold, filter=filter)

        async def by_text(top_k: int) -> list[Hit]:
            return await store.full_text(space, dataset.id, self._query, top_k=top_k, filter=filter)

        async def by_both(top_k: int) -> list[Hit]:
            vector = await self.vector(dataset)
            if capable.hybrid:
                return await store.hybrid(space, dataset.id, vector, self._query, top_k=top_k, filter=filter)
            near, said = await asyncio.gather(by_vector(top_k), by_text(top_k))
            known = {hit.id for hit in near}
            others = [hit.id for hit in said if hit.id not in known]
            scores = await _cosines(store, space, dataset.id, others, vector)
            exact = [msgspec.structs.replace(hit, score=scores.get(hit.id, 0.0)) for hit in said]
            return fuse(near, exact)

        if method == "full_text_search":
            if not capable.full_text:
                raise FullTextNotSupported(
                    f"The vector store of knowledge base {dataset.name} has no full-text search.",
                    hint="Use semantic_search, or move it to a store that has.",
                    dataset_id=dataset.id,
                )
            return by_text
        if method == "hybrid_search" and (capable.hybrid or capable.full_text):
            return by_both
        return by_vector

    async def _candidates(self, dataset: Dataset, hits: Sequence[Hit], *, full_text: bool) -> list[Candidate]:
        """The segments behind hits, in the order of their best hit; hits without a row to show are dropped."""
        if not hits:
            return []
        nodes = [hit.id for hit in hits]
        by_node, children, parents = await self._rows.db.run_read(partial(self._behind, dataset.id, nodes))
        by_id = {pair[0].id: pair for pair in parents}
        found: dict[str, Candidate] = {}
        for hit in hits:
            child = children.get(hit.id)
            pair = by_id.get(child.segment_id) if child is not None else by_node.get(hit.id)
            if pair is None:
                continue
            candidate = found.setdefault(
                pair[0].id,
                Candidate(
                    segment=pair[0],
                    document=pair[1],
                    text=hit.text,
                    node_id=hit.id,
                    score=hit.score,
                    vector_score=None if full_text else hit.score,
                    children=[],
                ),
            )
            if child is not None:
                candidate.children.append((child.id, child.content, child.position, hit.score))
        return list(found.values())

    def _behind(
        self, dataset_id: str, nodes: Sequence[str], conn: sa.Connection
    ) -> tuple[dict[str | None, _Pair], dict[str | None, ChildChunk], list[_Pair]]:
        """The segments behind nodes by these, the children that are nodes, and the segments of those."""
        by_node = {pair[0].index_node_id: pair for pair in self._found.by_node(conn, dataset_id, nodes)}
        rest = [node for node in nodes if node not in by_node]
        found = self._found.children(conn, dataset_id, rest) if rest else []
        held = sorted({child.segment_id for child in found})
        parents = self._found.by_id(conn, dataset_id, held) if held else []
        return by_node, {child.index_node_id: child for child in found}, parents

    # -- economy ---------------------------------------------------------------------------------------------

    async def _by_words(self, dataset: Dataset, top_k: int, scope: _Scope) -> list[Candidate]:
        """The segments that share most words with the query, then scored by TF-IDF."""
        asked = sorted(set(words(self._query)))
        if not asked:
            return []
        shared = sa.func.count().label("shared")
        query = (
            self._rows.scoped_select(document_segments, document_segments.c.id, shared)
            .join(dataset_keywords, dataset_keywords.c.segment_id == document_segments.c.id)
            .join(documents, documents.c.id == document_segments.c.document_id)
            .where(
                dataset_keywords.c.dataset_id == dataset.id,
                dataset_keywords.c.keyword.in_(asked),
                document_segments.c.enabled.is_(True),
                document_segments.c.status == "completed",
                searchable(),
            )
            .group_by(document_segments.c.id)
            .order_by(shared.desc(), document_segments.c.id)
            .limit(top_k * 4)
        )
        if scope.documents is not None:
            query = query.where(documents.c.id.in_(scope.documents))
        async with self._rows.db.read() as conn:
            ids = [row.id for row in await conn.execute(query)]
        pairs = await self._rows.db.run_read(partial(self._found.by_id, dataset_id=dataset.id, ids=ids)) if ids else []
        scores = keyword_scores(self._query, [segment.content for segment, _ in pairs])
        found = [
            Candidate(segment=segment, document=document, text=segment.content, node_id=segment.id, score=score)
            for (segment, document), score in zip(pairs, scores, strict=True)
        ]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.segment.id))


class _Scope(msgspec.Struct, frozen=True):
    """A limit on documents: as the store's filter, and as ids (None = no limit by conditions)."""

    filter: Filter | None
    documents: list[str] | None


_NOTHING = _Scope(And([]), [])


async def _cosines(
    store: VectorStore, space: Space, partition: str, ids: Sequence[str], vector: Vector
) -> dict[str, float]:
    """The cosine similarity of stored records to a unit vector, by id."""
    records = await store.get(space, partition, ids) if ids else []
    found = {}
    for record in records:
        stored = unit(record.vector)
        if stored is not None:
            found[record.id] = sum(a * b for a, b in zip(stored, vector, strict=True))
    return found
