"""The store: one collection a space, the partition as tenant, dense vectors for meaning and sparse ones for words."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dify_kernel.contracts.vector import (
    EngineVersion,
    Filter,
    Hit,
    Page,
    Record,
    Space,
    VectorCapabilities,
    VectorStore,
)
from dify_kernel.contracts.vector_exact import fused, narrow
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    cut,
    is_uuid,
    last_by_id,
    matches,
    unit,
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable

from dify_vdb_qdrant.faults import is_missing, translated
from dify_vdb_qdrant.filters import Condition, said, to_condition
from dify_vdb_qdrant.points import (
    PAYLOAD,
    VECTOR,
    WORDS,
    query_words,
    to_filter,
    to_hit,
    to_point,
    to_record,
)
from dify_vdb_qdrant.settings import QdrantSettings

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

__all__ = ["QdrantVectorStore"]

T = TypeVar("T")
BATCH = 256
PAGE = 1000


class QdrantVectorStore(VectorStore):
    """Records in Qdrant, on a server or in a local folder; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=65535)

    def __init__(self, settings: QdrantSettings) -> None:
        self._settings = settings
        self._opened: AsyncQdrantClient | None = None
        self._models: Any = None

    async def open(self) -> None:
        vendor = await asyncio.to_thread(importlib.import_module, "qdrant_client")
        if self._opened is not None:
            return
        settings = self._settings
        self._models = vendor.models
        try:
            if settings.url == ":memory:":
                self._opened = vendor.AsyncQdrantClient(location=":memory:")
            elif settings.local:
                self._opened = vendor.AsyncQdrantClient(path=settings.url.removeprefix("path:"))
            else:
                self._opened = vendor.AsyncQdrantClient(
                    url=settings.url,
                    api_key=settings.api_key.reveal() or None,
                    timeout=settings.client_timeout,
                    prefer_grpc=settings.grpc_enabled,
                    grpc_port=settings.grpc_port,
                    check_compatibility=False,
                )
        except Exception as exc:
            raise translated(exc, settings.url) from exc

    async def close(self) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def version(self) -> EngineVersion | None:
        told = await self._call(self._client.info())
        return EngineVersion(name="Qdrant", version=told.version, supported=">=1.11")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        models = self._models
        if not await self._call(self._client.collection_exists(space.name)):
            try:
                await self._client.create_collection(
                    space.name,
                    vectors_config={VECTOR: models.VectorParams(size=space.dimension, distance=models.Distance.COSINE)},
                    sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                    hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
                    replication_factor=self._settings.replication_factor,
                )
            except Exception as exc:  # another process may have been faster
                if not await self._call(self._client.collection_exists(space.name)):
                    raise translated(exc, self._settings.url) from exc
        info = await self._call(self._client.get_collection(space.name))
        dense: Any = info.config.params.vectors
        if dense[VECTOR].size != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {dense[VECTOR].size}, not {space.dimension}.")
        if not self._settings.local and "group_id" not in info.payload_schema:
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await self._call(self._client.create_payload_index(space.name, "group_id", tenant))
            await self._call(self._client.create_payload_index(space.name, "tokens", models.PayloadSchemaType.KEYWORD))

    async def drop(self, space: Space) -> None:
        await self._on(space, self._client.delete_collection(space.name), absent=False)

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        kept = last_by_id(records)
        for start in range(0, len(kept), BATCH):
            points = [to_point(self._models, partition, record) for record in kept[start : start + BATCH]]
            if await self._on(space, self._client.upsert(space.name, points=points, wait=True), absent=None) is None:
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
        known = None if ids is None else [id for id in ids if is_uuid(id)]
        client = self._client
        if known == []:
            return
        chosen = await self._filter(space, partition, filter, ids=known)
        selector = self._models.FilterSelector(filter=chosen)
        await self._on(space, client.delete(space.name, points_selector=selector, wait=True), absent=None)

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
        return cut(
            await self._near(space, await self._filter(space, partition, filter), vector, top_k), top_k, threshold
        )

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        return await self._worded(space, await self._filter(space, partition, filter), query, top_k)

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
        client, known = self._client, [id for id in dict.fromkeys(ids) if is_uuid(id)]
        if not known:
            return []
        call = client.retrieve(space.name, known, with_payload=True, with_vectors=[VECTOR])
        points = [
            point for point in await self._on(space, call, absent=[]) if (point.payload or {})["group_id"] == partition
        ]
        found = {record.id: record for record in map(to_record, points)}
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        chosen = await self._filter(space, partition, filter)
        result: Any = await self._on(space, self._client.count(space.name, chosen, exact=True), absent=None)
        return 0 if result is None else int(result.count)

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        chosen = await self._filter(space, partition, None)
        points, after = await self._scroll(space, chosen, limit, cursor, [*PAYLOAD], [VECTOR])
        return Page(records=[to_record(point) for point in points], cursor=after)

    # -- asking the server --------------------------------------------------------------------------------------

    async def _near(self, space: Space, chosen: Any, vector: Sequence[float], top_k: int) -> list[Hit]:
        call = self._client.query_points(
            space.name, query=unit(vector), using=VECTOR, query_filter=chosen, limit=top_k, with_payload=[*PAYLOAD]
        )
        result: Any = await self._on(space, call, absent=None)
        return [to_hit(point, cosine=True) for point in result.points] if result else []

    async def _worded(self, space: Space, chosen: Any, query: str, top_k: int) -> list[Hit]:
        words, client = query_words(query), self._client
        if not words:
            return []
        sparse = self._models.SparseVector(indices=words, values=[1.0] * len(words))
        call = client.query_points(
            space.name, query=sparse, using=WORDS, query_filter=chosen, limit=top_k, with_payload=[*PAYLOAD]
        )
        result: Any = await self._on(space, call, absent=None)
        return [to_hit(point, cosine=False) for point in result.points] if result else []

    async def _scroll(
        self, space: Space, chosen: Any, limit: int, after: str | None, payload: list[str], vectors: list[str]
    ) -> tuple[list[Any], str | None]:
        call = self._client.scroll(
            space.name,
            scroll_filter=chosen,
            limit=limit,
            offset=after,
            with_payload=payload,
            with_vectors=vectors or False,
        )
        points, following = await self._on(space, call, absent=([], None))
        return points, None if following is None else str(following)

    async def _filter(
        self, space: Space, partition: str, filter: Filter | None, *, ids: Sequence[str] | None = None
    ) -> Any:
        """The client's filter; what Qdrant cannot say becomes the ids of the records that satisfy it."""
        conditions: list[Condition] = [{"key": "group_id", "match": {"value": partition}}]
        if ids is not None:
            conditions.append({"has_id": list(ids)})
        narrowed, whole = narrow(filter, said)
        if narrowed is not None:
            conditions.append(to_condition(narrowed))
        if filter is not None and not whole:
            conditions.append({"has_id": await self._matching(space, conditions, filter)})
        return to_filter(self._models, conditions)

    async def _matching(self, space: Space, conditions: list[Condition], filter: Filter) -> list[str]:
        """The ids among the records of some conditions that satisfy a filter, by reading their metadata."""
        ids: list[str] = []
        chosen, after, first = to_filter(self._models, conditions), None, True
        while first or after is not None:
            first = False
            points, after = await self._scroll(space, chosen, PAGE, after, ["metadata"], [])
            ids += [str(point.id) for point in points if matches(filter, point.payload["metadata"])]
        return ids

    @property
    def _client(self) -> AsyncQdrantClient:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except Exception as exc:
            raise translated(exc, self._settings.url) from exc

    async def _on(self, space: Space, call: Awaitable[T], *, absent: Any) -> T:
        """A call on a collection, or `absent` when there is no such collection."""
        try:
            return await call
        except Exception as exc:
            local = self._settings.local and isinstance(exc, ValueError)
            if is_missing(exc) or (local and not await self._client.collection_exists(space.name)):
                return absent  # type: ignore[no-any-return]
            raise translated(exc, self._settings.url) from exc
