"""The store: one collection a space, searched within the records whose metadata names the partition."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any, ClassVar

from dify_kernel.contracts.lexical import Bm25, query_terms
from dify_kernel.contracts.vector import (
    EngineVersion,
    Filter,
    Hit,
    Metadata,
    Page,
    Record,
    Space,
    VectorCapabilities,
    VectorStore,
)
from dify_kernel.contracts.vector_exact import fused, over_fetch, pages, search_pages
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    clamp,
    cut,
    is_uuid,
    last_by_id,
    matches,
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable

from dify_vdb_chroma.client import Client
from dify_vdb_chroma.filters import Where, every, where_of
from dify_vdb_chroma.records import KEYS, as_vector, key_of, metadata_of, text_of, to_hit, to_rows, words_of
from dify_vdb_chroma.settings import ChromaSettings

__all__ = ["ChromaVectorStore"]

BATCH = 500
MOST = 20_000
Row = tuple[str, str, dict[str, Any], list[float]]
"""Id, document, metadata and vector; what was not asked for is empty."""


class ChromaVectorStore(VectorStore):
    """Records on a Chroma server; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=65_535)

    def __init__(self, settings: ChromaSettings) -> None:
        self._settings = settings
        self._opened: Client | None = None
        self._ids: dict[str, str] = {}
        self._packed = False
        self._batch = BATCH

    async def open(self) -> None:
        await asyncio.to_thread(importlib.import_module, "httpx")
        if self._opened is not None:
            return
        client = Client(self._settings)
        try:
            checks = await client.checks()
        except BaseException:
            await client.close()
            raise
        if self._opened is not None:  # opened by somebody else meanwhile
            await client.close()
            return
        self._packed = bool(checks.get("supports_base64_encoding"))
        self._batch = max(1, min(BATCH, int(checks.get("max_batch_size", BATCH))))
        self._opened = client

    async def close(self) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def version(self) -> EngineVersion | None:
        # All servers of the first major version say 1.0.0; one that keeps no lists in metadata refuses the first write.
        return EngineVersion(name="Chroma", version=await self._client.version(), supported=">=1,<2")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        name = _name(space)
        made = await self._client.find(name)
        if made is None:
            body = {
                "name": name,
                "metadata": {"dimension": space.dimension},
                "configuration": {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}},
            }
            made = await self._client.create(body)
        self._ids[name] = made["id"]
        dimension = (made.get("metadata") or {}).get("dimension")
        if dimension != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        self._ids.pop(_name(space), None)
        await self._client.drop(_name(space))

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        kept = last_by_id(records)
        for start in range(0, len(kept), self._batch):
            body = to_rows(partition, kept[start : start + self._batch], packed=self._packed)
            if await self._on(space, "upsert", body) is None:
                raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        if ids is None:
            where, whole = where_of(partition, filter)
            known = await self._matching(space, where, None if whole else filter)
        else:
            asked = [id for id in dict.fromkeys(ids) if is_uuid(id)]
            known = [row[0] for row in await self._by_ids(space, partition, asked, []) if matches(filter, _own(row))]
        for start in range(0, len(known), BATCH):
            await self._on(space, "delete", {"ids": known[start : start + BATCH]})

    async def search(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        *,
        top_k: int = 4,
        threshold: float | None = None,
        filter: Filter | None = None,
    ) -> list[Hit]:
        check_query(space, vector, top_k, filter)
        where, whole = where_of(partition, filter)
        body = {"query_embeddings": [as_vector(vector, packed=False)], "where": where}
        complete = True

        async def fetch(limit: int) -> list[Hit]:
            nonlocal complete
            hits = await self._near(space, {**body, "n_results": limit})
            if len(hits) < limit:  # the end, or a graph that has lost some
                complete = len(hits) == len(await self._matching(space, where, None))
            return hits

        def keep(hit: Hit) -> bool:
            return whole or matches(filter, hit.metadata)

        found = await over_fetch(fetch, keep, top_k, most=MOST)
        if found is None or not complete:
            return await search_pages(
                pages(self, space, partition), vector, top_k=top_k, threshold=threshold, filter=filter
            )
        return cut(found, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        terms = [{"$contains": f" {term} "} for term in query_terms(query)]
        if not terms:
            return []
        where, whole = where_of(partition, filter)
        words, found = Bm25(query), set[str]()
        for start in range(0, len(terms), BATCH):
            some = terms[start : start + BATCH]
            asked = {"where": where, "where_document": some[0] if len(some) == 1 else {"$or": some}}
            for id, document, row, _ in await self._rows(space, asked, ["documents", "metadatas"]):
                if id not in found and (whole or matches(filter, metadata_of(row))):
                    counted = words_of(document)
                    found.add(id)
                    words.add_counted(id, counted.total(), counted)
        ranking = words.ranked()[:top_k]
        records = {record.id: record for record in await self.get(space, partition, [id for id, _ in ranking])}
        return [
            Hit(id=id, text=records[id].text, score=score, metadata=records[id].metadata)
            for id, score in ranking
            if id in records
        ]

    async def hybrid(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        query: str,
        *,
        top_k: int = 4,
        filter: Filter | None = None,
    ) -> list[Hit]:
        return await fused(self, space, partition, vector, query, top_k=top_k, filter=filter)

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
        rows = await self._by_ids(space, partition, known, ["documents", "embeddings"])
        found = {row[0]: _record(row) for row in rows}
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        where, whole = where_of(partition, filter)
        return len(await self._matching(space, where, None if whole else filter))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        after, size = _place(cursor)
        ids, size = await self._following(space, where_of(partition, None)[0], after, size, limit + 1)
        records = await self.get(space, partition, ids[:limit])
        return Page(records=records, cursor=f"{ids[limit - 1]}/{size}" if len(ids) > limit else None)

    # -- asking the server --------------------------------------------------------------------------------------

    async def _near(self, space: Space, body: dict[str, Any]) -> list[Hit]:
        answer = await self._on(space, "query", {**body, "include": ["documents", "metadatas", "distances"]})
        if answer is None or not answer["ids"]:
            return []
        columns = (answer[name][0] for name in ("ids", "documents", "metadatas", "distances"))
        return [to_hit(id, document, row, clamp(1 - far)) for id, document, row, far in zip(*columns, strict=True)]

    async def _rows(self, space: Space, asked: dict[str, Any], include: list[str]) -> list[Row]:
        answer = await self._on(space, "get", {**asked, "include": include})
        if answer is None:
            return []
        ids = answer["ids"]
        documents = answer["documents"] or [""] * len(ids)
        metadatas = answer["metadatas"] or [{}] * len(ids)
        vectors = answer["embeddings"] or [[]] * len(ids)
        return list(zip(ids, documents, metadatas, vectors, strict=True))

    async def _by_ids(self, space: Space, partition: str, ids: Sequence[str], include: list[str]) -> list[Row]:
        """Records of a partition by their ids. The server takes long for ids and a condition in one question."""
        found: list[Row] = []
        for start in range(0, len(ids), BATCH):
            rows = await self._rows(space, {"ids": ids[start : start + BATCH]}, [*include, "metadatas"])
            found += [row for row in rows if row[2]["partition"] == partition]
        return found

    async def _matching(self, space: Space, where: Where, filter: Filter | None) -> list[str]:
        """The ids among some records that satisfy what the server was not told of a filter."""
        rows = await self._rows(space, {"where": where}, [] if filter is None else ["metadatas"])
        return [row[0] for row in rows if matches(filter, {} if filter is None else _own(row))]

    async def _following(
        self, space: Space, where: Where, after: str | None, size: int, wanted: int
    ) -> tuple[list[str], int]:
        """Ids behind a place, by key and then by id, and how many the partition held when the scan began.

        Chroma orders by what it likes, so a stretch of keys is asked for that should hold enough, then a longer one.
        """
        if after is None:
            ids = await self._matching(space, where, None)
            return sorted(ids, key=_order)[:wanted], len(ids)
        low = key_of(after)
        width = max(1, min(KEYS, 2 * KEYS * wanted // max(1, size)))
        while True:
            stretch = every(where, {"key": {"$gte": low}}, {"key": {"$lt": low + width}})
            ids = [id for id in await self._matching(space, stretch, None) if _order(id) > _order(after)]
            if len(ids) >= wanted or low + width >= KEYS:
                return sorted(ids, key=_order)[:wanted], size
            width *= 4

    async def _on(self, space: Space, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """A request on the collection of a space; None when there is none. Its id may have changed since."""
        client, name = self._client, _name(space)
        known = self._ids.get(name)
        if known is not None:
            answer = await client.on(known, what, body)
            if answer is not None:
                return answer
        found = await self._client.find(name)
        if found is None:
            self._ids.pop(name, None)
            return None
        self._ids[name] = found["id"]
        return await self._client.on(found["id"], what, body)

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened


def _name(space: Space) -> str:
    """The collection of a space: short names are refused, and case is not told apart everywhere."""
    return native_name(space.name, prefix="dify_")


def _record(row: Row) -> Record:
    id, document, metadata, vector = row
    return Record(id=id, text=text_of(document), vector=vector, metadata=metadata_of(metadata))


def _own(row: Row) -> Metadata:
    return metadata_of(row[2])


def _order(id: str) -> tuple[int, str]:
    return key_of(id), id


def _place(cursor: str | None) -> tuple[str | None, int]:
    """The last id of a page and the size of its partition."""
    if cursor is None:
        return None, 0
    id, _, size = cursor.partition("/")
    if not is_uuid(id) or not (size.isascii() and size.isdigit() and len(size) < 12):
        raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
    return id, int(size)
