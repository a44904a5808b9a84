"""The store: the service finds candidates, and what they are now is fetched and compared here."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from dify_kernel.contracts.vector import Filter, Hit, Metadata, Page, Record, Space, VectorCapabilities, VectorStore
from dify_kernel.contracts.vector_exact import over_fetch, ranked, search_pages
from dify_kernel.contracts.vector_fit import native_name, until_visible
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    is_uuid,
    last_by_id,
    matches,
)
from dify_kernel.errors import InvalidQuery, SettingsError, StoreUnavailable, VectorStoreError
from dify_kernel.settings import shown_address

from dify_vdb_upstash.client import Client
from dify_vdb_upstash.filters import expression_of
from dify_vdb_upstash.records import batches, has_metadata, metadata_of, padded, to_item, to_record
from dify_vdb_upstash.settings import UpstashSettings

__all__ = ["UpstashVectorStore"]

LONGEST, IDS, VECTORS = 1_000, 1_000, 100
"""The longest list, ids in a page, and records in one answer."""
DROPS = 8
MARK = "space"


class UpstashVectorStore(VectorStore):
    """Records in an index of Upstash Vector; scores are cosines of the vectors as they are kept."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(max_dimension=5_376)

    def __init__(self, settings: UpstashSettings) -> None:
        self._settings = settings
        self._opened: Client | None = None
        self._dimension = 0

    async def open(self) -> None:
        if not self._settings.url:
            raise SettingsError(
                "UPSTASH_VECTOR_URL is not set.", hint="Address of the index.", setting="UPSTASH_VECTOR_URL"
            )
        await asyncio.to_thread(importlib.import_module, "httpx")
        if self._opened is not None:
            return
        client = Client(self._settings)
        try:
            info = await client.info()
            if info.get("sparseIndex") or not info.get("dimension"):
                raise VectorStoreError(
                    f"The index of Upstash at {shown_address(self._settings.url)} is not dense.",
                    hint="Make an index of the type Dense, with no embedding model.",
                    setting="UPSTASH_VECTOR_URL",
                )
        except BaseException:
            await client.close()
            raise
        if self._opened is not None:  # opened by somebody else meanwhile
            await client.close()
            return
        self._dimension = int(info["dimension"])
        self._opened = client

    async def close(self) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        client = self._client
        if space.dimension > self._dimension:
            raise InvalidQuery(
                f"Space {space.name} has dimension {space.dimension}; the index of Upstash has {self._dimension}.",
                hint="Make an index with at least the dimension of the embedding model.",
            )
        dimension = await self._marked(client, space)
        if dimension is None:
            mark = {"id": MARK, "vector": padded([1.0], self._dimension), "metadata": {"dimension": space.dimension}}
            await client.upsert(_namespace(space), [mark])
            dimension = await self._marked(client, space)
        if dimension != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        client, own = self._client, _namespace(space)
        await client.drop(own)
        gate = asyncio.Semaphore(DROPS)

        async def drop(name: str) -> None:
            async with gate:
                await client.drop(name)

        await asyncio.gather(*[drop(name) for name in await client.namespaces() if name.startswith(f"{own}-")])

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        if not records:
            return
        client, namespace = self._client, _namespace(space, partition)
        if await self._marked(client, space) != space.dimension:
            raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
        for batch in batches(last_by_id(records)):
            at = uuid4().hex
            items = [to_item(record, self._dimension, f"{at}{place}") for place, record in enumerate(batch)]
            await client.upsert(namespace, items)
            await until_visible(_Seen(client, namespace, items[-1]))

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        client, namespace = self._client, _namespace(space, partition)
        if ids is None and filter is None:
            await client.drop(namespace)
            return
        if ids is None:
            known = await self._matching(client, namespace, filter)
        else:
            known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
            if filter is not None:
                known = [item.id for item in await self.get(space, partition, known) if matches(filter, item.metadata)]
        for start in range(0, len(known), IDS):
            await client.delete(namespace, known[start : start + IDS])

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
        client, namespace = self._client, _namespace(space, partition)
        query, expression = padded(vector, self._dimension), expression_of(filter)
        candidates: dict[str, Record] = {}
        complete = True

        async def fetch(limit: int) -> list[Record | None]:
            nonlocal complete
            ids = await client.query(namespace, query, limit, expression)
            fresh = await self.get(space, partition, [id for id in ids if id not in candidates])
            candidates.update({record.id: record for record in fresh})
            complete = len(ids) == limit
            return [candidates.get(id) for id in ids]  # None: deleted, which has not come through

        def keep(record: Record | None) -> bool:
            return record is not None and matches(filter, record.metadata)

        found = await over_fetch(fetch, keep, top_k, most=LONGEST)
        if found is None or not complete:  # the end of the partition, or of what the service looks at
            ids = await self._matching(client, namespace, filter)
            if found is None or not candidates.keys() >= set(ids):
                return await search_pages(
                    self._records(space, partition, ids), vector, top_k=top_k, threshold=threshold, filter=filter
                )
        records = [record for record in found if record is not None]
        return ranked(vector, records, top_k=top_k, threshold=threshold)

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
        return [record async for some in self._records(space, partition, known) for record in some]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        return len(await self._matching(self._client, _namespace(space, partition), filter))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        after, depth = _place(cursor)
        ids: list[str] = []
        deepest = 0
        client, namespace = self._client, _namespace(space, partition)
        async for prefix, items in _walk(client, namespace, depth, after, metadata=False):
            ids += [item["id"] for item in items]
            deepest = max(deepest, len(prefix))
            if len(ids) > limit:
                break
        records = await self.get(space, partition, ids[:limit])
        return Page(records=records, cursor=f"{ids[limit - 1]}/{deepest}" if len(ids) > limit else None)

    # -- asking the service -------------------------------------------------------------------------------------

    async def _marked(self, client: Client, space: Space) -> int | None:
        """The dimension with which a space was made."""
        found = await client.fetch(_namespace(space), [MARK])
        return int(found[0]["metadata"]["dimension"]) if found else None

    async def _records(self, space: Space, partition: str, ids: Sequence[str]) -> AsyncIterator[list[Record]]:
        """Records by ids, in that order, some at a time."""
        client, namespace = self._client, _namespace(space, partition)
        for start in range(0, len(ids), VECTORS):
            items = await client.fetch(namespace, list(ids[start : start + VECTORS]))
            yield [to_record(space, item) for item in items]

    async def _matching(self, client: Client, namespace: str, filter: Filter | None) -> list[str]:
        """The ids of a partition's records that satisfy a filter, in order."""
        found: list[str] = []
        async for _, items in _walk(client, namespace, 0, "", metadata=filter is not None):
            if filter is None:
                found += [item["id"] for item in items]
                continue
            own: dict[str, Metadata] = {item["id"]: metadata_of(item) for item in items if has_metadata(item)}
            large = [item["id"] for item in items if item["id"] not in own]
            for start in range(0, len(large), VECTORS):
                fetched = await client.fetch(namespace, large[start : start + VECTORS])
                own.update({item["id"]: metadata_of(item) for item in fetched})
            found += [id for id in sorted(own) if matches(filter, own[id])]
        return found

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened


