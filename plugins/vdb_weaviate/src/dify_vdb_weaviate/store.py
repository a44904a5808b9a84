"""The store: one collection a space, one tenant a partition, the server's vectors, words and filters."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, ClassVar

from dify_kernel.contracts.lexical import query_terms
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
from dify_kernel.contracts.vector_exact import full_text_pages, fused, over_fetch, pages, search_pages
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
from dify_kernel.errors import (
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)

from dify_vdb_weaviate.client import Client
from dify_vdb_weaviate.faults import Unimplemented
from dify_vdb_weaviate.filters import Where, by_ids, where_of
from dify_vdb_weaviate.objects import (
    collection_of,
    dimension_of,
    metadata_of,
    name_of,
    packed,
    tenant_of,
    to_hit,
    to_object,
    to_record,
    values_of,
)
from dify_vdb_weaviate.settings import WeaviateSettings

__all__ = ["WeaviateVectorStore"]

MOST = 10_000
"""The longest list of results that a server gives, unless it is configured otherwise."""
IDS = 1000
"""Ids in one request to delete."""
FIRST = ""
"""The place before all records of a tenant: a list that has neither a place nor a condition is in the order of ids."""
FULL, METADATA = ("text", "metadata"), ("metadata",)


class WeaviateVectorStore(VectorStore):
    """Records on a Weaviate server; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=65_535)

    def __init__(self, settings: WeaviateSettings) -> None:
        self._settings = settings
        self._opened: Client | None = None
        self._counts = True

    async def open(self) -> None:
        for library in ("grpc.aio", "httpx", "google.protobuf.message_factory"):
            await asyncio.to_thread(importlib.import_module, library)
        if self._opened is not None:
            return
        client = Client(self._settings)
        try:
            await client.greet()
        except BaseException:
            await client.close()
            raise
        if self._opened is not None:  # opened by somebody else meanwhile
            await client.close()
            return
        self._opened = client

    async def close(self) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def version(self) -> EngineVersion | None:
        return EngineVersion(name="Weaviate", version=await self._client.greet(), supported=">=1.25,<2")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        client = self._client
        made = await client.find(name_of(space))
        if made is None:
            body = collection_of(space)
            if await client.create(body):
                return
            made = await client.find(name_of(space))  # another process may have been faster
            if made is None:
                raise VectorStoreError(f"Weaviate refused to make a collection for space {space.name}.")
        _check_dimension(space, made)

    async def drop(self, space: Space) -> None:
        await self._client.drop(name_of(space))

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        client = self._client
        if not records:
            return
        # A server that makes collections by itself would make a wrong one: ask before writing.
        made = await client.find(name_of(space))
        if made is None:
            raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
        _check_dimension(space, made)
        for objects in self._batches(client, space, partition, last_by_id(records)):
            answer = await client.call("BatchObjects", {"objects": objects})
            if answer.errors:
                reason = " ".join(answer.errors[0].error.split())[:300]
                raise VectorStoreError(f"Weaviate did not write {len(answer.errors)} of {len(objects)}: {reason}.")

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        if ids is None and filter is None:
            await self._client.forget(name_of(space), tenant_of(partition))
            return
        if ids is None:
            where, whole = where_of(filter)
            if whole and where is not None:
                await self._delete(space, partition, where)
                return
            known = await self._matching(space, partition, where, filter)
        else:
            known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
            if filter is not None:
                results = await self._by_ids(space, partition, known, METADATA)
                known = [result.metadata.id for result in results if matches(filter, metadata_of(result))]
        for start in range(0, len(known), IDS):
            await self._delete(space, partition, by_ids(known[start : start + IDS]))

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
        asked = {
            "near_vector": {"vector_bytes": packed(vector)},
            "metadata": {"uuid": True, "distance": True},
        }
        found = await self._ranked(space, partition, asked, top_k, filter, complete=True)
        if found is None:
            return await search_pages(
                pages(self, space, partition), vector, top_k=top_k, threshold=threshold, filter=filter
            )
        hits = await self._hits(space, partition, found, lambda result: clamp(1.0 - result.metadata.distance))
        return cut(hits, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        terms = query_terms(query)
        if not terms:
            return []
        asked = {
            "bm25_search": {"query": " ".join(terms), "properties": ["words"]},
            "metadata": {"uuid": True, "score": True},
        }
        found = await self._ranked(space, partition, asked, top_k, filter, complete=False)
        if found is None:
            return await full_text_pages(pages(self, space, partition), query, top_k=top_k, filter=filter)
        return await self._hits(space, partition, found, lambda result: float(result.metadata.score))

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
        results = await self._by_ids(space, partition, known, FULL, vector=True)
        found = {record.id: record for record in map(to_record, results)}
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        where, whole = where_of(filter)
        if whole and self._counts:
            asked = {"objects_count": True, **({"filters": where} if where else {})}
            try:
                answer = await self._on(space, partition, "Aggregate", asked)
            except Unimplemented:  # before 1.29; then it is asked no more
                self._counts = False
            else:
                return 0 if answer is None else int(answer.single_result.objects_count)
        return len(await self._matching(space, partition, where, filter))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        size = min(limit, MOST - 1, max(1, self._client.rows(dimension=space.dimension) - 1))
        results = await self._after(space, partition, cursor or FIRST, size + 1, FULL, vector=True)
        more = len(results) > size
        return Page(
            records=[to_record(result) for result in results[:size]],
            cursor=results[size - 1].metadata.id if more else None,
        )

    # -- lists of results ------------------------------------------------------------------------------------------

    async def _ranked(
        self,
        space: Space,
        partition: str,
        asked: dict[str, Any],
        top_k: int,
        filter: Filter | None,
        *,
        complete: bool,
    ) -> list[Any] | None:
        """The best results of a search that satisfy a filter; None when only going through the partition is exact.

        A `complete` search finds all there are when it is asked for more: a graph that has lost some does not.
        """
        where, whole = where_of(filter)
        lost = False

        async def fetch(limit: int) -> list[Any]:
            nonlocal lost
            wanted = FULL if limit <= self._client.rows() else () if whole else METADATA
            results = await self._search(space, partition, {**asked, "limit": limit}, wanted, where)
            if complete and len(results) < limit:  # are there more than these?
                asked_more = {"limit": len(results) + 1, "metadata": {"uuid": True}}
                lost = len(await self._search(space, partition, asked_more, (), where)) > len(results)
            return results

        def keep(result: Any) -> bool:
            return whole or matches(filter, metadata_of(result))

        found = await over_fetch(fetch, keep, top_k, most=MOST if whole else self._longest())
        return None if lost else found

    async def _hits(
        self, space: Space, partition: str, results: Sequence[Any], score: Callable[[Any], float]
    ) -> list[Hit]:
        """Results as hits, in their order; texts that did not come with them are asked for."""
        bare = [result.metadata.id for result in results if "text" not in values_of(result)]
        texts = {result.metadata.id: result for result in await self._by_ids(space, partition, bare, FULL)}
        hits = []
        for result in results:
            whole = result if "text" in values_of(result) else texts.get(result.metadata.id)
            if whole is not None:  # deleted meanwhile
                hits.append(to_hit(whole, score(result)))
        return hits

    async def _by_ids(
        self, space: Space, partition: str, ids: Sequence[str], wanted: Sequence[str], *, vector: bool = False
    ) -> list[Any]:
        size = min(IDS, self._client.rows(dimension=space.dimension if vector else 0, text="text" in wanted))
        metadata = {"uuid": True, "vector": vector}
        found: list[Any] = []
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            asked = {"limit": len(some), "metadata": metadata}
            found += await self._search(space, partition, asked, wanted, by_ids(some))
        return found

    async def _after(
        self, space: Space, partition: str, place: str, limit: int, wanted: Sequence[str], *, vector: bool = False
    ) -> list[Any]:
        """The results behind a place, in the order of their ids."""
        asked = {"after": place, "limit": limit, "metadata": {"uuid": True, "vector": vector}}
        return await self._search(space, partition, asked, wanted, None)

    async def _all(self, space: Space, partition: str) -> AsyncIterator[Any]:
        """All results of a partition, with their metadata."""
        place, size = FIRST, self._longest()
        while True:
            results = await self._after(space, partition, place, size, METADATA)
            for result in results:
                yield result
            if len(results) < size:
                return
            place = results[-1].metadata.id

    async def _matching(self, space: Space, partition: str, where: Where | None, filter: Filter | None) -> list[str]:
        """The ids of the records that satisfy a filter, by reading the metadata of those that a condition leaves."""
        limit = self._longest()
        asked = {"limit": limit, "metadata": {"uuid": True}}
        results = await self._search(space, partition, asked, METADATA, where)
        if len(results) == limit:  # there may be more
            results = [result async for result in self._all(space, partition)]
        return [result.metadata.id for result in results if matches(filter, metadata_of(result))]

    # -- asking the server -----------------------------------------------------------------------------------------

    async def _search(
        self, space: Space, partition: str, asked: dict[str, Any], wanted: Sequence[str], where: Where | None
    ) -> list[Any]:
        request = {
            **asked,
            "properties": {"non_ref_properties": list(wanted)},
            "uses_123_api": True,
            "uses_125_api": True,
            "uses_127_api": True,
        }
        if where is not None:
            request["filters"] = where
        answer = await self._on(space, partition, "Search", request)
        return [] if answer is None else list(answer.results)

    async def _delete(self, space: Space, partition: str, where: Where) -> None:
        """Delete what satisfies a condition: the server does so many at a time."""
        while True:
            answer = await self._on(space, partition, "BatchDelete", {"filters": where})
            if answer is None:
                return
            if answer.failed or (answer.matches and not answer.successful):
                raise VectorStoreError(f"Weaviate deleted {answer.successful} of {answer.matches} records alone.")
            if answer.matches <= answer.successful:
                return

    async def _on(self, space: Space, partition: str, method: str, asked: dict[str, Any]) -> Any:
        """Call for a tenant; None when there is no such tenant or collection."""
        client, name, tenant = self._client, name_of(space), tenant_of(partition)
        fields = {"collection": name, "tenant": tenant, **asked}
        try:
            return await client.call(method, fields)
        except (StoreUnavailable, StoreUnauthorized, StoreRateLimited, Unimplemented):
            raise
        except VectorStoreError:
            # What is missing and what is wrong have one code: ask which of them it was.
            if not await client.has(name, tenant):
                return None
        return await client.call(method, fields)  # made meanwhile, or wrong again

    def _batches(self, client: Client, space: Space, partition: str, records: Sequence[Record]) -> Iterator[list[Any]]:
        """Objects in batches of as many as the settings say, none longer than a message may be."""
        batch: list[Any] = []
        length = 0
        for record in records:
            made = client.message_of("BatchObject", to_object(space, partition, record))
            size = made.ByteSize() + 8
            if batch and (len(batch) == self._settings.batch_size or length + size > client.message):
                yield batch
                batch, length = [], 0
            batch.append(made)
            length += size
        yield batch

    def _longest(self) -> int:
        """The longest list of results with their metadata."""
        return min(MOST, self._client.rows(text=False))

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened


def _check_dimension(space: Space, collection: dict[str, Any]) -> None:
    dimension = dimension_of(collection)
    if dimension is None:
        raise InvalidQuery(f"Collection {name_of(space)} was not made by this store.", hint="Remove or rename it.")
    if dimension != space.dimension:
        raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")
