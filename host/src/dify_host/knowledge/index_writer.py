"""Puts segments into the index of their dataset and takes them out: vectors for high quality, words for economy.

Ids in the index are kept in the rows before anything is written, so that writing again replaces and never doubles.
No transaction is open while the model or the store is asked.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.vector import Compare, Filter, Record, VectorStore
from dify_kernel.errors import BadInput, DifyError

from dify_host.db.errors import DatabaseError
from dify_host.db.statements import put_missing
from dify_host.db.types import utc_now
from dify_host.knowledge.chunk import text_hash
from dify_host.knowledge.embedding import Embedder, Vector, unit
from dify_host.knowledge.errors import ProviderNotInitialize
from dify_host.knowledge.patience import Patience, Told, patiently
from dify_host.knowledge.records import ChildChunk, Dataset, IndexStruct, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import child_chunks, dataset_keywords, datasets, document_segments
from dify_host.knowledge.vectors import VectorStores
from dify_host.knowledge.words import MAX_KEYWORD, keywords, words

__all__ = ["IndexWriter", "Node", "embedder_of", "record_of"]

log = logging.getLogger(__name__)

_DELETE_GROUP = 500
_NO_VECTOR = "The embedding model gave no usable vector for this text."


class Node(msgspec.Struct, frozen=True):
    """One text to embed: a segment, or a child of one."""

    id: str
    text: str
    hash: str
    segment: Segment


def embedder_of(
    repository: KnowledgeRepository,
    models: ModelsPort,
    dataset: Dataset,
    *,
    patience: Patience | None = None,
    told: Told | None = None,
) -> Embedder:
    """The embedder of a high-quality dataset; ProviderNotInitialize when it names no model."""
    if not dataset.embedding_model or not dataset.embedding_model_provider or dataset.index is None:
        raise ProviderNotInitialize(
            f"Knowledge base {dataset.name} has no embedding model.",
            hint="Choose an embedding model in its settings.",
            dataset_id=dataset.id,
        )
    provider, model = dataset.embedding_model_provider, dataset.embedding_model
    return Embedder(repository.db, models, provider, model, patience=patience, told=told)


class _Lost(NamedTuple):
    """Why segments gave no vector, by their ids: `whole` ones, and those of which some children did."""

    whole: dict[str, str]
    in_part: dict[str, str]


class IndexWriter:
    """Writes for one tenant; calls of model and store are repeated with `patience`, and `told` hears of it."""

    def __init__(
        self,
        repository: KnowledgeRepository,
        stores: VectorStores,
        models: ModelsPort,
        *,
        patience: Patience | None = None,
        told: Told | None = None,
    ) -> None:
        self._repository = repository
        self._stores = stores
        self._models = models
        self._patience = patience or Patience(attempts=1)
        self._told = told

    async def batch_size(self, dataset: Dataset) -> int:
        """How many segments are worth writing at once: a few calls of the embedding model."""
        if dataset.indexing_technique != "high_quality" or dataset.moved_from is not None:
            return 100
        return 4 * await embedder_of(self._repository, self._models, dataset).batch_size()

    async def write(self, dataset: Dataset, segments: Sequence[Segment]) -> None:
        """Index the segments; afterwards each is `completed`, or `error` when its text gave no usable vector.

        One that has the vectors of some of its children is completed, with an error that counts the others.
        While a new index is made, they go into the old one too, as far as its model lets them. When the dataset got
        another technique or model meanwhile, they stay as they are, for another call.
        """
        serving = dataset.serving
        if serving is not None:
            await self._write_old(serving, segments)
        lost = _Lost({}, {})
        if dataset.indexing_technique == "high_quality":
            lost = await self._write_vectors(dataset, segments)

        def settled(conn: sa.Connection) -> Dataset:
            current = self._repository.dataset_now(conn, dataset.id, lock=True)
            if current.same_place(dataset):
                if dataset.indexing_technique != "high_quality":
                    there = {item.id for item in self._repository.by_id(conn, [item.id for item in segments])}
                    self.write_words(conn, dataset, [item for item in segments if item.id in there])
                self._settle(conn, segments, lost)
            return current

        current = await self._repository.db.run_write(settled)
        for place in (dataset, serving):
            if place is not None and not any(place.same_place(held) for held in _places(current)):
                await self._take_out(place, await self._nodes(segments))

    async def copy(self, dataset: Dataset, segments: Sequence[Segment]) -> list[Segment]:
        """Put completed segments into the new index alone; returns those that were changed meanwhile, as they are now.

        What moves to another store is taken from the one that serves, and embedded only where it is not there. A
        segment whose text gives no vector is an error from then on.
        """
        nodes = await self._nodes(segments)
        lost = _Lost({}, {})
        if dataset.indexing_technique == "high_quality":
            lost = await self._write_vectors(dataset, segments, source=dataset.moved_from)

        def kept(conn: sa.Connection) -> dict[str, Segment]:
            self._repository.dataset_now(conn, dataset.id, lock=True)
            now = {segment.id: segment for segment in self._repository.by_id(conn, [s.id for s in segments])}
            held = [segment for segment in segments if segment.id in now]
            if dataset.indexing_technique != "high_quality":
                self.write_words(conn, dataset, held)
            if touched := [segment for segment in held if segment.id in lost.whole or segment.id in lost.in_part]:
                self._settle(conn, touched, lost)
            return now

        now = await self._repository.db.run_write(kept)
        # Children change without their segment; their rows do before anything is written to an index.
        current = {node.id: node for node in await self._nodes(list(now.values()))}
        by_words = dataset.indexing_technique != "high_quality"
        gone = [node for node in nodes if node.id not in current and not (by_words and node.segment.id in now)]
        await self._take_out(dataset, gone)
        old = {node.id: node.hash for node in nodes}
        changed = {node.segment.id for node in current.values() if old.get(node.id) != node.hash}
        return [segment for segment in now.values() if segment.id in changed]

    async def remove_document(self, dataset: Dataset, document_id: str) -> None:
        """Take everything of a document out of the index."""
        async with self._repository.db.write() as conn:
            await conn.execute(self._own_words(dataset).where(dataset_keywords.c.document_id == document_id))
        for place in _places(dataset):
            await self._delete(place, filter=Compare("eq", "document_id", document_id))

    async def remove_nodes(self, dataset: Dataset, node_ids: Sequence[str], segment_ids: Sequence[str] = ()) -> None:
        """Take vectors out by their index ids, and words by their segments."""
        for start in range(0, len(segment_ids), _DELETE_GROUP):
            group = segment_ids[start : start + _DELETE_GROUP]
            async with self._repository.db.write() as conn:
                await conn.execute(self._own_words(dataset).where(dataset_keywords.c.segment_id.in_(group)))
        for place in _places(dataset):
            for start in range(0, len(node_ids), _DELETE_GROUP):
                await self._delete(place, ids=list(node_ids[start : start + _DELETE_GROUP]))

    async def remove_dataset(self, dataset: Dataset) -> None:
        """Take the whole dataset out of every index that it has."""
        for place in _places(dataset):
            await self.remove_place(place)

    async def remove_place(self, place: Dataset) -> None:
        """Take the whole dataset out of the one index that this struct names, and of none that serves beside it."""
        if place.indexing_technique != "high_quality":
            async with self._repository.db.write() as conn:
                await conn.execute(self._own_words(place))
        await self._delete(place)

    async def _write_old(self, serving: Dataset, segments: Sequence[Segment]) -> None:
        """Keep the index that is searched up to date; what its model cannot embed is found by the new one."""
        try:
            if serving.indexing_technique != "high_quality":
                await self._repository.db.run_write(lambda conn: self.write_words(conn, serving, segments))
            elif serving.index is not None and serving.index.dimension:
                once = IndexWriter(self._repository, self._stores, self._models)
                await once._write_vectors(serving, segments)
        except DatabaseError:
            raise
        except DifyError as exc:
            log.warning("The old index of %s does not get %d segments: %s", serving.id, len(segments), exc)

    async def _take_out(self, place: Dataset, nodes: Sequence[Node]) -> None:
        """Take out what is in an index that is not the dataset's any more, or does not belong there any more."""
        if not nodes:
            return
        alone = msgspec.structs.replace(place, index_struct=place.place["index_struct"])
        words_of = [] if place.indexing_technique == "high_quality" else sorted({node.segment.id for node in nodes})
        await self.remove_nodes(alone, [node.id for node in nodes], words_of)

    # -- vectors -----------------------------------------------------------------------------------------------

    async def _write_vectors(
        self, dataset: Dataset, segments: Sequence[Segment], *, source: Dataset | None = None
    ) -> _Lost:
        """Embed and upsert; return what gave no vector. What `source` holds is not embedded."""
        nodes = await self._nodes(segments)
        known = await self._held(source, nodes) if source is not None else {}
        rest = [node for node in nodes if node.id not in known]
        embedder = embedder_of(self._repository, self._models, dataset, patience=self._patience, told=self._told)
        made = await embedder.documents([node.text for node in rest], [node.hash for node in rest]) if rest else []
        found: dict[str, Vector | None] = {**known, **{node.id: to for node, to in zip(rest, made, strict=True)}}
        vectors = [found[node.id] for node in nodes]
        usable = [(node, vector) for node, vector in zip(nodes, vectors, strict=True) if vector is not None]
        if usable:
            index = await self._with_dimension(dataset, len(usable[0][1]))
            records = [record_of(node, vector) for node, vector in usable]
            await patiently(partial(self._upsert, index, dataset.id, records), self._patience, self._told)
        without = [node for node, vector in zip(nodes, vectors, strict=True) if vector is None]
        why = {node.segment.id: embedder.refused.get(node.hash, _NO_VECTOR) for node in without}
        there = {node.segment.id for node, _ in usable}
        counts = Counter(node.segment.id for node in without)
        return _Lost(
            whole={id: reason for id, reason in why.items() if id not in there},
            in_part={id: f"Child chunks without a vector: {counts[id]}. {why[id]}" for id in why if id in there},
        )

    async def _held(self, source: Dataset, nodes: Sequence[Node]) -> dict[str, Vector]:
        """The vectors that an index holds for these very texts, by the ids of their nodes."""
        index = source.index
        if index is None or index.space is None or not nodes:
            return {}
        store = await self._stores.ready(index.store, index.space)
        get = partial(store.get, index.space, source.id, [node.id for node in nodes])
        wanted = {node.id: node.hash for node in nodes}
        held = {}
        for record in await patiently(get, self._patience, self._told):
            vector = unit(record.vector)
            if vector is not None and record.metadata.get("doc_hash") == wanted[record.id]:
                held[record.id] = vector
        return held

    async def _upsert(self, index: IndexStruct, partition: str, records: Sequence[Record]) -> None:
        assert index.space is not None
        store = await self._stores.ready(index.store, index.space)
        await store.upsert(index.space, partition, records)

    async def _nodes(self, segments: Sequence[Segment]) -> list[Node]:
        """What to embed: the children where there are any, else the segment."""
        children = await self._repository.db.run_read(lambda conn: self._repository.children_of(conn, segments))
        by_segment: dict[str, list[ChildChunk]] = {}
        for child in children:
            by_segment.setdefault(child.segment_id, []).append(child)
        nodes = []
        for segment in segments:
            items: Sequence[Segment | ChildChunk] = by_segment.get(segment.id) or [segment]
            for item in items:
                nodes.append(
                    Node(
                        item.index_node_id or item.id,
                        item.content,
                        item.index_node_hash or text_hash(item.content),
                        segment,
                    )
                )
        return nodes

    async def _with_dimension(self, dataset: Dataset, dimension: int) -> IndexStruct:
        """Record the dimension at the first vector; BadInput when the model has changed it since."""
        index = dataset.index
        assert index is not None
        if index.dimension == dimension:
            return index
        if index.dimension:
            raise BadInput(
                f"The embedding model now gives vectors of {dimension} numbers, and the knowledge base holds vectors "
                f"of {index.dimension}.",
                hint="Choose the embedding model anew, which indexes everything again.",
                dataset_id=dataset.id,
            )
        known = msgspec.structs.replace(index, dimension=dimension)
        async with self._repository.db.write() as conn:
            current = await self._repository.dataset(conn, dataset.id, lock=True)
            if current.same_place(dataset):
                struct = {**(current.index_struct or {}), **known.stored()}
                change = self._repository.scoped_update(datasets, {"index_struct": struct})
                await conn.execute(change.where(datasets.c.id == dataset.id))
        dataset.index_struct = {**(dataset.index_struct or {}), **known.stored()}
        return known

    async def _delete(self, dataset: Dataset, *, ids: list[str] | None = None, filter: Filter | None = None) -> None:
        index = dataset.index
        if index is not None and index.space is not None:
            store: VectorStore = await self._stores.open(index.store)
            await store.delete(index.space, dataset.id, ids=ids, filter=filter)

    # -- words -------------------------------------------------------------------------------------------------

    def write_words(self, conn: sa.Connection, dataset: Dataset, segments: Sequence[Segment]) -> None:
        """Replace the words of the segments, and choose the keywords of those that have none."""
        ids = [segment.id for segment in segments]
        conn.execute(self._own_words(dataset).where(dataset_keywords.c.segment_id.in_(ids)))
        rows, chosen = [], []
        for segment in segments:
            if segment.keywords is None:
                segment.keywords = keywords(segment.content, dataset.keyword_number)
                chosen.append({"chosen_for": segment.id, "chosen": segment.keywords})
            given = {keyword.lower()[:MAX_KEYWORD] for keyword in segment.keywords}
            for word in sorted(given.union(words(segment.content), words(" ".join(segment.keywords)))):
                rows.append(
                    {
                        "dataset_id": dataset.id,
                        "keyword": word,
                        "segment_id": segment.id,
                        "document_id": segment.document_id,
                    }
                )
        put_missing(conn, dataset_keywords, rows, key=["dataset_id", "keyword", "segment_id"])
        if chosen:
            change = self._repository.scoped_update(document_segments, {"keywords": sa.bindparam("chosen")})
            conn.execute(change.where(document_segments.c.id == sa.bindparam("chosen_for")), chosen)

    def _own_words(self, dataset: Dataset) -> sa.Delete:
        return dataset_keywords.delete().where(
            dataset_keywords.c.dataset_id == dataset.id,
            self._repository.reached_through(dataset_keywords.c.dataset_id, root=datasets),
        )

    # -- rows --------------------------------------------------------------------------------------------------

    def _settle(self, conn: sa.Connection, segments: Sequence[Segment], lost: _Lost) -> None:
        """Record how the segments ended."""
        now = utc_now()
        finished = [segment.id for segment in segments if segment.id not in lost.whole]
        self._mark(conn, finished, status="completed", completed_at=now, error=None, stopped_at=None)
        for message, ids in _by_reason(lost.in_part):
            self._mark(conn, ids, error=message)
        for message, ids in _by_reason(lost.whole):
            self._mark(conn, ids, status="error", stopped_at=now, error=message)
        if self._repository.have_children(conn, segments):
            change = self._repository.scoped_update(child_chunks, {"completed_at": now})
            conn.execute(change.where(child_chunks.c.segment_id.in_(finished)))

    def _mark(self, conn: sa.Connection, ids: list[str], **values: Any) -> None:
        change = self._repository.scoped_update(document_segments, values)
        conn.execute(change.where(document_segments.c.id.in_(ids)))


def _by_reason(reasons: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Every reason with its ids, both in order."""
    return [(why, sorted(id for id in reasons if reasons[id] == why)) for why in sorted(set(reasons.values()))]


def _places(dataset: Dataset) -> list[Dataset]:
    """Every index that the dataset has: its own, and the one that serves until that is whole."""
    return [dataset, dataset.serving] if dataset.serving is not None else [dataset]


def record_of(node: Node, vector: Vector) -> Record:
    """What a store keeps of a node."""
    metadata = {
        "doc_id": node.id,
        "dataset_id": node.segment.dataset_id,
        "document_id": node.segment.document_id,
        "doc_hash": node.hash,
        "doc_type": "text",
    }
    return Record(id=node.id, text=node.text, vector=vector, metadata=metadata)