class _Seen:
    """Whether a search finds an item as it was written just now, or somebody else has changed it since."""

    def __init__(self, client: Client, namespace: str, item: dict[str, Any]) -> None:
        self._client = client
        self._namespace = namespace
        self._item = item

    async def __call__(self) -> bool:
        id, vector, at = self._item["id"], self._item["vector"], self._item["metadata"]["at"]
        if await self._client.query(self._namespace, vector, 1, f"at = '{at}'"):
            return True
        return all(item["metadata"]["at"] != at for item in await self._client.fetch(self._namespace, [id]))


async def _walk(
    client: Client, namespace: str, depth: int, after: str, *, metadata: bool
) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Items behind an id, in order, by what their ids begin with: as much of it as makes each list one answer.

    `depth` is how much of the id behind which it goes on that was. Each list comes with the beginning of its ids.
    The service's own cursor is not followed: what it means while others write is not said.
    """
    prefixes = [after[:depth]]
    for length in range(depth, 0, -1):
        prefixes += [prefix for prefix in _longer(after[: length - 1]) if prefix > after[:length]]
    while prefixes:
        prefix = prefixes.pop(0)
        items, more = await client.range(namespace, prefix, IDS, metadata=metadata)
        if more:
            prefixes = [longer for longer in _longer(prefix) if longer >= after[: len(longer)]] + prefixes
            continue
        yield prefix, sorted([item for item in items if item["id"] > after], key=lambda item: str(item["id"]))


def _longer(prefix: str) -> list[str]:
    """The beginnings of ids that are longer by one: hyphens are where an id has them."""
    digits = "-" if len(prefix) in (8, 13, 18, 23) else "0123456789abcdef"
    return [prefix + digit for digit in digits]


def _namespace(space: Space, partition: str | None = None) -> str:
    """The namespace of a space's mark, or of a partition: names have no hyphen of their own."""
    own = f"dify-{native_name(space.name)}"
    return own if partition is None else f"{own}-{native_name(partition)}"


def _place(cursor: str | None) -> tuple[str, int]:
    """The last id of a page, and how long the beginnings were."""
    if cursor is None:
        return "", 0
    id, _, depth = cursor.partition("/")
    if not is_uuid(id) or not (depth.isascii() and depth.isdigit() and int(depth) <= len(id)):
        raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
    return id, int(depth)
