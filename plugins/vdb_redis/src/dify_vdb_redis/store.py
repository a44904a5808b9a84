"""The store: one vector set a partition, compared one by one or followed as a graph, and hashes of texts beside it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

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
from dify_kernel.errors import InvalidQuery, SettingsError, StoreUnavailable

from dify_vdb_redis.client import Client
from dify_vdb_redis.filters import expression_of
from dify_vdb_redis.records import (
    Held,
    Keys,
    batches,
    metadata_of,
    range_of,
    to_arguments,
    to_bytes,
    to_vector,
    word_of,
)
from dify_vdb_redis.settings import RedisSettings

__all__ = ["RedisVectorStore"]

PAGE = 500
LONGEST = 20_000
"""The longest list asked for: the server's work on a list grows with its square."""
EFFORT, FILTER_EFFORT = 200, 20_000
"""How many records a search along the graph compares at least, and at most when an expression turns them down."""
ATTEMPTS = 50

T = TypeVar("T")
Found = tuple[str, float, Metadata | None]
"""Id, cosine, and the metadata where a filter has to be checked."""


class RedisVectorStore(VectorStore):
    """Records in Redis; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=65_536)

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._opened: Client | None = None

    async def open(self) -> None:
        if not self._settings.host:
            raise SettingsError(
                "REDIS_VECTOR_HOST is not set.", hint="Host of the server.", setting="REDIS_VECTOR_HOST"
            )
        await asyncio.to_thread(importlib.import_module, "redis.asyncio")
        if self._opened is not None:
            return
        client = Client(self._settings)
        try:
            await client.check()
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

    async def version(self) -> EngineVersion:
        told = (await self._client.one("INFO", "server")).decode()
        numbers = [line.partition(":")[2] for line in told.splitlines() if line.startswith("redis_version:")]
        return EngineVersion(name="Redis", version="".join(numbers), supported=">=8")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        key = self._keys(space, "").dimension
        held = await self._client.one("SET", key, space.dimension, "NX", "GET")
        if held is not None and int(held) != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {int(held)}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        keys = self._keys(space, "")
        await self._client.drop([keys.dimension, keys.partitions])

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        client = self._client
        for batch in batches(last_by_id(records)):
            if not await self._replace(client, space, partition, {record.id: record for record in batch}):
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
        client, keys = self._client, self._keys(space, partition)
        if ids is None and filter is None:
            await client.many([("UNLINK", *keys.own), ("SREM", keys.partitions, partition)])
            return
        asked = await self._matching(space, partition, filter) if ids is None else list(dict.fromkeys(ids))
        for some in _parts([id for id in asked if is_uuid(id)]):
            held = await self._held(client, keys, some, filter)
            for start in range(0, len(held), PAGE // 10):
                part = dict(list(held.items())[start : start + PAGE // 10])
                await self._replace(client, space, partition, dict.fromkeys(part), held=part, filter=filter)

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
        client, keys = self._client, self._keys(space, partition)
        expression, whole = expression_of(filter)
        size, query = await client.one("VCARD", keys.vectors), to_bytes(vector)

        async def fetch(limit: int) -> list[Found]:
            exact = size <= self._settings.exact_up_to or limit > size // 10
            rows = await self._near(keys, query, limit, expression, exact=exact)
            if len(rows) < limit and not exact:  # the end of the partition, or of the graph
                rows = await self._near(keys, query, limit, expression, exact=True)
            if whole:
                return [(id, score, None) for id, score in rows]
            metadata = await self._metadata(keys, [id for id, _ in rows])
            return [(id, score, metadata[id]) for id, score in rows if id in metadata]

        def keep(found: Found) -> bool:
            return whole or matches(filter, found[2] or {})

        found = await over_fetch(fetch, keep, top_k, most=LONGEST)
        if found is None:
            return await search_pages(
                pages(self, space, partition), vector, top_k=top_k, threshold=threshold, filter=filter
            )
        hits = await self._hits(keys, [(id, score) for id, score, _ in found])
        return cut(hits, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        client, keys = self._client, self._keys(space, partition)
        terms = query_terms(query)
        if not terms:
            return []
        ranges = [("ZRANGE", keys.words, *range_of(term), "BYLEX") for term in terms]
        *found, total = await client.many([*ranges, ("ZCARD", keys.order)])
        ranking = await asyncio.to_thread(_ranked, query, terms, found, total)
        hits: list[Hit] = []
        for start in range(0, len(ranking), max(top_k, 100)):
            some = await self._hits(keys, ranking[start : start + max(top_k, 100)])
            hits += [hit for hit in some if matches(filter, hit.metadata)]
            if len(hits) >= top_k:
                break
        return hits[:top_k]

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
        client, keys = self._client, self._keys(space, partition)
        records: list[Record] = []
        for some in _parts([id for id in dict.fromkeys(ids) if is_uuid(id)]):
            vectors = [("VEMB", keys.vectors, id, "RAW") for id in some]
            texts, metadata, *raw = await client.many([*_read(keys, some), *vectors])
            records += [
                Record(id=id, text=text.decode(), vector=to_vector(vector[1]), metadata=metadata_of(own))
                for id, text, own, vector in zip(some, texts, metadata, raw, strict=True)
                if text is not None
            ]
        return records

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        if filter is None:
            return int(await self._client.one("ZCARD", self._keys(space, partition).order))
        return len(await self._matching(space, partition, filter))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        after = "-" if cursor is None else f"({cursor}"
        key = self._keys(space, partition).order
        found = await self._client.one("ZRANGE", key, after, "+", "BYLEX", "LIMIT", 0, limit + 1)
        ids = [id.decode() for id in found]
        records = await self.get(space, partition, ids[:limit])
        return Page(records=records, cursor=ids[limit - 1] if len(ids) > limit else None)

    # -- asking the server --------------------------------------------------------------------------------------

    async def _replace(
        self,
        client: Client,
        space: Space,
        partition: str,
        wanted: dict[str, Record | None],
        *,
        held: dict[str, Held] | None = None,
        filter: Filter | None = None,
    ) -> bool:
        """Write or delete records that are as they were seen; look again at those that are not. False: no space."""
        keys = self._keys(space, partition)
        held = held or {}
        for _ in range(ATTEMPTS):
            arguments: list[Any] = [space.dimension, partition]
            for id, record in wanted.items():
                arguments += to_arguments(id, held.get(id), record)
            changed = await client.replace(keys.every, arguments)
            if changed is None:
                return False
            held = await self._held(client, keys, [id.decode() for id in changed], filter)
            wanted = {id.decode(): wanted[id.decode()] for id in changed}
            wanted = {id: record for id, record in wanted.items() if record is not None or id in held}
            if not wanted:
                return True
        raise StoreUnavailable(f"Records of partition {partition!r} keep being changed by others.", hint="Try again.")

    async def _held(self, client: Client, keys: Keys, ids: Sequence[str], filter: Filter | None) -> dict[str, Held]:
        """What the server holds of records, of those that satisfy a filter."""
        if not ids:
            return {}
        texts, metadata = await client.many(_read(keys, ids))
        return {
            id: Held(metadata=own, text=text)
            for id, text, own in zip(ids, texts, metadata, strict=True)
            if text is not None and (filter is None or matches(filter, metadata_of(own)))
        }

    async def _near(
        self, keys: Keys, query: bytes, limit: int, expression: str | None, *, exact: bool
    ) -> list[tuple[str, float]]:
        """Ids and cosines, best first. The server's score is half of one more than the cosine."""
        command: list[Any] = ["VSIM", keys.vectors, "FP32", query, "WITHSCORES", "COUNT", limit]
        command += ["TRUTH"] if exact else ["EF", max(EFFORT, limit)]
        if expression is not None:
            command += ["FILTER", expression, "FILTER-EF", FILTER_EFFORT]
        rows = iter(await self._client.one(*command))
        return [(id.decode(), clamp(2 * float(score) - 1)) for id, score in zip(rows, rows, strict=True)]

    async def _hits(self, keys: Keys, found: Sequence[tuple[str, float]]) -> list[Hit]:
        """Some of what was found, with text and metadata; what was deleted meanwhile is left out."""
        hits: list[Hit] = []
        for some in _parts(found):
            texts, metadata = await self._client.many(_read(keys, [id for id, _ in some]))
            hits += [
                Hit(id=id, text=text.decode(), score=score, metadata=metadata_of(own))
                for (id, score), text, own in zip(some, texts, metadata, strict=True)
                if text is not None
            ]
        return hits

    async def _metadata(self, keys: Keys, ids: list[str]) -> dict[str, Metadata]:
        found = {}
        for some in _parts(ids):
            rows = await self._client.one("HMGET", keys.metadata, *some)
            found.update({id: metadata_of(own) for id, own in zip(some, rows, strict=True) if own is not None})
        return found

    async def _matching(self, space: Space, partition: str, filter: Filter | None) -> list[str]:
        """The ids of a partition's records that satisfy a filter."""
        keys = self._keys(space, partition)
        expression, whole = expression_of(filter)
        if expression is None:
            return [id async for id, metadata in self._every(keys) if matches(filter, metadata)]
        size = await self._client.one("VCARD", keys.vectors)
        anywhere = to_bytes([1.0] + [0.0] * (space.dimension - 1))
        ids = [id for id, _ in await self._near(keys, anywhere, max(1, size), expression, exact=True)]
        if whole:
            return ids
        metadata = await self._metadata(keys, ids)
        return [id for id, own in metadata.items() if matches(filter, own)]

    async def _every(self, keys: Keys) -> AsyncIterator[tuple[str, Metadata]]:
        """Ids and metadata of all records of a partition; the server may name one twice."""
        seen, cursor = set[bytes](), b"0"
        while True:
            cursor, rows = await self._client.one("HSCAN", keys.metadata, cursor, "COUNT", PAGE)
            for id, own in zip(rows[::2], rows[1::2], strict=True):
                if id not in seen:
                    seen.add(id)
                    yield id.decode(), metadata_of(own)
            if cursor == b"0":
                return

    def _keys(self, space: Space, partition: str) -> Keys:
        if partition:  # without one, the keys of the space alone are meant
            check_partition(partition)
        return Keys.of(self._settings.key_prefix, space.name, partition)

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened


def _read(keys: Keys, ids: Sequence[str]) -> list[Sequence[Any]]:
    """The commands that give texts and metadata."""
    return [("HMGET", keys.texts, *ids), ("HMGET", keys.metadata, *ids)]


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]


def _ranked(query: str, terms: list[str], found: list[list[bytes]], total: int) -> list[tuple[str, float]]:
    """Ids and scores of all that share a word, best first."""
    counts: dict[str, dict[str, int]] = {}
    lengths: dict[str, int] = {}
    for term, members in zip(terms, found, strict=True):
        for member in members:
            id, count, lengths[id] = word_of(member)
            counts.setdefault(id, {})[term] = count
    words = Bm25(query)
    for id, own in counts.items():
        words.add_counted(id, lengths[id], own)
    return words.ranked(total)
